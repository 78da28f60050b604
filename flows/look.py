"""Look at photos and crops without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resight.environment import Environment
from resight.runner.handshake import Needs
from resight.runner.runner import Runner
from resight.settings import load_settings
from resight.store.tables import conform, status_counts
from resight.weights.store import WeightStore


def look_at_photos(
    workspace: Path, paths: Sequence[str], overrides: Mapping[str, Any] | None, quiet: bool
) -> dict[str, Any]:
    """Read photos and say what is usable."""
    from datetime import date

    from resight.flows.steps import open_workspace
    from resight.ingest.stage import ingest
    from resight.run.names import ingest_name
    from resight.run.run import absolute_sources
    from resight.run.setups import ingest_setup

    place = open_workspace(workspace)
    settings = load_settings(place.root, overrides)
    with place.lock(), Runner(settings.dask, settings.device, quiet, Needs(place.store)) as runner:
        env = Environment(place, WeightStore(settings.weights_dir, settings.allow_download), runner, settings.device)
        sources, night = absolute_sources(paths), date.today().isoformat()
        ingested = ingest(env, ingest_setup(settings), ingest_name(settings), sources, night)
    photos = conform("photos", ingested.photos, "look")
    rejected = [r for r in photos.select(["uri", "status", "reason", "message"]).to_pylist() if r["status"] != "ok"]
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
    from resight.flows.steps import accepted_settings, open_workspace
    from resight.run.run import absolute_sources, open_run
    from resight.tasks.ingest import ingest_photos
    from resight.tasks.segment import segment_photos

    place = open_workspace(workspace)
    settings, model, _ = accepted_settings(place, None)
    if overrides:
        settings = load_settings(place.root, overrides)
    with open_run(place, settings, model, flow="segment", sources=absolute_sources(paths), quiet=quiet) as run:
        segmented = segment_photos(run, ingest_photos(run))
        if review:
            from resight.report.segment_review import render_review

            page = render_review(
                place, segmented.photos, segmented.crops, max_megapixels=settings.ingest.max_megapixels
            )
            review.write_text(page, encoding="utf-8")
        return {
            "counts": run.counts["segment"]["out"],
            "n_photos": run.counts["ingest"]["in"],
            "work": run.work,
            "review": str(review) if review else None,
            "notes": run.notes,
        }
