"""Facts about LightGlue checkpoints: whose descriptors they read, and their architecture. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from resight.errors import SettingsError, WeightsError

if TYPE_CHECKING:
    from resight.match.kinds.lightglue import LightGlueParams

PREFIX = "lightglue-"

# Families of descriptors with an official checkpoint (github.com/cvg/LightGlue, kornia, verlab/accelerated_features),
# and how its network wants scale and orientation: not at all, as COLMAP has them for SIFT, or as kornia for HardNet.
ScaleOri = Literal["none", "sift", "doghardnet"]
OFFICIAL: dict[str, ScaleOri] = {
    "superpoint": "none",
    "disk": "none",
    "aliked": "none",
    "raco-aliked": "none",
    "dedodeb": "none",
    "dedodeg": "none",
    "xfeat": "none",
    "sift": "sift",
    "doghardnet": "doghardnet",
    "dog_affnet_hardnet": "doghardnet",
}

# Its network reads affine frames, which the feature store does not keep.
NEEDS_FRAMES = frozenset({"keynet_affnet_hardnet"})


@dataclass(frozen=True)
class NetworkShape:
    """Shape of a LightGlue network, and the keyword arguments that kornia and cvg build it from."""

    input_dim: int
    descriptor_dim: int
    n_layers: int
    num_heads: int
    add_scale_ori: bool


def families_of(params: LightGlueParams, family: str) -> tuple[str, ...]:
    """Descriptor families that the checkpoint of ``params`` reads.

    In this order: ``match.families``; the official name ``lightglue-<family>`` (also what empty ``weights`` stand for);
    the families that the file name contains as a word (``xfeat_lighterglue_3layer`` reads xfeat).

    Args:
        params: The matcher's settings.
        family: The extractor's family; looked for in the name even where there is no official checkpoint for it.

    Raises:
        SettingsError: Neither the settings nor the file name tell.
    """
    if params.families:
        return params.families
    if not params.weights:
        return (family,) if family in OFFICIAL else ()
    if params.weights.removeprefix(PREFIX) in OFFICIAL:
        return (params.weights.removeprefix(PREFIX),)
    named = _families_in(file_name(params.weights), {*OFFICIAL, *NEEDS_FRAMES, family})
    if not named:
        raise SettingsError(
            f"match.weights = '{params.weights}' does not say whose descriptors this LightGlue checkpoint reads; set "
            f"match.families, e.g. families = ['{family}']."
        )
    return tuple(name for name in named if name not in NEEDS_FRAMES)


def scale_ori_of(family: str) -> ScaleOri:
    """How scale and orientation of ``family`` are given to a network that reads them.

    Raises:
        SettingsError: There is no way for this family.
    """
    kind = OFFICIAL.get(family, "none")
    if kind == "none":
        raise SettingsError(
            f"The LightGlue checkpoint asks for scale and orientation, which {family} keypoints do not have; set "
            "match.weights to a checkpoint that was trained for these descriptors."
        )
    return kind


def read_architecture(shapes: Mapping[str, tuple[int, ...]], name: str) -> NetworkShape:
    """Read the architecture from the shapes of a checkpoint's tensors (names as kornia has them).

    ``posenc.Wr`` maps 2 (x, y) or 4 (with scale and orientation) inputs to half the width of a head, so that even the
    number of heads follows.

    Raises:
        WeightsError: This is no LightGlue checkpoint, or one that needs affine frames.
    """
    try:
        half_head, inputs = shapes["posenc.Wr.weight"]
        width = shapes["transformers.0.self_attn.out_proj.weight"][0]
    except (KeyError, ValueError):
        raise WeightsError(
            f"'{name}' is not a LightGlue checkpoint (no posenc.Wr or transformers.0); set match.weights to one."
        ) from None
    if inputs not in (2, 4) or width % (2 * half_head):
        raise WeightsError(
            f"'{name}' encodes {inputs} numbers per keypoint; Resight has position, scale and orientation (2 or 4), "
            "but no affine frames. Set match.weights to another checkpoint, or match.kind = 'nearest'."
        )
    layers = {int(m[1]) for m in (re.match(r"transformers\.(\d+)\.", key) for key in shapes) if m}
    input_dim = shapes["input_proj.weight"][1] if "input_proj.weight" in shapes else width
    return NetworkShape(input_dim, width, max(layers) + 1, width // (2 * half_head), inputs == 4)


def file_name(weights: str) -> str:
    """Registry name, or a path's last part without its ending."""
    name = PurePath(weights.replace("\\", "/")).name
    return re.sub(r"\.(safetensors|pth|pt|tar|bin|ckpt)$", "", name, flags=re.IGNORECASE)


def _families_in(name: str, families: set[str]) -> tuple[str, ...]:
    """Families whose names are words of ``name``, without those that are part of a longer one: aliked in raco-aliked."""
    hits = {family for family in families if _words(family) in _words(name)}
    inner = {short for short in hits for long in hits if short != long and _words(short) in _words(long)}
    return tuple(sorted(hits - inner))


def _words(name: str) -> str:
    """Lower-case words between underscores, one before the first and one behind the last, so that only whole words are found."""
    return f"_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}_"
