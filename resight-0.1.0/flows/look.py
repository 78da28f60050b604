"""Look at photos and crops without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from resight.flows.steps import accepted_settings
from resight.ingest.stage import ingest
from resight.report.segment_review import render_review
from resight.report.words import photo_link
from resight.run.conditions import open_conditions
from resight.run.names import ingest_name
from resight.run.run import absolute_sources, open_run
from resight.run.setups import ingest_setup
from resight.settings import load_settings
from resight.store.tables import conform, status_counts
from resight.store.workspace import open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.segment import segment_photos


def look_at_photos(
    workspace: Path, paths: Sequence[str], overrides: Mapping[str, Any] | None, quiet: bool
) -> dict[str, Any]:
    """Read photos and say what is usable."""
    place = open_workspace(workspace)
    settings, sources = load_settings(place.root, overrides), absolute_sources(paths)
    with open_conditions(place, settings, quiet=quiet) as conditions:
        night, name = date.today().isoformat(), ingest_name(settings)
        ingested = ingest(conditions.env, ingest_setup(settings), name, sources, night)
    photos = conform("photos", ingested.photos, "look")
    rows = photos.select(["uri", "status", "reason", "message"]).to_pylist()
    rejected = [r | {"link": photo_link(r["uri"], place.root)} for r in rows if r["status"] != "ok"]
    return {
        "n_files": ingested.n_files,
        "n_photos": photos.num_rows,
        "n_decoded": ingested.n_decoded,
        "n_outlined": len(ingested.annotations),
        "counts": status_counts(photos),
        "rejected": rejected,
        "notes": list(ingested.notes),
    }


def look_at_crops(
    workspace: Path, paths: Sequence[str], overrides: Mapping[str, Any] | None, *, review: Path | None, quiet: bool
) -> dict[str, Any]:
    """Ingest and segment photos, without a run; ``review`` is where the contact sheet goes."""
    place = open_workspace(workspace)
    settings, model, _ = accepted_settings(place, None)
    if overrides:
        settings = load_settings(place.root, overrides)
    with open_run(place, settings, model, flow="segment", sources=absolute_sources(paths), quiet=quiet) as run:
        segmented = segment_photos(run, ingest_photos(run))
        if review:
            most = settings.ingest.max_megapixels
            page = render_review(place, segmented.photos, segmented.crops, max_megapixels=most)
            review.write_text(page, encoding="utf-8")
        return {
            "counts": run.counts["segment"]["out"],
            "n_photos": run.counts["ingest"]["in"],
            "work": run.work,
            "review": str(review) if review else None,
            "notes": run.notes,
        }
