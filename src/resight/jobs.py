"""Commands that are not flows: look at photos, identify some at once, draw a page again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resight.cohort import Cohort, nightly_cohort
from resight.errors import WorkspaceError
from resight.runner import Runner
from resight.settings import load_settings, settings_from
from resight.tables import conform, status_counts
from resight.weights.store import WeightStore


def weight_store(workspace: Path) -> WeightStore:
    """The store that the workspace's settings describe; any folder will do."""
    settings = load_settings(workspace if workspace.is_dir() else None)
    return WeightStore(settings.weights_dir, settings.allow_download)


def look_at_photos(
    workspace: Path, paths: Sequence[str], overrides: Mapping[str, Any] | None, quiet: bool
) -> dict[str, Any]:
    """Read photos and say what is usable."""
    from datetime import date

    from resight.flows.steps import open_workspace
    from resight.ingest import ingest
    from resight.run import absolute_sources

    place = open_workspace(workspace)
    settings = load_settings(place.root, overrides)
    with place.lock(), Runner(settings.dask, settings.device, quiet) as runner:
        found = ingest(place, settings, absolute_sources(paths), date.today().isoformat(), runner)
    photos = conform("photos", found.photos, "look")
    rejected = [r for r in photos.select(["uri", "status", "reason", "message"]).to_pylist() if r["status"] != "ok"]
    return {
        "n_files": found.n_files,
        "n_photos": photos.num_rows,
        "n_decoded": found.n_decoded,
        "n_outlined": len(found.annotations),
        "counts": status_counts(photos),
        "rejected": rejected,
        "notes": list(found.notes),
    }


def look_at_crops(
    workspace: Path, paths: Sequence[str], overrides: Mapping[str, Any] | None, *, review: Path | None, quiet: bool
) -> dict[str, Any]:
    """Ingest and segment photos, without a run; ``review`` is where the contact sheet goes."""
    from resight.flows.steps import accepted_settings, open_workspace
    from resight.run import absolute_sources, open_run
    from resight.tasks.ingest import ingest_photos
    from resight.tasks.segment import segment_photos

    place = open_workspace(workspace)
    settings, model, _ = accepted_settings(place, None)
    if overrides:
        settings = load_settings(place.root, overrides)
    with open_run(place, settings, model, flow="segment", sources=absolute_sources(paths), quiet=quiet) as run:
        ingest_photos(run)
        segment_photos(run)
        if review:
            from resight.segment.review import render_review

            page = render_review(
                place, run.tables["photos"], run.tables["crops"], max_megapixels=settings.ingest.max_megapixels
            )
            review.write_text(page, encoding="utf-8")
        return {
            "counts": run.counts["segment"]["out"],
            "n_photos": run.counts["ingest"]["in"],
            "work": run.work,
            "review": str(review) if review else None,
            "notes": run.notes,
        }


def identify_photos(
    workspace: Path,
    photos: Sequence[Path],
    overrides: Mapping[str, Any] | None,
    *,
    together: bool,
    report: Path | None,
    quiet: bool,
) -> dict[str, Any]:
    """Compare some photos with the workspace's gallery. What is computed is kept for later, but no run is written.

    Raises:
        WorkspaceError: A photo is not there, or the workspace knows no animal yet.
    """
    from resight.flows.steps import accepted_settings, from_features_to_verdicts, open_workspace
    from resight.run import absolute_sources, open_run
    from resight.tasks.ingest import ingest_photos
    from resight.tasks.report import write_report
    from resight.tasks.segment import segment_photos

    missing = [str(p) for p in photos if not p.exists()]
    if missing:
        raise WorkspaceError(f"{missing[0]} is not there; check the path.")
    place = open_workspace(workspace)
    settings, model, sentence = accepted_settings(place, overrides)
    asked = absolute_sources([str(p) for p in photos])
    gallery_sources = tuple(s if "://" in s else str(place.root / s) for s in settings.ingest.sources)
    with open_run(place, settings, model, flow="identify", sources=(*gallery_sources, *asked), quiet=quiet) as run:
        run.note(*([sentence] if sentence else []))
        ingest_photos(run)
        chosen = _asked_photos(run.tables["photos"], place.root, asked)
        run.cohort = _restrict(nightly_cohort(run.tables["photos"]), chosen, place.root)
        if together:
            run.tables["photos"] = _one_encounter(run.tables["photos"], chosen)
        segment_photos(run)
        from_features_to_verdicts(run)
        if report:
            shutil.copyfile(write_report(run), report)
        return _answers(run, chosen) | {"report": str(report) if report else None, "notes": run.notes}


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


