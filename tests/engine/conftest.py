"""Models with random weights that give confident matches, photos that share keypoints, and kornia as the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

SIZE_WH = (471.0, 313.0)
Photo = dict[str, Tensor]


@dataclass(frozen=True)
class Shape:
    n_layers: int
    width: int
    heads: int
    input_dim: int
    scale_ori: bool


SHAPES = (
    Shape(2, 32, 1, 32, False),
    Shape(3, 96, 2, 64, True),
    Shape(2, 96, 1, 64, False),
    Shape(2, 256, 4, 128, True),
    Shape(4, 64, 2, 64, False),
)


@dataclass(frozen=True)
class Reference:
    """kornia's LightGlue without adaptivity, one pair at a time."""

    model: torch.nn.Module
    dtype: torch.dtype

    @property
    def state(self) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in self.model.state_dict().items()}

    @torch.inference_mode()
    def __call__(self, a: Photo, b: Photo) -> dict[str, Tensor]:
        data = {}
        for name, photo in (("image0", a), ("image1", b)):
            data[name] = {k: v[None].to(self.dtype) for k, v in photo.items()} | {"image_size": torch.tensor([SIZE_WH])}
        return self.model(data)


def _random_model(shape: Shape, seed: int, dtype: torch.dtype, **conf: float) -> Reference:
    """Weights large enough that attention is peaked and true partners get confidences well above zero."""
    from kornia.feature import LightGlue

    torch.manual_seed(seed)
    adaptivity = {"depth_confidence": -1, "width_confidence": -1} | conf
    model = LightGlue(
        None,
        input_dim=shape.input_dim,
        descriptor_dim=shape.width,
        n_layers=shape.n_layers,
        num_heads=shape.heads,
        add_scale_ori=shape.scale_ori,
        **adaptivity,
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("Wqkv.weight") or "to_qk.weight" in name:
                weight.mul_(4)
            elif "final_proj.weight" in name:
                weight.normal_(std=7 * weight.shape[0] ** -0.5)
            elif "matchability" in name and name.endswith("bias"):
                weight.fill_(1.5)
            elif ".ffn.1." in name:  # a LayerNorm that scales and shifts, or folding it wrongly would go unseen
                weight.add_(0.3 * torch.randn_like(weight))
    return Reference(model.eval().to(dtype), dtype)


@pytest.fixture(params=SHAPES, ids=lambda s: f"{s.n_layers}x{s.width}h{s.heads}{'-ori' if s.scale_ori else ''}")
def shape(request) -> Shape:
    """Each of a few architectures."""
    return request.param


@pytest.fixture
def small() -> Shape:
    """One architecture with everything in it, for tests that need no other."""
    return SHAPES[1]


@pytest.fixture
def adaptive_shape() -> Shape:
    """Four layers, so that there is something to stop at."""
    return SHAPES[4]


@pytest.fixture(scope="session")
def random_model() -> Callable[..., Reference]:
    cache: dict[object, Reference] = {}

    def build(shape: Shape, seed: int = 0, dtype: torch.dtype = torch.float32, **conf: float) -> Reference:
        key = (shape, seed, dtype, tuple(sorted(conf.items())))
        if key not in cache:
            cache[key] = _random_model(shape, seed, dtype, **conf)
        return cache[key]

    return build


@pytest.fixture(scope="session")
def photos_of() -> Callable[..., list[Photo]]:
    """Photos of one animal: each shows another choice of its points, moved a little."""

    def build(shape: Shape, counts: list[int], seed: int = 1) -> list[Photo]:
        g = torch.Generator().manual_seed(seed)
        n = max([*counts, 1])
        xy = torch.rand(n, 2, generator=g, dtype=torch.float64) * (torch.tensor(SIZE_WH) - 21) + 10
        descriptors = torch.nn.functional.normalize(
            torch.randn(n, shape.input_dim, generator=g, dtype=torch.float64), dim=-1
        )
        photos = []
        for count in counts:
            pick = torch.randperm(n, generator=g)[:count]
            moved = descriptors[pick] + 0.02 * torch.randn(count, shape.input_dim, generator=g, dtype=torch.float64)
            photo = {
                "keypoints": xy[pick] + torch.rand(count, 2, generator=g, dtype=torch.float64) * 4 - 2,
                "descriptors": moved * 3,
            }
            if shape.scale_ori:
                photo["scales"] = torch.rand(count, generator=g, dtype=torch.float64) * 2 + 1
                photo["oris"] = torch.rand(count, generator=g, dtype=torch.float64) * 6.28 - 3.14
            photos.append(photo)
        return photos

    return build


@pytest.fixture(scope="session")
def encode_all() -> Callable[..., list]:
    def encode(engine, photos: list[Photo]) -> list:
        return [
            engine.encode(p["keypoints"], p["descriptors"], SIZE_WH, p.get("scales"), p.get("oris")) for p in photos
        ]

    return encode


@pytest.fixture(autouse=True)
def _blocks_for_small_pairs(monkeypatch):
    """The pairs of the tests are small; let them take the way of large ones."""
    monkeypatch.setattr("resight.match.engine.attention.SMALL_PAIR", 0)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def real_features(shared_data, shared_weights) -> list[Photo]:
    """XFeat keypoints of three real photos, with ragged counts; two show one animal."""
    import cv2
    from kornia.feature import XFeat
    from safetensors.torch import load_file

    xfeat = XFeat()
    missing, unknown = xfeat.net.load_state_dict(load_file(shared_weights / "xfeat.safetensors"), strict=False)
    assert not unknown and all(k.startswith("fine_matcher") for k in missing)
    photos = []
    for file, count in (
        ("gallery/Leonardo L.jpg", 500),
        ("queries/Leonardo L 18.jpg", 384),
        ("gallery/Rafael L.jpg", 433),
    ):
        image = cv2.resize(
            cv2.imread(str(shared_data / "bonaire" / file)),
            tuple(int(s) for s in SIZE_WH),
            interpolation=cv2.INTER_AREA,
        )
        tensor = torch.from_numpy(np.ascontiguousarray(image[:, :, ::-1])).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            found = xfeat.eval().detectAndCompute(tensor, top_k=count)[0]
        photos.append({name: found[name].clone() for name in ("keypoints", "descriptors")})
    return photos
