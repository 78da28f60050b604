"""Identify some photos at once, without a run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.errors import WorkspaceError
from resight.flows.steps import from_features_to_verdicts, healed, still_accepted, tonights_cohort, under_accepted
from resight.pairs.cohort import Cohort
from resight.report.words import photo_link
from resight.run.models import Model
from resight.run.run import Run, absolute_sources, open_run
from resight.run.state import Judged
from resight.settings import Settings
from resight.status import EncounterSource
from resight.store.sheets import sheets_of
from resight.store.workspace import open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.report import write_report
from resight.tasks.segment import segment_photos

CANDIDATE = ("rank", "individual_id", "score", "probability", "best_gallery_photo_id")
UNUSABLE = {"decision": "not_compared", "p_new": None, "p_value": None, "evidence": "The photo could not be used."}


def identify(
    workspace: str | Path,
    photos: Sequence[str | Path],
    overrides: Mapping[str, Any] | None = None,
    *,
    together: bool = False,
    report: Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare some photos with the workspace's gallery. What is computed is kept for later, but no run is written.

    Args:
        photos: Files or folders; they are not added to the workspace.
        together: All photos show one animal, in one encounter.

    Returns:
        ``queries`` (by encounter: candidates, best first, and the decision), ``model``, ``work``, ``counts``, ``notes``.

    Raises:
        WorkspaceError: A photo is not there, or the workspace knows no animal yet.

    Examples:
        >>> queries = resight.identify("my season", ["from a tourist.jpg"])["queries"]
    """
    missing = [str(p) for p in photos if not Path(p).exists()]
    if missing:
        raise WorkspaceError(f"{missing[0]} is not there; check the path.")
    place = open_workspace(workspace)
    queries = absolute_sources([str(p) for p in photos])

    def under(settings: Settings, model: Model, sentence: str) -> dict[str, Any]:
        gallery = tuple(s if "://" in s else str(place.root / s) for s in settings.ingest.sources)
        with open_run(place, settings, model, flow="identify", sources=gallery + queries, quiet=quiet) as run:
            still_accepted(run)
            run.note(sentence)
            return _identified(run, queries, together, report)

    return under_accepted(place, overrides, under)


def _identified(run: Run, queries: Sequence[str], together: bool, report: Path | None) -> dict[str, Any]:
    root, ingested = run.workspace.root, ingest_photos(run)
    chosen = _photos_of(ingested.photos, root, queries)
    if together:
        ingested = replace(ingested, photos=run.add("photos", _one_encounter(ingested.photos, chosen)))
    cohort = _restrict(tonights_cohort(run, ingested), chosen, root)
    judged = healed(run, lambda: from_features_to_verdicts(run, segment_photos(run, ingested), cohort))
    if report:
        _copy_page(write_report(run, judged, report), report)
    page = str(report) if report else None
    answers = {"queries": _answers(judged, chosen, root), "model": run.model.describe(), "report": page}
    return answers | {"work": run.work, "counts": run.counts, "notes": run.notes}


def _copy_page(page: Path, to: Path) -> None:
    """The page, and the pictures of a large one that lie beside it."""
    for file in sheets_of(page):
        shutil.copyfile(file, to.parent / file.name)
    shutil.copyfile(page, to)


def _photos_of(photos: pa.Table, root: Path, sources: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows by photo_id of the photos that are or lie in ``sources``."""
    places = {Path(source) for source in sources}
    rows = photos.select(["photo_id", "uris", "status", "message"]).to_pylist()
    return {r["photo_id"]: r for r in rows if any(places & {root / uri, *(root / uri).parents} for uri in r["uris"])}


def _restrict(cohort: Cohort, chosen: Mapping[str, Any], root: Path) -> Cohort:
    gallery = cohort.gallery - set(chosen)
    if not gallery:
        raise WorkspaceError(
            f"{root} knows no animal yet: label some photos in a metadata.csv (column individual_id), then try again."
        )
    labels = {p: cohort.labels[p] for p in gallery}
    usable = frozenset(p for p, row in chosen.items() if row["status"] == "ok")
    whole = len(gallery) == len(cohort.gallery)  # nights to come have no use for what a smaller one teaches
    return replace(cohort, queries=usable, gallery=gallery, labels=labels, protocol="identify", is_kept=whole)


def _one_encounter(photos: pa.Table, chosen: Mapping[str, Any]) -> pa.Table:
    """All chosen photos in one encounter, because the user says so."""
    for column, said in (("encounter_id", "these photos"), ("encounter_source", EncounterSource.METADATA.value)):
        before = zip(photos["photo_id"].to_pylist(), photos[column].to_pylist(), strict=True)
        values = pa.array([said if photo in chosen else value for photo, value in before], pa.string())
        photos = photos.set_column(photos.schema.get_field_index(column), column, values)
    return photos


def _answers(judged: Judged, chosen: Mapping[str, Any], root: Path) -> list[dict[str, Any]]:
    ids = (judged.photos[column].to_pylist() for column in ("photo_id", "encounter_id"))
    encounter_of = dict(zip(*ids, strict=True))
    files: dict[str, list[dict[str, str]]] = {}
    for photo_id, row in chosen.items():
        problem, uri = "" if row["status"] == "ok" else f" ({row['message']})", row["uris"][0]
        said = {"uri": uri, "problem": problem, "link": photo_link(uri, root)}
        files.setdefault(encounter_of[photo_id], []).append(said)
    rows = judged.identifications.to_pylist()
    ranked = sorted((r for r in rows if r["level"] == "encounter"), key=lambda r: r["rank"])
    verdicts = {r["encounter_id"]: r for r in judged.novelty.to_pylist()}
    return [
        {
            "name": ", ".join(photo["uri"] + photo["problem"] for photo in photos),
            "photos": photos,
            "encounter_id": encounter,
            "candidates": [{key: r[key] for key in CANDIDATE} for r in ranked if r["query_id"] == encounter],
        }
        | {key: verdicts.get(encounter, UNUSABLE)[key] for key in UNUSABLE}
        for encounter, photos in sorted(files.items(), key=lambda item: item[0])
    ]
