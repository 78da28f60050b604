"""Small runs and workspaces that publish them."""

import shutil
from datetime import UTC, date, datetime
from typing import Any

from resight.catalog import table as catalog_table
from resight.store.generations import MANIFEST, current_generation
from resight.store.publication import publish_generation
from resight.store.runs import staging
from resight.store.sealed import write_json
from resight.store.table_files import named_files
from resight.store.tables import conform
from resight.store.workspace import Workspace

OLD, NEW = "a" * 16, "b" * 16
NIGHT = {"run_id": "r2", "model": NEW}
ACCURACY = {"metric": "top1_photo", "stratum": "all", "value": 0.5, "n": 2, "unit": "share", "protocol": "by hand"}
EVENT = {"event_no": 1, "night": date(2026, 6, 4), "event": "created", "encounter_id": "e"}
HISTORY = {"event_run_id": "r", "provisional_individual_id": "new-1"}


def make_run(
    place: Workspace, run_id: str, model: str = OLD, measured: bool = False, links: str = "", queries: str = ""
) -> None:
    """A run with some tables, each of which names it, and where queries are given, with their scores: a table in parts."""
    now = datetime.now(UTC)
    row: dict[str, Any] = {field.name: "{}" for field in catalog_table("runs").schema}
    row |= {"flow": "nightly", "night": date(2026, 6, 4), "status": "kept_aside" if measured else "accepted"}
    row |= {"started_at": now, "ended_at": now, "model_fingerprint": model}
    with staging(place) as stage:
        stage.write("runs", conform("runs", [{k: v for k, v in row.items() if k != "run_id"}], run_id))
        stage.write("provisional", conform("provisional", [EVENT | HISTORY], run_id))
        if queries:
            stage.write("scores", conform("scores", scores(queries), run_id))
        if measured:
            stage.write("accuracy", conform("accuracy", [ACCURACY], run_id))
            stage.write_report(f"accuracy of {run_id}", "accuracy.html")
        stage.write_report(f"page of {run_id}{links}")
        stage.commit(run_id)


def scores(queries: str) -> list[dict[str, Any]]:
    """A hundred rows for each letter."""
    row = {"purpose": "identify", "score_name": "mean"}
    return [
        row | {"query_crop_id": f"q{query}", "gallery_crop_id": f"g{n:03d}", "score": n / 7}
        for query in queries
        for n in range(100)
    ]


def of_before(place: Workspace) -> None:
    """What earlier versions left: a plain folder, and the accepted model beside it."""
    shutil.copytree(place.runs / "r1", place.current)
    write_json(place.models / "current.json", {"fingerprint": OLD})


def published(place: Workspace) -> None:
    publish_generation(place, run_id="r1", model=OLD)


def copied(place: Workspace) -> None:
    """A workspace that was copied by a program that follows links."""
    published(place)
    folder = place.current.resolve()
    place.current.unlink()
    shutil.copytree(folder, place.current)


def state(place: Workspace) -> tuple[str | None, ...]:
    """Run of each current table and page, run and model by the manifest."""
    now = current_generation(place)
    if now is None:
        return (None,)
    runs = [now.table(name)["run_id"][0].as_py() for name in ("runs", "provisional")]
    measured = sorted(set(now.table("accuracy")["run_id"].to_pylist())) if now.has("accuracy") else [None]
    report = now.folder / "report.html"
    page = report.read_text().removeprefix("page of ") if report.exists() else None
    return (now.run_id, now.model, *runs, page, now.accuracy_run_id, *measured)


def contents(place: Workspace) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in named_files(place.current).items() if name != MANIFEST}
