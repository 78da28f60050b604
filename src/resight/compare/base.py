"""What a method of the comparison is, and the trial that it works on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.errors import MissingWeightsError
from resight.pairs.cohort import Cohort, crop_info, pair_grids
from resight.pairs.plan import PairGrid
from resight.segment.store import read_crop
from resight.settings import Settings
from resight.status import CropStatus, FeatureStatus, Viewpoint
from resight.weights.registry import WEIGHTS

SCORE_SCHEMA = pa.schema(
    [
        ("query_crop_id", pa.string()),
        ("gallery_crop_id", pa.string()),
        ("purpose", pa.string()),
        ("score", pa.float64()),
    ]
)


class MethodStatus(StrEnum):
    """How a method of the comparison ended."""

    OK = "ok"
    MISSING_WEIGHTS = "missing_weights"
    FAILED = "failed"
    LEFT_OUT = "left_out"


class Family(StrEnum):
    """What a method looks at."""

    LOCAL = "local"
    VOTES = "votes"
    DENSE = "dense"
    GLOBAL = "global"
    PIXELS = "pixels"


@dataclass(frozen=True)
class Timing:
    """What a query costs, measured on a sample without the cache.

    CPU time of one thread on a CPU, wall time on a GPU. The gallery was extracted before, as it is every night.

    Attributes:
        extract_s: Seconds from the crop to features, per query photo.
        match_s: Seconds for all comparisons of a query photo with the gallery.
        pairs_per_query: Gallery crops that a query photo is compared with, on average.
        n_queries: Query photos in the sample.
    """

    extract_s: float
    match_s: float
    pairs_per_query: float
    n_queries: int

    @property
    def query_s(self) -> float:
        """Extraction and comparison together."""
        return self.extract_s + self.match_s


@dataclass(frozen=True)
class MethodScores:
    """What a method gives back.

    Attributes:
        info: See `cohort.crop_info`.
        scores: `SCORE_SCHEMA` of all pairs that could be compared; larger means same animal, 0 means nothing in common.
        timing: None where there was nothing to measure.
        note: A remark to be shown with the row.
        weights: SHA-256 by name of weights that the method trained itself.
        ranked: The candidates, from `rank.rank_all`, where the method has a rule of its own by which photos vote; None: by the rule that
            all methods share.
        without_own: The same as if the animal of each query were not in the gallery, where that changes the scores of the others; None
            where it does not.
    """

    info: pa.Table
    scores: pa.Table
    timing: Timing | None
    note: str = ""
    weights: tuple[tuple[str, str], ...] = ()
    ranked: pa.Table | None = None
    without_own: pa.Table | None = None


@dataclass(frozen=True)
class Trial:
    """Photos, crops and split, the same for all methods.

    Attributes:
        env: Where results go, where weights are looked for, and what runs the blocks.
        settings: What all methods share: segmenter, crops, which sides are compared, rank, device.
        photos, crops: The tables of the run.
        cohort: Gallery and queries with their labels.
        max_keypoints: The same for all local methods; None leaves each its own.
    """

    env: Environment
    settings: Settings
    photos: pa.Table
    crops: pa.Table
    cohort: Cohort
    max_keypoints: int | None = None

    @property
    def quiet(self) -> bool:
        return self.env.runner.quiet

    @property
    def part(self) -> frozenset[str]:
        """Photos that take part."""
        return self.cohort.queries | self.cohort.gallery

    @cached_property
    def paths(self) -> dict[str, str]:
        """Path by crop_id of the crops that are usable and take part."""
        rows = self.crops.select(["crop_id", "photo_id", "path", "status"]).to_pylist()
        return {r["crop_id"]: r["path"] for r in rows if r["status"] == CropStatus.OK and r["photo_id"] in self.part}

    @cached_property
    def viewpoints(self) -> dict[str, str]:
        """Side of the animal by crop_id."""
        views = zip(self.crops["crop_id"].to_pylist(), self.crops["viewpoint"].to_pylist(), strict=True)
        return {crop_id: view or Viewpoint.UNKNOWN.value for crop_id, view in views}

    @cached_property
    def usable(self) -> pa.Table:
        """`cohort.crop_info` of a method that can look at every crop."""
        usable = pc.equal(self.crops["status"], CropStatus.OK.value)
        status = pc.if_else(usable, FeatureStatus.OK.value, FeatureStatus.NO_CROP.value)
        return self.info(pa.table({"crop_id": self.crops["crop_id"], "status": status}))

    @property
    def shown_crops(self) -> pa.Table:
        """The rows of ``crops`` whose photo takes part; the others need no features."""
        return self.crops.filter(pc.is_in(self.crops["photo_id"], pa.array(sorted(self.part), pa.string())))

    def info(self, features: pa.Table) -> pa.Table:
        """`cohort.crop_info` for features (crop_id, status) of some method."""
        crops = self.crops.filter(pc.is_in(self.crops["crop_id"], features["crop_id"].combine_chunks()))
        if "n_keypoints" not in features.column_names:  # the method has none
            features = features.append_column("n_keypoints", pa.array([0] * features.num_rows, pa.int64()))
        return crop_info(self.photos, crops, features, self.cohort)

    def grid(self, info: pa.Table) -> PairGrid:
        """Queries against the gallery, see `cohort.pair_grids`; the pairs that only calibrate are left out."""
        return pair_grids(info, self.cohort, self.settings.pairs, self.settings.novelty.calibration_encounters)[0]

    def planned(self, info: pa.Table) -> pa.Table:
        """The pairs of `grid` that can be compared."""
        return self.grid(info).plan().pairs

    def galleries(self, planned: pa.Table) -> dict[str, list[str]]:
        """By query crop, the gallery crops that it is compared with."""
        galleries: dict[str, list[str]] = {}
        for query, gallery in planned_pairs(planned):
            galleries.setdefault(query, []).append(gallery)
        return galleries

    def n_comparable(self, galleries: Mapping[str, Sequence[str]]) -> int:
        """Query photos with at least one planned pair."""
        photo_of = dict(zip(self.crops["crop_id"].to_pylist(), self.crops["photo_id"].to_pylist(), strict=True))
        return len({photo_of[crop_id] for crop_id in galleries})

    def read(self, crop_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Picture and mask of a crop that takes part."""
        return read_crop(self.env.workspace, self.paths[crop_id])


