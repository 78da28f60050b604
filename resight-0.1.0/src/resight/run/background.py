"""The background-only control: the same evaluation with the animals painted over. Reads and writes no table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from resight.embed.stage import embed
from resight.evaluate.background import Blanked, Outlines, blank_crops
from resight.evaluate.outcomes import BACKGROUND
from resight.extract.stage import extract
from resight.match.precision import sentence
from resight.pairs.cohort import Cohort
from resight.run.conditions import Conditions
from resight.run.judging import Note, judge
from resight.run.measuring import closed_outcomes
from resight.run.pairing import match_pairs, plan_pairs, wants_vectors
from resight.run.setups import segment_setup
from resight.run.state import Extracted, Segmented
from resight.store.tables import conform

SCRATCH = ""  # the run of tables that are not written


@dataclass(frozen=True)
class Control:
    """What `background_control` gives back.

    Attributes:
        n_photos: Photos that take part in the evaluation.
        n_painted: Photos that took part painted over.
        statuses: Those photos by how they ended.
        outcomes: Rows of the table ``outcomes``; None where no query or no gallery photo has an outline.
        n_matched: Pairs that were really matched.
    """

    n_photos: int
    n_painted: int
    statuses: Mapping[str, int]
    outcomes: list[dict[str, Any]] | None = None
    n_matched: int = 0


def background_control(conditions: Conditions, segmented: Segmented, cohort: Cohort, note: Note) -> Control:
    """Extract, match and judge the painted photos.

    Args:
        conditions: Of the run.
        segmented: The run's photos, their outlines and crops.
        cohort: Queries and gallery; photos that could not be painted over take no part.
        note: Takes sentences for people.
    """
    part = cohort.queries | cohort.gallery
    photos = segmented.photos
    photos = photos.filter(pa.array([p in part for p in photos["photo_id"].to_pylist()], pa.bool_()))
    env, outlines = conditions.env, Outlines.of(segmented.crops, segmented.annotations)
    blanked = blank_crops(env, segment_setup(conditions.settings), conditions.names.background, photos, outlines)
    painted = frozenset(blanked.crops["photo_id"].to_pylist())
    control = Control(photos.num_rows, len(painted), _statuses(blanked))
    note(_about_heads(blanked))
    smaller = _only(cohort, painted)
    if not smaller.truth or not smaller.gallery:
        return control
    changed, crops = conditions.with_sections(crop=blanked.crop), conform("crops", blanked.crops, SCRATCH)
    features = extract(env, changed.settings.extract, changed.names.extract, crops).features
    extracted = Extracted(photos=photos, crops=crops, features=conform("features", features, SCRATCH))
    if wants_vectors(changed.settings, extracted, smaller):
        vectors = embed(env, changed.settings.embed, changed.names.embed, crops).vectors
        extracted = replace(extracted, vectors=vectors)
    matched = match_pairs(changed, plan_pairs(changed, extracted, smaller))
    note(sentence(dict(matched.precision)) if matched.precision else "")
    matched = replace(matched, pairs=conform("pairs", matched.pairs, SCRATCH))
    judged = judge(changed, matched, note)
    return replace(control, outcomes=closed_outcomes(judged, BACKGROUND), n_matched=matched.n_matched)


def _statuses(blanked: Blanked) -> dict[str, int]:
    counts = {
        "painted_over": blanked.crops.num_rows,
        "without_outline": blanked.n_without,
        "nothing_left": blanked.n_failed,
    }
    return {status: n for status, n in counts.items() if n}


def _about_heads(blanked: Blanked) -> str:
    if not blanked.n_head_only:
        return ""
    return (
        f"In the background control {blanked.n_head_only} photos have the head painted over alone, as no outline or box says "
        "where the body is; what is recognised there may be the body."
    )


def _only(cohort: Cohort, photos: frozenset[str]) -> Cohort:
    labels = {p: name for p, name in cohort.labels.items() if p in photos}
    truth = {p: name for p, name in cohort.truth.items() if p in photos}
    return replace(cohort, queries=frozenset(truth), gallery=frozenset(labels), labels=labels, truth=truth)
