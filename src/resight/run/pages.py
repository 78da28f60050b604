"""The pages of a run, drawn from its tables: the report, and the page that shows how good the system is."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import DamagedError, WorkspaceError
from resight.evaluate.history import asked_encounters, earlier_runs, protocol_of
from resight.evaluate.outcomes import BACKGROUND, PHOTO
from resight.ingest.decode import load_rgb
from resight.match.evidence import evidence
from resight.pairs.cohort import CALIBRATE
from resight.report.accuracy_data import AccuracyData
from resight.report.accuracy_page import render_accuracy
from resight.report.cards import shown_verdicts
from resight.report.data import MatchedPoints, ReportData
from resight.report.page import render_report
from resight.report.pictures import Beside
from resight.run.calibration import GONE, STAGE
from resight.run.conditions import Conditions
from resight.run.learned import null_of
from resight.run.setups import match_setup
from resight.score.null import Null, learn_null
from resight.segment.store import read_crop
from resight.settings import Settings
from resight.store.listing import matching
from resight.store.runs import read_run
from resight.store.tables import empty_table
from resight.store.workspace import Workspace

log = logging.getLogger("resight")
REPORT_TABLES = ("photos", "crops", "pairs", "scores", "identifications", "novelty")
PAINTED_SHOWN = 4
REVIEWED = (
    5  # candidates that `resight review` shows of an encounter; it waits for no points if the night has found them
)

Tables = Mapping[str, pa.Table]


def draw_report(
    conditions: Conditions,
    record: Mapping[str, Any],
    tables: Tables,
    null: Null | None = None,
    beside: Beside | None = None,
    page: Path | None = None,
) -> str:
    """The page that shows what was found and what proves it.

    Args:
        conditions: Those of the run, with the report's settings as they are wanted now.
        record: `store.runs.run_record`, and ``notes``.
        tables: Of the run, by name.
        null: What pairs of different animals look like; learned again from the tables if not given.
        beside: Takes the pictures of a large page.
        page: Where it will be; in the run's folder if not given. Photos are linked from there.
    """
    env, settings = conditions.env, conditions.settings
    shown = {name: tables.get(name, empty_table(name)) for name in REPORT_TABLES}
    verdicts = shown_verdicts(shown["novelty"], shown["photos"], record["night"], settings.report)
    said = {row["encounter_id"]: row["individual_id"] for row in verdicts}
    pairs = _shown_pairs(shown["identifications"], max(settings.report.candidates, REVIEWED), said)
    points = evidence(env, match_setup(settings), conditions.names.match, pairs, tables["features"])
    if null is None:
        null = _null(env.workspace, record, shown, settings)
    data = ReportData(
        run=record,
        **shown,
        matches={
            pair: MatchedPoints(p.xy_a_px, p.xy_b_px, p.confidence, p.inlier, p.verified) for pair, p in points.items()
        },
        null=_curve(null),
        read_crop=_crop_reader(env.workspace, _paths(shown["crops"])),
        accuracy=tables.get("accuracy"),
        read_photo=_photo_reader(env.workspace, shown["photos"], settings.ingest.max_megapixels),
        root=env.workspace.root,
        folder=page.parent if page else env.workspace.runs / record["run_id"],
    )
    return render_report(data, settings.report, beside)


def draw_accuracy(workspace: Workspace, settings: Settings, record: Mapping[str, Any], tables: Tables) -> str:
    """The page that shows how good the system is; arguments as of `draw_report`."""
    differences = _rows(tables, "accuracy_differences")
    others = sorted({r["against_run_id"] for r in differences})
    painted = _painted_crops(workspace, tables["outcomes"])
    crops = _crops_of_all(*(read_run(workspace, run_id, "crops") for run_id in others), tables["crops"])
    protocol, encounters = protocol_of(tables["accuracy"]), asked_encounters(tables["outcomes"])
    data = AccuracyData(
        run=record,
        accuracy=_rows(tables, "accuracy"),
        outcomes=_rows(tables, "outcomes"),
        curves=_rows(tables, "accuracy_curves"),
        photos=tables["photos"],
        crops=crops,
        read_crop=_crop_reader(workspace, _paths(crops) | painted),
        differences=differences,
        changes=_rows(tables, "changes"),
        earlier=earlier_runs(workspace, record["flow"], protocol, encounters, record["ended_at"]),
        painted=list(painted),
        score_name=settings.score.name,
        alpha=settings.novelty.alpha,
        worst=settings.evaluate.worst,
    )
    return render_accuracy(data)


def _crop_reader(workspace: Workspace, paths: Mapping[str, str]) -> Callable[[str], np.ndarray]:
    """From crop id to RGBA (H, W, 4): the page pales what lies outside the mask."""

    def read(crop_id: str) -> np.ndarray:
        rgb, mask = read_crop(workspace, paths[crop_id])
        return np.dstack([rgb, mask.astype(np.uint8) * 255])

    return read


def _photo_reader(workspace: Workspace, photos: pa.Table, max_megapixels: float) -> Callable[[str], np.ndarray]:
    """From photo id to RGB (H, W, 3)."""
    uris = dict(zip(photos["photo_id"].to_pylist(), photos["uri"].to_pylist(), strict=True))

    def read(photo_id: str) -> np.ndarray:
        try:
            return load_rgb(uris[photo_id], max_megapixels, workspace.root)
        except OSError as error:
            raise WorkspaceError(f"{uris[photo_id]} cannot be read ({error}).") from None

    return read


def _paths(crops: pa.Table) -> dict[str, str]:
    return dict(zip(crops["crop_id"].to_pylist(), crops["path"].to_pylist(), strict=True))


def _rows(tables: Tables, name: str) -> list[dict[str, Any]]:
    return tables[name].to_pylist() if name in tables else []


def _shown_pairs(identifications: pa.Table, candidates: int, said: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """The pairs that are drawn; what was drawn on the pages of earlier nights is not looked up again.

    Args:
        identifications: All candidates.
        candidates: How many of an encounter are shown.
        said: By encounter that is shown, the animal of its verdict, which stands first whatever its rank.
    """
    columns = ["query_id", "individual_id", "rank", "best_query_crop_id", "best_gallery_crop_id"]
    of_encounters = pc.and_(
        pc.equal(identifications["level"], "encounter"),
        pc.is_in(identifications["query_id"], pa.array(said, pa.string())),
    )
    rows = identifications.filter(of_encounters).select(columns).to_pylist()
    shown = [r for r in rows if r["rank"] <= candidates or r["individual_id"] == said[r["query_id"]]]
    return sorted({(r["best_query_crop_id"], r["best_gallery_crop_id"]) for r in shown})


def _null(workspace: Workspace, record: Mapping[str, Any], tables: Tables, settings: Settings) -> Null:
    """What pairs of different animals look like, as the run has learned it."""
    place = record["fingerprints"].get(STAGE)
    if not place:
        return learn_null(tables["pairs"], _gallery_labels(tables), settings.score.null_pairs)
    folder = workspace.store / STAGE / place
    try:
        return null_of(folder)
    except (FileNotFoundError, DamagedError) as why:
        said = (
            f"{why.path} is damaged ({why.why})" if isinstance(why, DamagedError) else f"{folder} is not there any more"
        )
        log.warning(
            "%s, so the page of run %s does not show what pairs of different animals look like; %s.",
            said, record["run_id"], GONE,
        )  # fmt: skip
        return Null()


def _gallery_labels(tables: Tables) -> dict[str, str]:
    pairs = tables["pairs"]
    calibrating = pairs.filter(pc.equal(pairs["purpose"], CALIBRATE))  # photos of the gallery on both sides
    gallery = {*pc.unique(pairs["gallery_photo_id"]).to_pylist(), *pc.unique(calibrating["query_photo_id"]).to_pylist()}
    rows = tables["photos"].select(["photo_id", "individual_id"]).to_pylist()
    return {r["photo_id"]: r["individual_id"] for r in rows if r["individual_id"] and r["photo_id"] in gallery}


def _curve(null: Null) -> tuple[np.ndarray, np.ndarray] | None:
    if null.pooled is None:
        return None
    cdf = null.pooled.cdf()
    return np.linspace(0.0, 1.0, len(cdf)), cdf


def _crops_of_all(*tables: pa.Table) -> pa.Table:
    """What the accuracy page needs of crops of several runs; the last table wins where two have the same crop."""
    columns = ["crop_id", "photo_id", "viewpoint", "path"]
    crops = {r["crop_id"]: r for table in tables for r in table.select(columns).to_pylist()}
    return pa.Table.from_pylist(list(crops.values()), schema=pa.schema([(name, pa.string()) for name in columns]))


def _painted_crops(workspace: Workspace, outcomes: pa.Table) -> dict[str, str]:
    """Crop id and path of painted queries, those first that were recognised all the same."""
    rows = outcomes.filter(pc.and_(pc.equal(outcomes["trial"], BACKGROUND), pc.equal(outcomes["level"], PHOTO)))
    queries = sorted(rows.to_pylist(), key=lambda r: (not r["correct"], r["query_id"]))
    crops = [r["query_crop_id"] for r in queries if r["query_crop_id"]][:PAINTED_SHOWN]
    files_of = {c: matching(workspace.store / BACKGROUND, f"*/crops/{c[:2]}/{c}.png") for c in crops}
    return {c: workspace.relative(files[0]) for c, files in files_of.items() if files}
