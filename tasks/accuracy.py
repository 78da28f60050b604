"""Stage ``accuracy``: the page that shows how good the system is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.history import asked_encounters, earlier_runs, protocol_of
from resight.evaluate.outcomes import BACKGROUND, PHOTO
from resight.report.accuracy_data import AccuracyData
from resight.report.accuracy_page import render_accuracy
from resight.run.run import Run
from resight.segment.store import read_crop
from resight.settings import Settings
from resight.store.runs import ACCURACY_FILE, read_run, run_record, run_tables
from resight.store.tables import conform
from resight.store.workspace import Workspace
from resight.tasks.stage import stage

PAINTED = 4


@stage("accuracy")
def write_accuracy(run: Run) -> Path:
    """Draw the accuracy page of the run under way into its folder."""
    record = run_record(conform("runs", [run.record("under way")], run.run_id)) | {"notes": run.notes}
    html = _draw(run.workspace, record, run.written, run.settings)
    return run.staging.write_report(html, ACCURACY_FILE)


def draw_accuracy(workspace: Workspace, run_id: str, settings: Settings) -> str:
    """Draw the accuracy page of an earlier run from its tables."""
    tables = {name: read_run(workspace, run_id, name) for name in run_tables(workspace, run_id)}
    return _draw(workspace, run_record(tables["runs"]) | {"notes": []}, tables, settings)


def _draw(workspace: Workspace, record: dict[str, Any], tables: Mapping[str, pa.Table], settings: Settings) -> str:
    others = sorted({r["against_run_id"] for r in _rows(tables, "accuracy_differences")})
    painted = _examples(workspace, tables["outcomes"])
    crops = _looks(*(read_run(workspace, r, "crops") for r in others), tables["crops"])
    paths = dict(zip(crops["crop_id"].to_pylist(), crops["path"].to_pylist(), strict=True)) | painted

    def picture(crop_id: str) -> np.ndarray:
        rgb, mask = read_crop(workspace, paths[crop_id])
        return np.dstack([rgb, mask.astype(np.uint8) * 255])

    data = AccuracyData(
        run=record,
        accuracy=tables["accuracy"].to_pylist(),
        outcomes=tables["outcomes"].to_pylist(),
        curves=tables["accuracy_curves"].to_pylist(),
        photos=tables["photos"],
        crops=crops,
        read_crop=picture,
        differences=_rows(tables, "accuracy_differences"),
        changes=_rows(tables, "changes"),
        earlier=earlier_runs(
            workspace,
            record["flow"],
            protocol_of(tables["accuracy"]),
            asked_encounters(tables["outcomes"]),
            record["ended_at"],
        ),
        painted=list(painted),
        score_name=settings.score.name,
        alpha=settings.novelty.alpha,
        worst=settings.evaluate.worst,
    )
    return render_accuracy(data)


def _looks(*tables: pa.Table) -> pa.Table:
    """What the page needs of crops of several runs; the last table wins where two have the same crop."""
    rows = [r for t in tables for r in t.select(["crop_id", "photo_id", "viewpoint", "path"]).to_pylist()]
    kept = {r["crop_id"]: r for r in rows}
    schema = pa.schema([(name, pa.string()) for name in ("crop_id", "photo_id", "viewpoint", "path")])
    return pa.Table.from_pylist(list(kept.values()), schema=schema)


def _rows(tables: Mapping[str, pa.Table], name: str) -> list[dict[str, Any]]:
    return tables[name].to_pylist() if name in tables else []


def _examples(workspace: Workspace, outcomes: pa.Table) -> dict[str, str]:
    """Crop id and path of painted queries, those first that were recognised all the same."""
    rows = outcomes.filter(pc.and_(pc.equal(outcomes["trial"], BACKGROUND), pc.equal(outcomes["level"], PHOTO)))
    queries = sorted(rows.to_pylist(), key=lambda r: (not r["correct"], r["query_id"]))
    crops = [r["query_crop_id"] for r in queries if r["query_crop_id"]][:PAINTED]
    files_of = {c: sorted((workspace.store / BACKGROUND).glob(f"*/crops/{c[:2]}/{c}.png")) for c in crops}
    return {c: workspace.relative(files[0]) for c, files in files_of.items() if files}
