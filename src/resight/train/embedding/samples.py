"""Which crops the embedding learns from, and batches of them: a few animals with a few crops each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from resight.pairs.cohort import Cohort
from resight.pairs.plan import comparable
from resight.segment.store import read_crop
from resight.status import CropStatus, Viewpoint
from resight.store.workspace import Workspace
from resight.train.water import under_water

OUTSIDE = 127
MIRRORED = {Viewpoint.LEFT.value: Viewpoint.RIGHT.value, Viewpoint.RIGHT.value: Viewpoint.LEFT.value}


@dataclass(frozen=True)
class TrainingCrop:
    """A crop of a labelled animal; ``rgb`` is (S, S, 3) uint8, see `canvas`."""

    crop_id: str
    individual_id: str
    viewpoint: str
    rgb: np.ndarray


@dataclass(frozen=True)
class CropBatch:
    """Pictures and which of them belong together.

    Attributes:
        rgb: (B, S, S, 3) uint8.
        positive: (B, B) bool: the same animal from views that share skin; the diagonal is False.
        negative: (B, B) bool: different animals. Left and right of one animal, or it and its mirror image, are neither.
    """

    rgb: np.ndarray
    positive: np.ndarray
    negative: np.ndarray


def canvas(rgb: np.ndarray, mask: np.ndarray | None, side_px: int) -> np.ndarray:
    """A crop in the middle of a grey square, as large as it fits, grey outside of its mask.

    Args:
        rgb: (H, W, 3) uint8.
        mask: (H, W) bool, or None for all.
        side_px: Side of the square.

    Returns:
        (side_px, side_px, 3) uint8.
    """
    height, width = rgb.shape[:2]
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shown = rgb if mask is None else np.where(mask[..., None], rgb, np.uint8(OUTSIDE))
    square = np.full((side_px, side_px, 3), OUTSIDE, np.uint8)
    left, top = (side_px - size[0]) // 2, (side_px - size[1]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(shown, size, interpolation=how)
    return square


def training_rows(photos: pa.Table, crops: pa.Table, cohort: Cohort) -> list[dict[str, Any]]:
    """Usable crops of the gallery's photos, except those that are also queries, as in leave-one-out folds.

    Returns:
        ``crop_id, path, individual_id, viewpoint, encounter_id``, sorted by crop_id.
    """
    labels = {p: name for p, name in cohort.labels.items() if p not in cohort.queries}
    encounter = dict(zip(photos["photo_id"].to_pylist(), photos["encounter_id"].to_pylist(), strict=True))
    rows = crops.select(["crop_id", "photo_id", "path", "viewpoint", "status"]).to_pylist()
    usable = [
        {k: r[k] for k in ("crop_id", "path", "viewpoint")}
        | {"individual_id": labels[r["photo_id"]], "encounter_id": encounter[r["photo_id"]]}
        for r in rows
        if r["status"] == CropStatus.OK and r["photo_id"] in labels
    ]
    return sorted(usable, key=lambda r: r["crop_id"])


def load_samples(workspace: Workspace, rows: Sequence[Mapping[str, Any]], side_px: int) -> list[TrainingCrop]:
    """Read the crops of ``rows`` (crop_id, path, individual_id, viewpoint)."""
    pictures = (canvas(*read_crop(workspace, r["path"]), side_px=side_px) for r in rows)
    return [
        TrainingCrop(row["crop_id"], row["individual_id"], row["viewpoint"], rgb)
        for row, rgb in zip(rows, pictures, strict=True)
    ]


def draw_batch(samples: Sequence[TrainingCrop], n_classes: int, n_each: int, rng: np.random.Generator) -> CropBatch:
    """P classes with K crops each (Hermans et al., In Defense of the Triplet Loss, 2017).

    A class is an animal, mirrored or not: a mirrored left side of a head looks like the right side of an animal that does not
    exist, so mirroring doubles the animals without teaching that left and right are alike. An animal and its own mirror image
    share skin and light but no pattern, so they are neither a positive nor a negative pair.
    """
    animals = sorted({s.individual_id for s in samples})
    by_animal = {a: [s for s in samples if s.individual_id == a] for a in animals}
    classes = [(animal, mirrored) for animal in animals for mirrored in (False, True)]
    chosen = rng.choice(len(classes), min(n_classes, len(classes)), replace=False)
    picked: list[tuple[TrainingCrop, str, bool]] = []
    for animal, mirrored in (classes[c] for c in chosen):
        crops = by_animal[animal]
        n = len(crops)
        take = rng.permutation(n)[:n_each] if n >= n_each else rng.integers(n, size=n_each)
        picked += [(crops[i], animal, mirrored) for i in take]
    rgb = np.stack([augmented(sample.rgb, mirrored, rng) for sample, _, mirrored in picked])
    views = [MIRRORED.get(s.viewpoint, s.viewpoint) if mirrored else s.viewpoint for s, _, mirrored in picked]
    names, turned = np.array([a for _, a, _ in picked]), np.array([m for _, _, m in picked])
    return CropBatch(rgb, *relations(names, turned, views))


def relations(names: np.ndarray, mirrored: np.ndarray, views: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(N, N) bool each: which pairs are of one animal, comparable and both mirrored or not; which are of two animals."""
    same = names[:, None] == names[None, :]
    alike = same & (mirrored[:, None] == mirrored[None, :]) & comparable(views, views)
    return alike & ~np.eye(len(names), dtype=bool), ~same


def augmented(rgb: np.ndarray, mirrored: bool, rng: np.random.Generator) -> np.ndarray:
    """Turned, scaled, shifted, seen through other water, partly hidden; mirrored where the class says so."""
    side = rgb.shape[0]
    turn, scale = float(rng.normal(0, 0.17)), math.exp(rng.uniform(-0.22, 0.22))
    c, s = scale * math.cos(turn), scale * math.sin(turn)
    linear = np.array([[c, s], [-s, c]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    middle = np.full(2, (side - 1) / 2)
    shift = middle - linear @ middle + rng.uniform(-0.06, 0.06, 2) * side
    matrix = np.column_stack([linear, shift])
    moved = cv2.warpAffine(rgb, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=(OUTSIDE,) * 3)
    seen = under_water(moved, rng)
    if rng.random() < 0.3:  # random erasing (Zhong et al., AAAI 2020)
        w, h = (int(side * rng.uniform(0.1, 0.35)) for _ in range(2))
        x, y = int(rng.integers(side - w)), int(rng.integers(side - h))
        seen[y : y + h, x : x + w] = OUTSIDE
    return seen
