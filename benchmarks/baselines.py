"""How others run LightGlue, re-implemented on kornia's model so that all share weights, keypoints and process.

- `one_by_one`: Wildbook's LightGlue plugin compares a query with every annotation in a Python loop: both feature sets
  to the device, one forward pass, the sum of scores read back.
- `notebook`: the notebook that this project started from does the same and leaves autograd on.
- `data_loader`: wildlife-tools makes every pair a sample, so that both photos' features are collated again for each
  pair; all photos must have equally many keypoints (256 in its documentation); results are read back pair by pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Photo = dict[str, Tensor]


def kornia_batch(model: torch.nn.Module, a: Sequence[Photo], b: Sequence[Photo]) -> Tensor:
    """Score sums of equal-count pairs as kornia runs them in one batch."""
    data = {
        name: {k: torch.stack([p[k] for p in photos]) for k in photos[0]}
        for name, photos in (("image0", a), ("image1", b))
    }
    with torch.inference_mode():
        return model(data)["matching_scores0"].sum(-1)


def one_by_one(model: torch.nn.Module, query: Photo, gallery: Sequence[Photo], device: str) -> list[float]:
    """Wildbook's loop."""
    sums = []
    for photo in gallery:
        data = {
            name: {k: v[None].to(device) for k, v in photo_tensors.items()}
            for name, photo_tensors in (("image0", query), ("image1", photo))
        }
        with torch.no_grad():
            sums.append(model(data)["matching_scores0"].sum().item())
    return sums


def notebook(model: torch.nn.Module, query: Photo, gallery: Sequence[Photo], device: str) -> list[float]:
    """The notebook's loop, autograd on."""
    sums = []
    for photo in gallery:
        data = {
            name: {k: v[None].to(device) for k, v in photo_tensors.items()}
            for name, photo_tensors in (("image0", query), ("image1", photo))
        }
        with torch.enable_grad():
            scores = model(data)["matching_scores0"][0].detach().cpu().numpy()
        sums.append(float(scores.sum()))
    return sums


def data_loader(
    model: torch.nn.Module, query: Photo, gallery: Sequence[Photo], device: str, keypoints: int, batch_size: int
) -> list[float]:
    """wildlife-tools' loop, with the strongest ``keypoints`` of each photo."""
    pairs = _Pairs([query], gallery, keypoints)
    sums = []
    for first, second in torch.utils.data.DataLoader(pairs, batch_size=batch_size, num_workers=0):
        data = {
            name: {k: v.to(device) for k, v in photo_tensors.items()}
            for name, photo_tensors in (("image0", first), ("image1", second))
        }
        with torch.inference_mode():
            out = model(data)
        for i in range(len(out["scores"])):
            out["matches"][i].cpu().numpy()
            sums.append(float(out["scores"][i].cpu().numpy().sum()))
    return sums


class _Pairs(torch.utils.data.IterableDataset):
    """All pairs, each as two dicts of tensors cut to equal counts."""

    def __init__(self, queries: Sequence[Photo], gallery: Sequence[Photo], keypoints: int) -> None:
        self.queries, self.gallery = ([self._cut(p, keypoints) for p in photos] for photos in (queries, gallery))

    @staticmethod
    def _cut(photo: Photo, n: int) -> Photo:
        return {k: v if k == "image_size" else v[:n] for k, v in photo.items()}

    def __iter__(self) -> Iterator[tuple[Photo, Photo]]:
        return ((q, g) for q in self.queries for g in self.gallery)
