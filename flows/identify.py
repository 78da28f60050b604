"""Identify some photos at once, without a run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resight.errors import WorkspaceError
from resight.flows.steps import accepted_settings, from_features_to_verdicts, healed
from resight.pairs.cohort import Cohort, nightly_cohort
from resight.run.run import absolute_sources, open_run
from resight.run.state import Judged
from resight.store.workspace import open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.report import write_report
from resight.tasks.segment import segment_photos


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
    settings, model, sentence = accepted_settings(place, overrides)
    asked = absolute_sources([str(p) for p in photos])
    gallery_sources = tuple(s if "://" in s else str(place.root / s) for s in settings.ingest.sources)
    with open_run(place, settings, model, flow="identify", sources=(*gallery_sources, *asked), quiet=quiet) as run:
        run.note(sentence)
        ingested = ingest_photos(run)
        chosen = _asked_photos(ingested.photos, place.root, asked)
        cohort = _restrict(nightly_cohort(ingested.photos), chosen, place.root)
        if together:
            ingested = replace(ingested, photos=run.add("photos", _one_encounter(ingested.photos, chosen)))
        judged = healed(run, lambda: from_features_to_verdicts(run, segment_photos(run, ingested), cohort))
        if report:
            shutil.copyfile(write_report(run, judged), report)
        answers = {"queries": _answers(judged, chosen), "model": run.model.describe(), "work": run.work}
        return answers | {"counts": run.counts, "report": str(report) if report else None, "notes": run.notes}


def _asked_photos(photos: Any, root: Path, asked: Sequence[str]) -> dict[str, dict[str, Any]]:
    wanted = [Path(a) for a in asked]
    rows = photos.select(["photo_id", "encounter_id", "individual_id", "uris", "status", "message"]).to_pylist()
    return {r["photo_id"]: r for r in rows if any(_inside(root / u, w) for u in r["uris"] for w in wanted)}


def _inside(uri: Path, wanted: Path) -> bool:
    return uri == wanted or wanted in uri.parents


def _restrict(cohort: Cohort, chosen: Mapping[str, Any], root: Path) -> Cohort:
    gallery = cohort.gallery - set(chosen)
    if not gallery:
        raise WorkspaceError(
            f"{root} knows no animal yet: label some photos in a metadata.csv (column individual_id), then try again."
        )
    labels = {p: cohort.labels[p] for p in gallery}
    usable = frozenset(p for p, row in chosen.items() if row["status"] == "ok")
    return replace(cohort, queries=usable, gallery=gallery, labels=labels, protocol="identify")


def _one_encounter(photos: Any, chosen: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    ids = photos["photo_id"].to_pylist()
    encounters = [
        "these photos" if p in chosen else e for p, e in zip(ids, photos["encounter_id"].to_pylist(), strict=True)
    ]
    return photos.set_column(
        photos.schema.get_field_index("encounter_id"), "encounter_id", pa.array(encounters, pa.string())
    )


def _answers(judged: Judged, chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
    photos = judged.photos
    encounter_of = dict(zip(photos["photo_id"].to_pylist(), photos["encounter_id"].to_pylist(), strict=True))
    names: dict[str, list[str]] = {}
    for photo_id, row in chosen.items():
        names.setdefault(encounter_of[photo_id], []).append(
            row["uris"][0] if row["status"] == "ok" else f"{row['uris'][0]} ({row['message']})"
        )
    ranked = [r for r in judged.identifications.to_pylist() if r["level"] == "encounter"]
    verdicts = {r["encounter_id"]: r for r in judged.novelty.to_pylist()}
    keys = ("rank", "individual_id", "score", "probability", "best_gallery_photo_id")
    queries = []
    for encounter, files in sorted(names.items()):
        verdict = verdicts.get(
            encounter,
            {"decision": "not_compared", "p_new": None, "p_value": None, "evidence": "The photo could not be used."},
        )
        candidates = [{k: r[k] for k in keys} for r in ranked if r["query_id"] == encounter]
        queries.append({"name": ", ".join(files), "encounter_id": encounter, "candidates": sorted(candidates, key=lambda c: c["rank"])}
                       | {k: verdict[k] for k in ("decision", "p_new", "p_value", "evidence")})  # fmt: skip
    return queries
