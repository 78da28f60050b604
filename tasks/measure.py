"""Evaluation: hide labels before the ranking, measure after it, compare with before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import NothingToMeasure
from resight.evaluate.accuracy import Context, accuracy_rows
from resight.evaluate.curves import curve_rows
from resight.evaluate.folds import animal_turns, cohort_of, encounter_turns, open_rounds
from resight.evaluate.history import asked_encounters, earlier_runs, partner
from resight.evaluate.outcomes import (
    BACKGROUND,
    CLOSED,
    ENCOUNTER,
    OPEN,
    PHOTO,
    WITHOUT_OWN,
    PhotoFacts,
    Trial,
    outcome_rows,
)
from resight.evaluate.paired import compare
from resight.evaluate.protocol import refuse_leak, split
from resight.novelty.decide import decide
from resight.pairs.cohort import Cohort
from resight.plugins.registry import SCORES
from resight.rank.stage import rank_all
from resight.run.run import Run
from resight.status import PairStatus
from resight.store.runs import TableRef, read_run
from resight.tasks.novelty import query_photos
from resight.tasks.rescore import rehearse
from resight.tasks.score import scored_again
from resight.tasks.stage import stage

Rows = list[dict[str, Any]]


def hide_labels(run: Run) -> None:
    """Split the usable labelled photos into gallery and queries; the ranking sees the gallery's labels alone.

    Raises:
        NothingToMeasure: Nobody can ask: no animal was met twice, or no photo is labelled or usable.
        LeakError: A query has a gallery photo of the same animal and day, and that is not tolerated.
    """
    asked = run.settings.evaluate
    photos = run.tables["photos"].filter(_with_crop(run))
    parts = split(photos, asked.tolerate_leak, asked.protocol, asked.few_queries)
    cohort = cohort_of(photos, parts)
    if not cohort.truth or not cohort.gallery:
        labelled = sum(i is not None for i in photos["individual_id"].to_pylist())
        raise NothingToMeasure(
            f"There is nothing to measure in {', '.join(run.sources)}: {labelled} usable photos have an individual_id, and "
            "no animal was met in two encounters; add labels and dates (or roles) to metadata.csv."
        )
    run.note(*parts.notes)
    run.cohort = cohort
    run.extras["same_day_share"] = _gate(run, cohort, photos)


@stage("measure")
def measure(run: Run) -> TableRef:
    """What happened to every query, all metrics with intervals and strata, and the curves, into three tables."""
    cohort = _cohort(run)
    facts = PhotoFacts.of(run.tables["photos"], run.tables["crops"])
    rows = [row for trial, levels in _trials(run, cohort) for row in outcome_rows(trial, facts, levels)]
    rows += _known_in_turns(rows) if cohort.in_turns else []
    run.add("outcomes", rows + run.extras.get("background_outcomes", []))
    context = Context(
        cohort.protocol, run.settings.novelty.prior_new, run.extras["same_day_share"], _seconds_per_query(run),
        run.settings.evaluate.draws, run.settings.evaluate.seed,
    )  # fmt: skip
    run.add("accuracy_curves", curve_rows(run.tables["outcomes"], context))
    return run.add("accuracy", accuracy_rows(run.tables["outcomes"], context))


@stage("compare")
def compare_runs(run: Run) -> int:
    """Against an earlier run, query by query; writes nothing where there is none."""
    asked = run.settings.evaluate
    outcomes = run.tables["outcomes"]
    run.extras["earlier"] = earlier_runs(
        run.workspace, run.flow, _cohort(run).protocol, asked_encounters(outcomes), datetime.now(UTC)
    )
    other = partner(run.workspace, asked.against, run.extras["earlier"])
    if other is None:
        return 0
    found = compare(
        read_run(run.workspace, other, "outcomes"), outcomes, run.settings.novelty.prior_new, asked.draws, asked.seed
    )
    against = {"against_run_id": other}
    run.add("accuracy_differences", [row | against for row in found.differences])
    run.add("changes", [row | against for row in found.changes])
    return found.n_queries


def closed_trials(run: Run, trial: str = CLOSED) -> Iterator[Trial]:
    """The run itself as a trial; one for each encounter where they asked in turns."""
    for one in run.extras.get("turns", [run]):
        yield trial_of(one, trial, 0, run.tables["pairs"])


def trial_of(run: Run, trial: str, number: int, pairs: pa.Table) -> Trial:
    """What a run, or a rehearsal of it, found."""
    cohort = _cohort(run)
    return Trial(
        trial, cohort.labels, cohort.truth, run.extras["ranked"], run.tables["novelty"], number,
        run.tables["scores"], run.extras["crop_info"],
        cut=_own_pairs(pairs, cohort, PairStatus.NOT_SHORTLISTED), scored=_own_pairs(pairs, cohort, PairStatus.SCORED),
    )  # fmt: skip


def _trials(run: Run, cohort: Cohort) -> Iterator[tuple[Trial, tuple[str, ...]]]:
    pairs = run.tables["pairs"]
    for trial in closed_trials(run):
        yield trial, (ENCOUNTER, PHOTO)
    if cohort.in_turns:
        for k, (one, _) in enumerate(animal_turns(cohort)):
            yield trial_of(rehearse(run, one), WITHOUT_OWN, k, pairs), (ENCOUNTER,)
    else:
        yield _without_own(run, cohort), (ENCOUNTER,)
    for k, (one, _) in enumerate(open_rounds(cohort, run.settings.evaluate.open_share, run.settings.evaluate.seed)):
        yield trial_of(rehearse(run, one, grouping=True), OPEN, k, pairs), (ENCOUNTER,)


def _without_own(run: Run, cohort: Cohort) -> Trial:
    """Everybody judged once more as if its own animal had never been met; the calibration forgets it too."""
    queries, animals = query_photos(run), set(cohort.labels.values())
    encounter = dict(zip(queries["photo_id"].to_pylist(), queries["encounter_id"].to_pylist(), strict=True))
    present = {encounter[p]: name for p, name in cohort.truth.items() if name in animals}
    gone = decide(
        _ranked_without_own(run, cohort),
        queries,
        animals,
        run.extras["novelty_model"],
        run.settings.novelty,
        deleted=present,
    )
    truth = {p: name for p, name in cohort.truth.items() if name in animals}
    return Trial(WITHOUT_OWN, {}, truth, gone.ranked, gone.novelty, n_animals=len(animals) - 1)


def _ranked_without_own(run: Run, cohort: Cohort) -> pa.Table:
    """The ranking; where a pair's score hangs on the query's other pairs, one in which its own animal's do not count."""
    if not SCORES[run.settings.score.name].needs_cohorts:
        return run.extras["ranked"]
    scores = scored_again(run, {**cohort.labels, **cohort.truth})
    return rank_all(scores, run.extras["crop_info"], run.extras["rank_params"], cohort.truth)


