"""A trial small enough for paper: two animals in the gallery, three query encounters, crops that are real files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from resight.compare.base import Family, Method, MethodScores, Timing, Trial, scores_of
from resight.compare.outcomes import METRICS
from resight.environment import Environment
from resight.pairs.cohort import Cohort
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.segment.store import crop_path, write_crop
from resight.settings import Settings
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

# Gallery: Ada (a left, a2 right), Ben (b left). Queries: p is Ada's left side, q is Ben's left side, r is Ada's right side.
PHOTOS = [
    ("a", "ada-1", "left", "2010-06-01"), ("a2", "ada-1", "right", "2010-06-01"), ("b", "ben-1", "left", "2010-06-01"),
    ("p", "E", "left", "2011-06-01"), ("q", "F", "left", "2011-06-01"), ("r", "G", "right", "2011-06-01"),
]  # fmt: skip
GALLERY = {"a": "Ada", "a2": "Ada", "b": "Ben"}
TRUTH = {"p": "Ada", "q": "Ben", "r": "Ada"}
# p finds Ada, q takes Ben for Ada, r can only be compared with Ada's right side.
SCORES = {("p", "a"): 0.9, ("p", "b"): 0.2, ("q", "a"): 0.5, ("q", "b"): 0.3, ("r", "a2"): 0.4}
COLOURS = {"Ada": (200, 60, 60), "Ben": (60, 60, 200)}


def picture(name: str, side: int = 48) -> np.ndarray:
    """An animal's colour with a pattern of the photo's own."""
    rng = np.random.default_rng(sum(map(ord, name)))
    colour = np.array(COLOURS[(GALLERY | TRUTH)[name]])
    return np.clip(colour + rng.normal(0, 25, (side, side + 16, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def trial(workspace: Workspace) -> Trial:
    return make_trial(workspace)


def make_trial(workspace: Workspace, **settings: Any) -> Trial:
    """The trial in a workspace, one photo one crop, of the same name."""
    ids = [p[0] for p in PHOTOS]
    paths = []
    for name in ids:
        path = crop_path(workspace.root, name)
        write_crop(path, picture(name), np.ones((48, 64), bool))
        paths.append(workspace.relative(path))
    photos = pa.table({
        "photo_id": ids, "encounter_id": [p[1] for p in PHOTOS], "viewpoint": [p[2] for p in PHOTOS],
        "taken_on": pa.array([date.fromisoformat(p[3]) for p in PHOTOS], pa.date32()),
        "taken_at": pa.nulls(len(ids), pa.timestamp("us")), "extra": pa.nulls(len(ids), pa.string()),
    })  # fmt: skip
    crops = pa.table({
        "crop_id": ids, "photo_id": ids, "viewpoint": [p[2] for p in PHOTOS], "path": paths, "status": ["ok"] * len(ids),
    })  # fmt: skip
    cohort = Cohort(frozenset(TRUTH), frozenset(GALLERY), GALLERY, TRUTH, evaluating=True, protocol="time-aware")
    runner = Runner(DaskParams(mode="inline"), quiet=True)
    used = Settings(**settings)
    env = Environment(workspace, WeightStore(allow_download=False), runner, used.device)
    return Trial(env, used, photos, crops, cohort)


@dataclass(frozen=True)
class ByHand(Method):
    """Scores from a table; counts how often it is run."""

    scores: dict[tuple[str, str], float] = field(default_factory=lambda: SCORES)
    weights: tuple[str, ...] = ()
    breaks: Exception | None = None
    runs: list[str] = field(default_factory=list)
    version: int = 1

    def describe(self, trial: Trial) -> Any:
        return self.version

    def weight_names(self) -> tuple[str, ...]:
        return self.weights

    def run(self, trial: Trial) -> MethodScores:
        self.runs.append(self.name)
        if self.breaks:
            raise self.breaks
        planned = trial.planned(trial.usable)
        return MethodScores(trial.usable, scores_of(planned, self.scores), Timing(0.5, 1.0, 5 / 3, 2), "by hand")


@pytest.fixture
def by_hand() -> Callable[..., ByHand]:
    def make(name: str = "hand", quick: bool = True, **more: Any) -> ByHand:
        return ByHand(name, name.title(), Family.LOCAL, quick, **more)

    return make


def row(method: str, **more: Any) -> dict[str, Any]:
    """A row with figures, as the page gets it."""
    figures = {m + end: value for m in METRICS for end, value in (("", 0.5), ("_low", 0.25), ("_high", 0.75))}
    return {
        "method": method, "title": method.title(), "family": "local", "status": "ok", "reason": "", "note": "", "n_photos": 3,
        "n_encounters": 3, "n_gallery_photos": 3, "n_gallery_individuals": 2, "protocol": "time-aware", "device": "cpu",
        "seconds_per_query": 1.0, "seconds_extract": 0.25, "seconds_match": 0.75, "pairs_per_query": 1.7, **figures, **more,
    }  # fmt: skip


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    return row


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any weights."""
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