def _answers(run: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    encounter_of = dict(
        zip(run.tables["photos"]["photo_id"].to_pylist(), run.tables["photos"]["encounter_id"].to_pylist(), strict=True)
    )
    names: dict[str, list[str]] = {}
    for photo_id, row in chosen.items():
        names.setdefault(encounter_of[photo_id], []).append(
            row["uris"][0] if row["status"] == "ok" else f"{row['uris'][0]} ({row['message']})"
        )
    ranked = [r for r in run.tables["identifications"].to_pylist() if r["level"] == "encounter"]
    verdicts = {r["encounter_id"]: r for r in run.tables["novelty"].to_pylist()}
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
    return {"queries": queries, "model": run.model.describe(), "work": run.work, "counts": run.counts}


def redraw_report(workspace: Path, run_id: str | None, out: Path | None, quiet: bool) -> list[Path]:
    """Draw the page of a run again from its tables, with the report settings as they are now.

    Returns:
        The page, and the accuracy page beside it where the run was measured.

    Raises:
        WorkspaceError: There is no such run.
    """
    from resight.flows.steps import open_workspace
    from resight.runs import read_current, read_run
    from resight.tasks.accuracy import draw_accuracy
    from resight.tasks.report import draw

    place = open_workspace(workspace)
    newest = read_current(place, "runs")
    if run_id is None:
        if newest is None:
            raise WorkspaceError(f"{place.root} has no run yet; start with `resight nightly`.")
        run_id = newest["run_id"].to_pylist()[0]
    settings = load_settings(place.root)
    old = settings_from(json.loads(read_run(place, run_id, "runs")["settings"].to_pylist()[0]), f"run {run_id}")
    used = old.model_copy(
        update={"report": settings.report, "dask": settings.dask, "weights_dir": settings.weights_dir}
    )
    with place.lock(), Runner(settings.dask, settings.device, quiet) as runner:
        html = draw(place, run_id, used, WeightStore(settings.weights_dir, settings.allow_download), runner)
    target = out or place.root / f"report-{run_id}.html"
    target.write_text(html, encoding="utf-8")
    if not (place.runs / run_id / "outcomes.parquet").exists():
        return [target]
    beside = target.with_name(f"accuracy-{run_id}.html" if out is None else f"{target.stem}-accuracy{target.suffix}")
    worst = {"worst": settings.evaluate.worst}
    shown = used.model_copy(update={"evaluate": used.evaluate.model_copy(update=worst)})
    beside.write_text(draw_accuracy(place, run_id, shown), encoding="utf-8")
    return [target, beside]


def train_matcher(
    workspace: Path,
    photos: Sequence[str],
    origin: str,
    leave_out: Sequence[str],
    out: Path | None,
    overrides: Mapping[str, Any] | None,
    *,
    steps: int,
    batch: int,
    keypoints: int,
    seed: int,
    device: str,
    resume: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Train LightGlue for SIFT on photos; writes a new version into the workspace and changes nothing else."""
    from datetime import date

    from resight.flows.steps import open_workspace
    from resight.run import absolute_sources
    from resight.train.matcher.material import gather
    from resight.train.matcher.recipe import recipe_for, train_matcher

    place = open_workspace(workspace)
    settings = load_settings(place.root, overrides)
    weights = WeightStore(settings.weights_dir, settings.allow_download)
    sources = absolute_sources(photos) if photos else settings.ingest.sources
    with place.lock(), Runner(settings.dask, "cpu", quiet) as runner:
        pictures = gather(place, settings, sources, date.today().isoformat(), weights, runner, leave_out)
    folder = (out or place.models / "weights").expanduser().absolute()
    recipe = recipe_for(origin, steps=steps, batch=batch, keypoints=keypoints, seed=seed)
    notes = {"left_out": sorted(leave_out)}
    file = train_matcher(pictures, folder, recipe, weights, origin, device, resume=resume, notes=notes)
    choose = "--set extract.kind=sift --set match.kind=lightglue"
    command = f"resight rebuild --workspace '{place.root}' {choose} --set 'match.weights={file}'"
    return {
        "weights": str(file),
        "recipe": str(file.with_suffix(".json")),
        "n_pictures": len(pictures),
        "next": command,
    }
