"""Which crops the embedding learns from, and batches of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from resight.embed.picture import OUTSIDE, squashed
from resight.pairs.cohort import Cohort
from resight.segment.store import read_crop
from resight.status import CropStatus, Viewpoint
from resight.store.workspace import Workspace
from resight.train.water import under_water


@dataclass(frozen=True)
class TrainingCrop:
    """A crop of a labelled animal; ``rgb`` is (S, S, 3) uint8, see `picture.squashed`."""

    crop_id: str
    individual_id: str
    viewpoint: str
    encounter_id: str
    rgb: np.ndarray


def training_rows(photos: pa.Table, crops: pa.Table, cohort: Cohort) -> list[dict[str, Any]]:
    """Usable crops of the gallery's photos, except those that are also queries, as in leave-one-out folds.

    Returns:
        ``crop_id, path, individual_id, viewpoint, encounter_id``, sorted by crop_id.
    """
    return _rows(photos, crops, {p: name for p, name in cohort.labels.items() if p not in cohort.queries})


def rows_of_animals(photos: pa.Table, crops: pa.Table, animals: Collection[str] | None) -> list[dict[str, Any]]:
    """Usable crops of all photos of these animals; None for every animal with a name. Columns as `training_rows`."""
    names = zip(photos["photo_id"].to_pylist(), photos["individual_id"].to_pylist(), strict=True)
    return _rows(photos, crops, {p: name for p, name in names if name and (animals is None or name in animals)})


def _rows(photos: pa.Table, crops: pa.Table, labels: Mapping[str, str]) -> list[dict[str, Any]]:
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
    """Read the crops of ``rows`` (see `training_rows`)."""
    return [
        TrainingCrop(
            row["crop_id"],
            row["individual_id"],
            row["viewpoint"] or Viewpoint.UNKNOWN.value,
            row["encounter_id"] or row["crop_id"],
            squashed(read_crop(workspace, row["path"])[0], row["viewpoint"], side_px),
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Classes:
    """Crops by animal and side; left and right of one animal share no pattern, so they are two classes."""

    samples: Sequence[TrainingCrop]

    @cached_property
    def names(self) -> list[tuple[str, str]]:
        """Animal and viewpoint of each class, sorted."""
        return sorted({(s.individual_id, s.viewpoint) for s in self.samples})

    @cached_property
    def animals(self) -> np.ndarray:
        """(C,) number of each class's animal."""
        return np.unique([animal for animal, _ in self.names], return_inverse=True)[1]

    @cached_property
    def of(self) -> np.ndarray:
        """(N,) class of each crop."""
        place = {name: k for k, name in enumerate(self.names)}
        return np.array([place[s.individual_id, s.viewpoint] for s in self.samples], np.int64)

    def plain(self, i: int, side_px: int) -> np.ndarray:
        """Crop ``i`` unvaried, (side_px, side_px, 3) uint8."""
        return np.asarray(cv2.resize(self.samples[i].rgb, (side_px, side_px), interpolation=cv2.INTER_AREA))

    @cached_property
    def encounters(self) -> list[list[list[int]]]:
        """Indices of the crops by class and by encounter."""
        grouped: list[dict[str, list[int]]] = [{} for _ in self.names]
        for i, sample in enumerate(self.samples):
            grouped[self.of[i]].setdefault(sample.encounter_id, []).append(i)
        return [list(of_class.values()) for of_class in grouped]

    @cached_property
    def chances(self) -> np.ndarray:
        """(C,) chance of each class: the root of its number of crops, between as many of each class and of each crop."""
        root = np.sqrt([sum(map(len, of_class)) for of_class in self.encounters])
        return np.asarray(root / root.sum())

    def draw(self, n: int, side_px: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Classes by their chance, an encounter of each, a crop of that, varied.

        Returns:
            (n, side_px, side_px, 3) uint8 and the (n,) int64 class of each.
        """
        classes = rng.choice(len(self.names), n, p=self.chances)
        pictures = []
        for k in classes:
            encounter = self.encounters[k][rng.integers(len(self.encounters[k]))]
            pictures.append(augmented(self.samples[encounter[rng.integers(len(encounter))]].rgb, side_px, rng))
        return np.stack(pictures), classes.astype(np.int64)


def augmented(rgb: np.ndarray, side_px: int, rng: np.random.Generator) -> np.ndarray:
    """Turned, scaled, stretched, shifted, seen through other water, partly hidden: (side_px, side_px, 3) uint8."""
    turn, stretch = float(rng.normal(0, 0.17)), math.exp(rng.normal(0, 0.07))
    zoom = side_px / rgb.shape[0] * math.exp(rng.uniform(-0.18, 0.25))
    c, s = math.cos(turn), math.sin(turn)
    linear = zoom * np.array([[c, s], [-s, c]]) @ np.diag([stretch, 1 / stretch])
    middle, aim = np.full(2, (rgb.shape[0] - 1) / 2), np.full(2, (side_px - 1) / 2)
    shift = aim - linear @ middle + rng.uniform(-0.06, 0.06, 2) * side_px
    matrix = np.column_stack([linear, shift])
    moved = cv2.warpAffine(rgb, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    seen = under_water(moved, rng)
    if rng.random() < 0.3:  # random erasing (Zhong et al., AAAI 2020)
        w, h = (int(side_px * rng.uniform(0.1, 0.35)) for _ in range(2))
        x, y = int(rng.integers(side_px - w)), int(rng.integers(side_px - h))
        seen[y : y + h, x : x + w] = OUTSIDE
    return seen
