"""Synthetic crops with planted matches, and stand-ins for the stages around ``match``."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from resight.environment import Environment
from resight.extract.base import Features
from resight.match.setup import match_fingerprint
from resight.match.stage import match
from resight.run.setups import match_setup
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.settings import Settings
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

SIZE_WH = (313, 471)


def make_features(n: int, seed: int, dim: int = 32, size_wh: tuple[int, int] = SIZE_WH) -> Features:
    """``n`` random keypoints with descriptors of unit length."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(n, dim)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    xy = rng.uniform(0, np.array(size_wh) - 1, (n, 2)).astype(np.float32)
    scale = rng.uniform(1, 6, n).astype(np.float32)
    angle = rng.uniform(-np.pi, np.pi, n).astype(np.float32)
    return Features(xy, descriptors, scale, angle, np.linspace(1, 0.1, n, dtype=np.float32), size_wh)


def planted(n: int, n_same: int, seed: int, dim: int = 32) -> tuple[Features, Features, np.ndarray]:
    """Two crops of which ``n_same`` keypoints are the same, moved by one homography; and (n_same, 2) index pairs."""
    a, b = make_features(n, seed, dim), make_features(n, seed + 1, dim)
    rng = np.random.default_rng(seed + 2)
    ia, ib = rng.permutation(n)[:n_same], rng.permutation(n)[:n_same]
    noisy = a.descriptors[ia] + 0.02 * rng.normal(size=(n_same, dim)).astype(np.float32)
    b.descriptors[ib] = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    b.xy_px[ib] = a.xy_px[ia] * [0.9, 0.95] + [4, 7]
    return a, b, np.stack([ia, ib], 1)


@dataclass
class Survey:
    """Crops whose features a stand-in reader gives out; counts what was read."""

    crops: dict[str, Features] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    loads: int = 0

    @property
    def features(self) -> pa.Table:
        """The ``features`` table."""
        ids = sorted(self.crops)
        return pa.table(
            {
                "crop_id": ids,
                "store": ["store/extract/x.zarr"] * len(ids),
                "store_row": pa.array(range(len(ids)), pa.int32()),
                "status": ["ok"] * len(ids),
            }
        )

    def load(self, store: str, row: int) -> Features:
        """Features of one crop."""
        self.loads += 1
        name = sorted(self.crops)[row]
        if name in self.broken:
            raise OSError(f"row {row} of {store} cannot be read")
        return self.crops[name]


@pytest.fixture
def survey(monkeypatch: pytest.MonkeyPatch) -> Survey:
    """Three queries (q0 to q2) and four gallery crops (g0 to g3); q1 and g2 show the same points."""
    names = ["q0", "q1", "q2", "g0", "g1", "g2", "g3"]
    one = Survey({name: make_features(60, seed) for seed, name in enumerate(names)})
    one.crops["q1"], one.crops["g2"], _ = planted(60, 30, seed=50)
    monkeypatch.setattr("resight.extract.reader.FeatureReader", lambda workspace: one, raising=False)
    return one


@pytest.fixture(name="make_features")
def _make_features() -> Callable[..., Features]:
    """`make_features`."""
    return make_features


@pytest.fixture(name="planted")
def _planted() -> Callable[..., tuple[Features, Features, np.ndarray]]:
    """`planted`."""
    return planted


@pytest.fixture
def inline() -> Runner:
    """Everything in this process."""
    return Runner(DaskParams(mode="inline"), quiet=True)


@pytest.fixture
def store() -> WeightStore:
    """Nothing is fetched."""
    return WeightStore(allow_download=False)


@pytest.fixture
def name_of(store: WeightStore) -> Callable[[Settings], str]:
    """Name of pair results under some settings, from features called ``extracted``."""

    def make(settings: Settings) -> str:
        setup = match_setup(settings)
        return match_fingerprint(
            setup, list(store.digests(setup.weight_names()).values()), "extracted", settings.device
        )

    return make


@pytest.fixture
def plan_of() -> Callable[[list[tuple[str, str]]], pa.Table]:
    """A plan of exactly these pairs."""

    def make(pairs: list[tuple[str, str]], status: str = "planned", reason: str = "") -> pa.Table:
        return pa.table(
            {
                "query_crop_id": pa.array([q for q, _ in pairs], pa.string()),
                "gallery_crop_id": pa.array([g for _, g in pairs], pa.string()),
                "query_photo_id": pa.array([f"photo {q}" for q, _ in pairs], pa.string()),
                "gallery_photo_id": pa.array([f"photo {g}" for _, g in pairs], pa.string()),
                "purpose": pa.array(["identify"] * len(pairs), pa.string()),
                "status": pa.array([status] * len(pairs), pa.string()),
                "reason": pa.array([reason] * len(pairs), pa.string()),
            }
        )

    return make


@pytest.fixture
def settings() -> Settings:
    """SIFT-like descriptors and nearest neighbours."""
    return Settings()


@pytest.fixture
def run(survey: Any, env: Environment, name_of: Callable[[Settings], str]) -> Callable[..., Any]:
    """Call the stage."""

    def call(
        plan: pa.Table, settings: Settings | None = None, runner: Runner = env.runner, where: Workspace = env.workspace
    ) -> Any:
        used = settings or Settings()
        place = replace(env, runner=runner, workspace=where)
        return match(place, match_setup(used), name_of(used), plan, survey.features)

    return call
