"""Stage ``report``: the page that shows what was found and what proves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.match.evidence import evidence
from resight.report.data import Evidence, ReportData
from resight.report.page import render_report
from resight.run.names import stage_names
from resight.run.run import Run
from resight.run.setups import match_setup
from resight.runner.runner import Runner
from resight.score.null import Null, learn_null
from resight.segment.store import read_crop
from resight.settings import Settings
from resight.store.runs import read_run, run_record, run_tables
from resight.store.tables import conform, empty_table
from resight.store.workspace import Workspace
from resight.tasks.stage import stage
from resight.weights.store import WeightStore

TABLES = ("photos", "crops", "pairs", "scores", "identifications", "novelty")


@stage("report")
def write_report(run: Run) -> Path:
    """Draw the page of the run under way into its folder."""
    record = run_record(conform("runs", [run.record("under way")], run.run_id))
    html = _draw(
        run.workspace, record | {"notes": run.notes}, run.tables, run.tables["features"], run.extras["null"], run.settings, run.weights, run.runner
    )  # fmt: skip
    return run.staging.write_report(html)


def draw(workspace: Workspace, run_id: str, settings: Settings, weights: WeightStore, runner: Runner) -> str:
    """Draw the page of an earlier run from its tables."""
    tables = {name: read_run(workspace, run_id, name) for name in run_tables(workspace, run_id)}
    null = learn_null(tables["pairs"], _labels(tables["photos"], tables["pairs"]), settings.score.null_pairs)
    return _draw(
        workspace,
        run_record(tables["runs"]) | {"notes": []},
        tables,
        tables["features"],
        null,
        settings,
        weights,
        runner,
    )


def _draw(
    workspace: Workspace,
    record: dict[str, Any],
    tables: Mapping[str, pa.Table],
    features: pa.Table,
    null: Null,
    settings: Settings,
    weights: WeightStore,
    runner: Runner,
) -> str:
    shown = {name: tables.get(name, empty_table(name)) for name in TABLES}
    pairs = _shown_pairs(shown["identifications"], settings.report.candidates)
    env = Environment(workspace, weights, runner, settings.device)
    found = evidence(env, match_setup(settings), stage_names(settings, weights).match, pairs, features)
    paths = dict(zip(shown["crops"]["crop_id"].to_pylist(), shown["crops"]["path"].to_pylist(), strict=True))
    data = ReportData(
        run=record,
        **shown,
        evidence={pair: _turned(pair, found) for pair in pairs if pair in found},
        null=_curve(null),
        read_crop=lambda crop_id: _with_mask(*read_crop(workspace, paths[crop_id])),
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


def _turned(pair: tuple[str, str], found: Mapping[tuple[str, str], Any]) -> Evidence:
    """Evidence as query and gallery; it is kept per unordered pair."""
    one = found[pair]
    return Evidence(one.xy_a_px, one.xy_b_px, one.confidence, one.inlier)


def _curve(null: Null) -> tuple[np.ndarray, np.ndarray] | None:
    if null.pooled is None:
        return None
    cdf = null.pooled.cdf()
    return np.linspace(0.0, 1.0, len(cdf)), cdf


def _labels(photos: pa.Table, pairs: pa.Table) -> dict[str, str]:
    gallery = set(pairs["gallery_photo_id"].to_pylist())
    rows = photos.select(["photo_id", "individual_id"]).to_pylist()
    return {r["photo_id"]: r["individual_id"] for r in rows if r["individual_id"] and r["photo_id"] in gallery}
