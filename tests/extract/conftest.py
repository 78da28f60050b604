"""Pictures, and every extractor with weights that are random but go through the real loading path."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from extract_helpers import N_CROPS

from resight.extract.base import Extractor
from resight.extract.params import ExtractorBase
from resight.plugins.registry import EXTRACTORS
from resight.segment.store import write_crop
from resight.status import CropStatus
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

OFFLINE = WeightStore(allow_download=False)


def painted(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 picture with bumps of many sizes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    grey = np.full((height, width), 110.0)
    for _ in range(height * width // 1000):
        cx, cy, s = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(1.5, 9)
        grey += rng.uniform(-80, 80) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * s * s))
    return np.stack([grey * 0.9, grey, grey * 1.1], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """313 high, 471 wide: a swapped width and height shows."""
    return painted(313, 471)


@pytest.fixture(scope="session")
def small_picture() -> np.ndarray:
    """For the slow networks."""
    return painted(85, 121)


@pytest.fixture(scope="session")
def random_params(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExtractorBase]:
    """Settings by case, with files of random weights."""
    import torch
    from kornia.feature import ALIKED, DISK, DeDoDe, HardNet, KeyNetDetector, LAFAffNetShapeEstimator, OriNet
    from kornia.feature.xfeat import XFeatModel
    from safetensors.torch import save_file

    from resight.extract.superpoint_network import SuperpointNetwork

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)

    def saved(name: str, module: torch.nn.Module, nested: str = "") -> str:
        state = {key: value.contiguous() for key, value in module.state_dict().items()}
        path = folder / f"{name}{'.pth' if nested else '.safetensors'}"
        if nested:
            torch.save({"epoch": 3, nested: state}, path)
        else:
            save_file(state, path)
        return str(path)

    dedode = DeDoDe("L", "B", amp_dtype=torch.float32)
    keynet = KeyNetDetector(pretrained=False).model
    keynet.last_conv[0].weight.data.abs_()  # a random sign would silence the ReLU behind it
    hardnet = saved("hardnet", HardNet(pretrained=False), nested="state_dict")

    cases: dict[str, tuple[str, dict[str, object]]] = {
        "sift-plain": ("sift", {"root": False}),
        "sift-kornia": ("sift", {"backend": "kornia"}),
        "xfeat": ("xfeat", {"detection_threshold": 0.0, "weights": saved("xfeat", XFeatModel())}),
        "aliked": ("aliked", {"variant": "aliked-t16", "weights": saved("aliked", ALIKED("aliked-t16"))}),
        "disk": ("disk", {"weights": saved("disk", DISK(), nested="extractor")}),
        "dedode": (
            "dedode",
            {
                "detector_weights": saved("detector", dedode.detector),
                "descriptor_weights": saved("descriptor", dedode.descriptor),
            },
        ),
        "dog-hardnet": ("dog-hardnet", {"weights": hardnet}),
        "keynet-affnet-hardnet": (
            "keynet-affnet-hardnet",
            {
                "keynet_weights": saved("keynet", keynet, nested="state_dict"),
                "affnet_weights": saved("affnet", LAFAffNetShapeEstimator(pretrained=False), nested="state_dict"),
                "orinet_weights": saved("orinet", OriNet(pretrained=False), nested="state_dict"),
                "hardnet_weights": hardnet,
            },
        ),
        "superpoint": (
            "superpoint",
            {"detection_threshold": 0.0, "weights": saved("superpoint", SuperpointNetwork())},
        ),
    }
    # A kind that needs no weights has its case by being registered.
    cases = {kind: (kind, {}) for kind in EXTRACTORS} | cases
    return {case: EXTRACTORS[kind](max_keypoints=300, **given) for case, (kind, given) in cases.items()}


@pytest.fixture(scope="session")
def build(random_params: dict[str, ExtractorBase]) -> Callable[[str], Extractor]:
    """Extractor by case, built once."""
    built: dict[str, Extractor] = {}

    def make(case: str) -> Extractor:
        if case not in built:
            built[case] = random_params[case].build(OFFLINE)
        return built[case]

    return make


@pytest.fixture
def no_weights_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No folder of weights but an empty cache; returns the cache."""
    monkeypatch.delenv("RESIGHT_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "resight" / "weights"


@pytest.fixture
def crops(workspace: Workspace) -> pa.Table:
    """Eight small crops, of which number 3 is blank, and a photo without a head."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(N_CROPS):
        rgb = np.kron(rng.integers(0, 255, (12, 17, 3), np.uint8), np.ones((5, 5, 1), np.uint8))
        rgb = np.full_like(rgb, 9) if i == 3 else rgb
        path = workspace.root / "store" / "segment" / f"crop{i}.png"
        write_crop(path, rgb, np.ones(rgb.shape[:2], bool))
        rows.append({"crop_id": f"c{i}", "photo_id": f"p{i}", "path": workspace.relative(path), "status": "ok"})
    rows.append({"crop_id": "none", "photo_id": "p9", "path": None, "status": str(CropStatus.NO_HEAD)})
    return pa.Table.from_pylist(rows)
