"""The background-only control: the same evaluation with the animals painted over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from resight.evaluate.background import Blanked, Outlines, blank_crops
from resight.evaluate.outcomes import BACKGROUND, ENCOUNTER, PHOTO, PhotoFacts, outcome_rows
from resight.pairs.cohort import Cohort
from resight.run.run import Run
from resight.run.setups import segment_setup
from resight.store.tables import conform
from resight.tasks.extract import extract_features
from resight.tasks.match import match_pairs
from resight.tasks.measure import closed_trials
from resight.tasks.rescore import aside, judge
from resight.tasks.shortlist import plan_pairs
from resight.tasks.stage import stage

COMPUTING: tuple[Any, ...] = (extract_features, plan_pairs, match_pairs)


@stage("background")
def control_background(run: Run) -> int:
    """Extract, match and judge the painted photos; their outcomes wait for `measure`. Returns how many took part."""
    cohort = run.cohort
    if cohort is None:
        raise ValueError("control_background needs run.cohort")
    part = cohort.queries | cohort.gallery
    photos = run.tables["photos"].filter(pa.array([p in part for p in run.tables["photos"]["photo_id"].to_pylist()]))
    outlines = Outlines.of(run.tables["crops"], run.annotations)
    blanked = blank_crops(run.env, segment_setup(run.settings), run.names.background, photos, outlines)
    painted = frozenset(blanked.crops["photo_id"].to_pylist())
    _count(run, photos.num_rows, blanked)
    smaller = _only(cohort, painted)
    if not smaller.truth or not smaller.gallery:
        run.note("There is no background control: no outline says where the animals are in queries and gallery.")
        return 0
    control = aside(run, smaller, settings=run.settings.model_copy(update={"crop": blanked.crop}))
    control.tables |= {"photos": photos, "crops": conform("crops", blanked.crops, run.run_id)}
    for one in COMPUTING:
        one.__wrapped__(control)
    judge(control)
    run.work["background_pairs_matched"] = control.work["pairs_matched"]
    facts = PhotoFacts.of(photos, control.tables["crops"])
    rows = [r for trial in closed_trials(control, BACKGROUND) for r in outcome_rows(trial, facts, (ENCOUNTER, PHOTO))]
    run.extras["background_outcomes"] = rows
    return len(painted)


def _count(run: Run, n_photos: int, blanked: Blanked) -> None:
    out = {
        "painted_over": blanked.crops.num_rows,
        "without_outline": blanked.n_without,
        "nothing_left": blanked.n_failed,
    }
    run.counts["background"] = {"in": n_photos, "out": {k: v for k, v in out.items() if v}}
    if blanked.n_head_only:
        run.note(
            f"In the background control {blanked.n_head_only} photos have the head painted over alone, as no outline or box says "
            "where the body is; what is recognised there may be the body."
        )


def _only(cohort: Cohort, photos: frozenset[str]) -> Cohort:
    labels = {p: name for p, name in cohort.labels.items() if p in photos}
    truth = {p: name for p, name in cohort.truth.items() if p in photos}
    return replace(
        cohort, queries=frozenset(truth), gallery=frozenset(labels), labels=labels, truth=truth,
    )  # fmt: skip
