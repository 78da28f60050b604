"""What a method of the comparison is, and what it gets to work on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.errors import MissingWeightsError
from resight.pairs.cohort import Cohort, crop_info, plan
from resight.pairs.plan import PLANNED
from resight.settings import Settings
from resight.status import CropStatus, FeatureStatus
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
    """What one query costs, taken on a sample whatever came from the cache.

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
class Scored:
    """What a method gives back.

    Attributes:
        info: See `cohort.crop_info`.
        scores: `SCORE_SCHEMA` of all pairs that could be compared; larger means same animal, 0 means nothing in common.
        timing: None where there was nothing to take time of.
        note: What one should know about the row.
        weights: SHA-256 by name of weights that the method made itself.
    """

    info: pa.Table
    scores: pa.Table
    timing: Timing | None
    note: str = ""
    weights: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Trial:
    """Photos, crops and split, the same for all methods.

    Attributes:
        env: Where results go, where weights are looked for, and what runs the blocks.
        settings: Whatever is no method's own: segmenter, crops, which sides are compared, rank, device.
        photos, crops: The tables of the run.
        cohort: Gallery and queries with their labels.
        max_keypoints: Budget of all local methods, where somebody has set one.
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

    @cached_property
    def paths(self) -> dict[str, str]:
        """Path by crop_id of the crops that are usable and take part."""
        part = self.cohort.queries | self.cohort.gallery
        rows = self.crops.select(["crop_id", "photo_id", "path", "status"]).to_pylist()
        return {r["crop_id"]: r["path"] for r in rows if r["status"] == CropStatus.OK and r["photo_id"] in part}

    @cached_property
    def usable(self) -> pa.Table:
        """`cohort.crop_info` of a method that can look at every crop."""
        state = [FeatureStatus.OK if s == CropStatus.OK else FeatureStatus.NO_CROP for s in self._statuses]
        columns = {"crop_id": self.crops["crop_id"], "status": pa.array([str(s) for s in state], pa.string())}
        return self.info(pa.table(columns))

    @cached_property
    def _statuses(self) -> list[str]:
        statuses: list[str] = self.crops["status"].to_pylist()
        return statuses

    @property
    def asked_crops(self) -> pa.Table:
        """The rows of ``crops`` whose photo takes part; the others need no features."""
        part = self.cohort.queries | self.cohort.gallery
        return self.crops.filter(pa.array([p in part for p in self.crops["photo_id"].to_pylist()], pa.bool_()))

    def info(self, features: pa.Table) -> pa.Table:
        """`cohort.crop_info` for features (crop_id, status) of some method."""
        crops = self.crops.filter(pc.is_in(self.crops["crop_id"], features["crop_id"].combine_chunks()))
        return crop_info(self.photos, crops, features, self.cohort)

    def planned(self, info: pa.Table) -> pa.Table:
        """Queries against the gallery, see `cohort.plan`; the pairs that only calibrate are left out."""
        pairs = plan(info, self.cohort, self.settings.pairs, self.settings.novelty.calibration_encounters)
        return pairs.filter(pc.equal(pairs["purpose"], "identify"))

    def galleries(self, planned: pa.Table) -> dict[str, list[str]]:
        """By query crop, the gallery crops that it is compared with."""
        rows = planned.filter(pc.equal(planned["status"], PLANNED))
        galleries: dict[str, list[str]] = {}
        for q, g in zip(rows["query_crop_id"].to_pylist(), rows["gallery_crop_id"].to_pylist(), strict=True):
            galleries.setdefault(q, []).append(g)
        return galleries


@dataclass(frozen=True)
class Method(ABC):
    """One row of the comparison.

    Attributes:
        name: What ``--methods`` calls it.
        title: What people read.
        family: What it looks at.
        quick: Whether it is done in minutes on a CPU; ``--quick`` leaves the others out.
    """

    name: str
    title: str
    family: Family
    quick: bool

    @abstractmethod
    def describe(self, trial: Trial) -> Any:
        """Plain values of everything that decides the result, besides photos, split and weights."""

    @abstractmethod
    def run(self, trial: Trial) -> Scored:
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
    """The command that gets it, for those that may be fetched."""
    entry = WEIGHTS.get(name)
    fetched = entry is not None and any(file.addresses for file in entry.files)
    return f" `resight weights fetch {name}` does that on a machine with internet." if fetched else ""


def scores_of(planned: pa.Table, values: dict[tuple[str, str], float]) -> pa.Table:
    """`SCORE_SCHEMA` of the planned pairs that ``values`` (by query and gallery crop) knows."""
    chosen = planned.filter(pc.equal(planned["status"], PLANNED))
    ids = [chosen[c].to_pylist() for c in ("query_crop_id", "gallery_crop_id", "purpose")]
    rows = [(q, g, p, values[q, g]) for q, g, p in zip(*ids, strict=True) if (q, g) in values]
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCORE_SCHEMA, strict=True)], schema=SCORE_SCHEMA)
