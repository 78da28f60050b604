"""Stage ``report``: the page that shows what was found and what proves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.match import evidence as match
from resight.match.evidence import evidence
from resight.report.data import MatchedPoints, ReportData
from resight.report.page import render_report
from resight.run.conditions import Conditions
from resight.run.run import Run
from resight.run.setups import match_setup
from resight.run.state import Scored
from resight.score.null import Null, learn_null
from resight.segment.store import read_crop
from resight.store.runs import read_run, run_record, run_tables
from resight.store.tables import conform, empty_table
from resight.tasks.stage import stage

TABLES = ("photos", "crops", "pairs", "scores", "identifications", "novelty")


@stage("report")
def write_report(run: Run, scored: Scored) -> Path:
    """Draw the page of the run under way into its folder."""
    record = run_record(conform("runs", [run.record("under way")], run.run_id)) | {"notes": run.notes}
    html = _draw(run.conditions, record, run.written, scored.null)
    return run.staging.write_report(html)


def draw(conditions: Conditions, run_id: str) -> str:
    """Draw the page of an earlier run from its tables."""
    workspace, settings = conditions.env.workspace, conditions.settings
    tables = {name: read_run(workspace, run_id, name) for name in run_tables(workspace, run_id)}
    null = learn_null(tables["pairs"], _labels(tables["photos"], tables["pairs"]), settings.score.null_pairs)
    return _draw(conditions, run_record(tables["runs"]) | {"notes": []}, tables, null)


def _draw(conditions: Conditions, record: dict[str, Any], tables: Mapping[str, pa.Table], null: Null) -> str:
    env, settings = conditions.env, conditions.settings
    shown = {name: tables.get(name, empty_table(name)) for name in TABLES}
    pairs = _shown_pairs(shown["identifications"], settings.report.candidates)
    proof = evidence(env, match_setup(settings), conditions.names.match, pairs, tables["features"])
    paths = dict(zip(shown["crops"]["crop_id"].to_pylist(), shown["crops"]["path"].to_pylist(), strict=True))
    data = ReportData(
        run=record,
        **shown,
        matches={pair: _shown(proof[pair]) for pair in pairs if pair in proof},
        null=_curve(null),
        read_crop=lambda crop_id: _with_mask(*read_crop(env.workspace, paths[crop_id])),
        accuracy=tables.get("accuracy"),
    )
    return render_report(data, settings.report)


def _with_mask(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 4): the page pales what lies outside the mask."""
    return np.dstack([rgb, mask.astype(np.uint8) * 255])


def _shown_pairs(identifications: pa.Table, candidates: int) -> list[tuple[str, str]]:
    rows = identifications.select(["level", "rank", "best_query_crop_id", "best_gallery_crop_id"]).to_pylist()
    return sorted(
        {
            (r["best_query_crop_id"], r["best_gallery_crop_id"])
            for r in rows
            if r["level"] == "encounter" and r["rank"] <= candidates
        }
    )


def _shown(proof: match.Evidence) -> MatchedPoints:
    return MatchedPoints(proof.xy_a_px, proof.xy_b_px, proof.confidence, proof.inlier)


def _curve(null: Null) -> tuple[np.ndarray, np.ndarray] | None:
    if null.pooled is None:
        return None
    cdf = null.pooled.cdf()
    return np.linspace(0.0, 1.0, len(cdf)), cdf


def _labels(photos: pa.Table, pairs: pa.Table) -> dict[str, str]:
    gallery = set(pairs["gallery_photo_id"].to_pylist())
    rows = photos.select(["photo_id", "individual_id"]).to_pylist()
    return {r["photo_id"]: r["individual_id"] for r in rows if r["individual_id"] and r["photo_id"] in gallery}
