"""Evaluation: hide labels before the ranking, measure after it."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from resight.cohort import Cohort
from resight.errors import NothingToMeasure
from resight.evaluate import Measured, accuracy_rows, split
from resight.run import Run
from resight.runs import TableRef
from resight.status import PairStatus
from resight.tasks.stage import stage


def hide_labels(run: Run) -> None:
    """Split the usable labelled photos into gallery and queries; the ranking sees the gallery's labels alone.

    Raises:
        NothingToMeasure: Nobody can ask: no animal was met twice, or no photo is labelled or usable.
        LeakError: A query has a gallery photo of the same animal and day.
    """
    photos = run.tables["photos"].filter(_with_crop(run))
    parts = split(photos)
    rows = photos.select(["photo_id", "encounter_id", "individual_id"]).to_pylist()
    labelled = [r for r in rows if r["individual_id"]]
    gallery = {r["photo_id"]: r["individual_id"] for r in labelled if r["encounter_id"] in parts.gallery_encounters}
    truth = {r["photo_id"]: r["individual_id"] for r in labelled if r["encounter_id"] in parts.query_encounters}
    if not truth or not gallery:
        raise NothingToMeasure(
            f"There is nothing to measure in {', '.join(run.sources)}: {len(labelled)} usable photos have an individual_id, and "
            "no animal was met in two encounters; add labels and dates (or roles) to metadata.csv."
        )
    run.note(*parts.notes)
    run.cohort = Cohort(frozenset(truth), frozenset(gallery), gallery, truth, evaluating=True, protocol=parts.protocol)


@stage("measure")
def measure(run: Run) -> TableRef:
    """All metrics with intervals, by stratum, into the ``accuracy`` table."""
    cohort = run.cohort
    if cohort is None:
        raise ValueError("measure needs run.cohort")
    measured = Measured(
        photos=run.tables["photos"], gallery=cohort.labels, truth=cohort.truth, ranked=run.extras["ranked"],
        scores=run.tables["scores"], crops_info=run.extras["crop_info"], model=run.extras["novelty_model"],
        novelty=run.settings.novelty, protocol=cohort.protocol, seconds_per_query=_seconds_per_query(run),
        missed=_missed(run.tables["pairs"], cohort),
    )  # fmt: skip
    return run.add("accuracy", accuracy_rows(measured))


def _seconds_per_query(run: Run) -> float | None:
    """Wall time from features to verdict per query photo; None where most of it came from the cache."""
    pairs = run.tables["pairs"]
    asked = pc.sum(pc.and_(pc.equal(pairs["status"], "scored"), pc.equal(pairs["purpose"], "identify"))).as_py() or 0
    if run.cohort is None or not asked or run.work["pairs_matched"] < asked:
        return None
    spent = sum(run.seconds.get(s, 0.0) for s in ("extract", "shortlist", "match", "score", "rank", "novelty"))
    return spent / len(run.cohort.queries)


def _missed(pairs: pa.Table, cohort: Cohort) -> dict[str, int]:
    """By query photo: gallery photos of its animal that the shortlist left out."""
    left_out = pairs.filter(pc.equal(pairs["status"], PairStatus.NOT_SHORTLISTED))
    both = {*zip(left_out["query_photo_id"].to_pylist(), left_out["gallery_photo_id"].to_pylist(), strict=True)}
    return Counter(q for q, g in both if q in cohort.truth and cohort.truth[q] == cohort.labels.get(g))


def _with_crop(run: Run) -> pa.Array:
    crops = run.tables["crops"].select(["photo_id", "status"]).to_pylist()
    usable = {c["photo_id"] for c in crops if c["status"] == "ok"}
    return pa.array([p in usable for p in run.tables["photos"]["photo_id"].to_pylist()], pa.bool_())