def planned_pairs(planned: pa.Table) -> list[tuple[str, str]]:
    """Query and gallery crop of every pair that can be compared."""
    return list(zip(planned["query_crop_id"].to_pylist(), planned["gallery_crop_id"].to_pylist(), strict=True))


@dataclass(frozen=True)
class Method(ABC):
    """One row of the comparison.

    Attributes:
        name: What ``--methods`` calls it.
        title: What people read.
        family: What it looks at.
        quick: Whether it takes only minutes on a CPU; ``--quick`` leaves the others out.
    """

    name: str
    title: str
    family: Family
    quick: bool

    @abstractmethod
    def describe(self, trial: Trial) -> Any:
        """Plain values of everything that decides the result, besides photos, split and weights."""

    @abstractmethod
    def run(self, trial: Trial) -> MethodScores:
        """Compare all planned pairs; what was computed before is not computed again."""

    def weight_names(self) -> Sequence[str]:
        """Weights from the registry, or paths."""
        return ()

    def digests(self, trial: Trial) -> dict[str, str]:
        """SHA-256 of the weights by name.

        Raises:
            MissingWeightsError: Some are missing; says how to get each.
            WeightsError: One is wrong.
        """
        digests: dict[str, str] = {}
        missing = []
        for name in self.weight_names():
            try:
                digests |= trial.env.weights.digests([name])
            except MissingWeightsError as error:
                missing.append(f"{error}{_or_fetch(name)}")
        if missing:
            raise MissingWeightsError(" ".join(missing))
        return digests


def _or_fetch(name: str) -> str:
    """The command that fetches these weights, if they may be fetched."""
    entry = WEIGHTS.get(name)
    fetched = entry is not None and any(file.addresses for file in entry.files)
    return f" `resight weights fetch {name}` does that on a machine with internet." if fetched else ""


def scores_of(planned: pa.Table, values: Mapping[tuple[str, str], float]) -> pa.Table:
    """`SCORE_SCHEMA` of the planned pairs that have an entry in ``values`` (by query and gallery crop)."""
    scores = pa.array([values.get(pair) for pair in planned_pairs(planned)], pa.float64())
    table = planned.select(SCORE_SCHEMA.names[:3]).append_column("score", scores)
    return table.filter(pc.is_valid(scores)).cast(SCORE_SCHEMA)