def _known_in_turns(rows: Rows) -> Rows:
    """Where encounters ask in turns, the known half of the open trial is the closed one, under a round of its own."""
    rounds = [r["round"] for r in rows if r["trial"] == OPEN]
    number = max(rounds, default=-1) + 1
    closed = [r for r in rows if r["trial"] == CLOSED and r["level"] == ENCOUNTER and r["known"]]
    return [r | {"trial": OPEN, "round": number} for r in closed] if rounds else []


def _gate(run: Run, cohort: Cohort, photos: pa.Table) -> float:
    turns = encounter_turns(cohort, photos) if cohort.in_turns else [cohort]
    tolerate = run.settings.evaluate.tolerate_leak
    shares = [(refuse_leak(photos, t.queries, t.gallery, tolerate), len(t.queries)) for t in turns]
    return sum(share * n for share, n in shares) / sum(n for _, n in shares)


def _seconds_per_query(run: Run) -> float | None:
    """Wall time from features to verdict per query photo; None where most of it came from the cache."""
    pairs = run.tables["pairs"]
    asked = pc.sum(pc.and_(pc.equal(pairs["status"], "scored"), pc.equal(pairs["purpose"], "identify"))).as_py() or 0
    if run.cohort is None or not asked or run.work["pairs_matched"] < asked:
        return None
    spent = sum(run.seconds.get(s, 0.0) for s in ("extract", "shortlist", "match", "score", "rank", "novelty", "judge"))
    return spent / len(run.cohort.queries)


def _own_pairs(pairs: pa.Table, cohort: Cohort, status: PairStatus) -> dict[str, int]:
    """By query photo: gallery photos of its animal whose pairs ended with that status, and none of them better."""
    asked = pairs.filter(pc.and_(pc.equal(pairs["purpose"], "identify"), pc.is_in(pairs["status"], pa.array([PairStatus.SCORED, PairStatus.NOT_SHORTLISTED]))))  # fmt: skip
    best: dict[tuple[str, str], bool] = {}
    columns = (asked[c].to_pylist() for c in ("query_photo_id", "gallery_photo_id", "status"))
    for q, g, how in zip(*columns, strict=True):
        if q in cohort.truth and cohort.truth[q] == cohort.labels.get(g):
            best[q, g] = best.get((q, g), False) or how == PairStatus.SCORED
    return Counter(q for (q, _), scored in best.items() if scored == (status == PairStatus.SCORED))


def _with_crop(run: Run) -> pa.Array:
    crops = run.tables["crops"].select(["photo_id", "status"]).to_pylist()
    usable = {c["photo_id"] for c in crops if c["status"] == "ok"}
    return pa.array([p in usable for p in run.tables["photos"]["photo_id"].to_pylist()], pa.bool_())


def _cohort(run: Run) -> Cohort:
    if run.cohort is None:
        raise ValueError("measuring needs run.cohort")
    return run.cohort


__all__ = ["BACKGROUND", "closed_trials", "compare_runs", "hide_labels", "measure", "trial_of"]
