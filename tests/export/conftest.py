"""Runs written by hand, so that every figure in an export is known."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from season_rows import RUN_ID, MakeRun, season

from resight.store.publication import publish_generation
from resight.store.runs import staging
from resight.store.tables import conform
from resight.store.workspace import Workspace


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    (tmp_path / "my season").mkdir()
    return Workspace(tmp_path / "my season")


@pytest.fixture
def make_run(place: Workspace) -> MakeRun:
    """Writes and publishes a run of the given tables, and gives its name."""

    def make(run_id: str = RUN_ID, **given: Any) -> str:
        record = {
            "flow": "nightly", "night": date(2026, 6, 5), "status": "accepted", "started_at": datetime(2026, 6, 5, 20, tzinfo=UTC),
            "ended_at": datetime(2026, 6, 5, 21, tzinfo=UTC), "resight_version": "0.1.0", "model_fingerprint": "m1", "device": "cpu",
        } | dict.fromkeys(("fingerprints", "weights", "settings", "versions", "counts", "work"), "{}")  # fmt: skip
        record |= given.pop("record", {})
        with staging(place) as stage:
            for name, rows in {**given, "runs": [record]}.items():
                stage.write(name, conform(name, rows, run_id))
            stage.commit(run_id)
        publish_generation(place, run_id=run_id)
        return run_id

    return make


@pytest.fixture
def published(place: Workspace, make_run: MakeRun) -> Workspace:
    """The workspace after the season's run, with files behind its photos."""
    make_run(**season())
    for row in season()["photos"]:
        (place.root / row["uri"]).parent.mkdir(parents=True, exist_ok=True)
        (place.root / row["uri"]).write_bytes(row["photo_id"].encode())
    return place
