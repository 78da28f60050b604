"""An evaluation: hide labels before the ranking, say what happened to every query after it. Reads and writes no table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import NothingToMeasure
from resight.evaluate.animals import Part, read_animals
from resight.evaluate.folds import (
    asked_by,
    cohort_of,
    leave_animals_out,
    leave_encounters_out,
    of_a_gallery_side,
    open_rounds,
)
from resight.evaluate.outcomes import CLOSED, ENCOUNTER, OPEN, PHOTO, WITHOUT_OWN, PhotoFacts, TrialResult, outcome_rows
from resight.evaluate.params import EvaluateParams
from resight.evaluate.protocol import FIRST_YEAR, refuse_leak, split
from resight.novelty.decide import decide
from resight.novelty.sets import Days
from resight.novelty.unknowns import CLUSTER
from resight.pairs.cohort import Cohort
from resight.plugins.registry import SCORES
from resight.rank.levels import Seen
from resight.rank.stage import rank_all
from resight.run.conditions import Conditions
from resight.run.judging import Note, judge, query_photos, scores_of, seen_by
from resight.run.own_pairs import OwnPairs
from resight.run.state import Judged, Ranked, Segmented
from resight.run.unknowns import group_unknowns
from resight.settings import Settings
from resight.status import CropStatus
from resight.wording import counted

Row = dict[str, Any]
JUDGING_STAGES = ("extract", "embed", "shortlist", "match", "score", "rank", "novelty", "judge")


@dataclass(frozen=True)
class HiddenLabels:
    """Which photos of an evaluation are queries and which gallery; the ranking sees the gallery's labels alone.

    Attributes:
        cohort: Gallery and queries.
        same_day_share: From the leak gate, see `protocol.refuse_leak`.
        notes: Sentences about what was left out and why.
    """

    cohort: Cohort
    same_day_share: float
    notes: tuple[str, ...]


def hide_labels(segmented: Segmented, how: EvaluateParams, sources: Sequence[str]) -> HiddenLabels:
    """Split the usable labelled photos into gallery and queries.

    Args:
        segmented: Photos and crops.
        how: Protocol, and whether a leak is tolerated.
        sources: Where the photos are, for messages.

    Raises:
        LeakError: A query has a gallery photo of the same animal and day, and that is not tolerated.
        NothingToMeasure: There is no query: no animal was met twice, or no photo is labelled or usable, or has a role.
    """
    photos = _usable_photos(segmented)
    parts = split(photos, how.tolerate_leak, how.protocol, how.few_queries)
    cohort, asking = _narrowed(cohort_of(photos, parts), segmented, how)
    if not cohort.truth or not cohort.gallery:
        labelled = photos.num_rows - photos["individual_id"].null_count
        raise NothingToMeasure(
            f"There is nothing to measure in {', '.join(sources)}: {labelled} usable photos have an individual_id, and "
            "no animal was met in two encounters; add labels and dates (or roles) to metadata.csv."
        )
    return HiddenLabels(cohort, _leak_gate(cohort, photos, how.tolerate_leak), (*parts.notes, *asking))


def _narrowed(cohort: Cohort, segmented: Segmented, how: EvaluateParams) -> tuple[Cohort, tuple[str, ...]]:
    """The cohort with the queries alone that protocol and ``evaluate.asking`` let ask, and sentences about it."""
    notes: tuple[str, ...] = ()
    if how.asking:
        cohort = asked_by(cohort, read_animals(Path(how.asking).expanduser(), Part.VALIDATION))
        n_animals = len(set(cohort.truth.values()))
        if not n_animals:
            raise NothingToMeasure(f"No animal of {how.asking} was met again; correct evaluate.asking.")
        notes += (
            f"Only photos of {counted(n_animals, 'animal')} of {how.asking} ask; all animals are in the gallery.",
        )
    held_back = set(cohort.truth.values()) & set(how.not_asking)
    if held_back:
        cohort = asked_by(cohort, set(cohort.truth.values()) - held_back)
        notes += (
            f"Photos of {counted(len(held_back), 'animal')} do not ask, because weights were trained on these animals.",
        )
        if not cohort.truth:
            raise NothingToMeasure(
                "Weights were trained on every animal that was met again, so nothing can measure them; train without some of them (--leave-out, --split)."
            )
    if cohort.protocol == FIRST_YEAR:
        usable = segmented.crops.filter(pc.equal(segmented.crops["status"], CropStatus.OK.value))
        fewer = of_a_gallery_side(cohort, usable)
        notes += (
            f"{len(cohort.queries) - len(fewer.queries)} photos of later years show no side that the animal's first year shows, and do not ask.",
        )
        cohort = fewer
    return cohort, notes


def _usable_photos(segmented: Segmented) -> pa.Table:
    """The rows of ``photos`` that have a usable crop."""
    crops = segmented.crops.select(["photo_id", "status"]).to_pylist()
    usable = {c["photo_id"] for c in crops if c["status"] == CropStatus.OK}
    photos = segmented.photos
    return photos.filter(pa.array([p in usable for p in photos["photo_id"].to_pylist()], pa.bool_()))


def all_outcomes(conditions: Conditions, judged: Judged, note: Note) -> list[Row]:
    """What happened to every query, with its animal in the gallery and without; the catalog's ``outcomes`` without ``run_id``.

    Args:
        conditions: Settings, and where pairs of unknown animals are matched.
        judged: The run's verdicts; cohorts that leave animals out are judged from its pairs.
        note: Takes sentences for people.
    """
    facts = PhotoFacts.of(judged.photos, judged.crops)
    rows = closed_outcomes(judged)
    for trial in _without_animals(conditions, judged, note):
        rows += outcome_rows(trial, facts, (ENCOUNTER,))
    return rows + (_known_of_open_trial(rows) if judged.cohort.leave_one_out else [])


def closed_outcomes(judged: Judged, trial: str = CLOSED) -> list[Row]:
    """Outcomes of the run itself, fold by fold where one encounter was left out at a time."""
    facts = PhotoFacts.of(judged.photos, judged.crops)
    results = [_result(fold, trial, 0, judged.pairs) for fold in judged.folds or (judged,)]
    return [row for result in results for row in outcome_rows(result, facts, (ENCOUNTER, PHOTO))]


def seconds_per_query(judged: Judged, n_matched: int, seconds: Mapping[str, float]) -> float | None:
    """Wall time from features to verdict per query photo; None where most of it came from the cache.

    Args:
        judged: The run's verdicts.
        n_matched: Pairs that were really matched.
        seconds: Wall time by stage.
    """
    pairs = judged.pairs
    compared = pc.and_(pc.equal(pairs["status"], "scored"), pc.equal(pairs["purpose"], "identify"))
    n_compared = pc.sum(compared).as_py() or 0
    if not n_compared or n_matched < n_compared:
        return None
    return sum(seconds.get(stage, 0.0) for stage in JUDGING_STAGES) / len(judged.cohort.queries)


def _leak_gate(cohort: Cohort, photos: pa.Table, tolerate: bool) -> float:
    folds = leave_encounters_out(cohort, photos) if cohort.leave_one_out else [cohort]
    shares = [(refuse_leak(photos, fold.queries, fold.gallery, tolerate), len(fold.queries)) for fold in folds]
    return sum(share * n for share, n in shares) / sum(n for _, n in shares)


def _result(judged: Judged, trial: str, number: int, pairs: pa.Table) -> TrialResult:
    """What a cohort found; ``pairs`` are those of the run."""
    cohort = judged.cohort
    own = OwnPairs.of(pairs, judged.grids, cohort)
    return TrialResult(
        trial, cohort.labels, cohort.truth, judged.candidates, judged.novelty, number, judged.scores, judged.info,
        cut=own.cut, scored=own.scored,
    )  # fmt: skip


def _without_animals(conditions: Conditions, judged: Judged, note: Note) -> Iterator[TrialResult]:
    """Everybody without its own animal in the gallery, and then galleries without a share of the animals."""
    cohort, settings, how = judged.cohort, conditions.settings, conditions.settings.evaluate

    def judged_by(smaller: Cohort) -> Judged:
        return judge(conditions, seen_by(settings, judged, smaller), note)

    if cohort.leave_one_out:
        for k, smaller in enumerate(leave_animals_out(cohort)):
            yield _result(judged_by(smaller), WITHOUT_OWN, k, judged.pairs)
    else:
        yield _without_own(settings, judged)
    for k, (smaller, _) in enumerate(open_rounds(cohort, how.open_share, how.seed)):
        grouped = group_unknowns(conditions, judged_by(smaller))
        yield _result(grouped.judged, OPEN, k, judged.pairs)


def _without_own(settings: Settings, judged: Judged) -> TrialResult:
    """Everybody judged once more as if its own animal had never been met; the calibration forgets it too."""
    cohort, queries, animals = judged.cohort, query_photos(judged), set(judged.cohort.labels.values())
    encounter = dict(zip(queries["photo_id"].to_pylist(), queries["encounter_id"].to_pylist(), strict=True))
    truth = {p: name for p, name in cohort.truth.items() if name in animals}
    deleted = {encounter[p]: name for p, name in truth.items()}
    candidates, seen = candidates_without_own(settings, judged)
    days = Days.of(judged.info)
    verdicts = decide(candidates, queries, animals, judged.model, settings.novelty, seen, days, deleted=deleted)
    return TrialResult(WITHOUT_OWN, {}, truth, verdicts.ranked, verdicts.novelty, n_animals=len(animals) - 1)


def candidates_without_own(settings: Settings, ranked: Ranked) -> tuple[pa.Table, Seen]:
    """The ranking; where a pair's score hangs on the query's other pairs, one in which its own animal's do not count."""
    if not SCORES[settings.score.name].needs_cohorts:
        return ranked.candidates, ranked.seen
    cohort, among_queries = ranked.cohort, pc.equal(ranked.pairs["purpose"], CLUSTER)
    ranked = replace(
        ranked, pairs=ranked.pairs.filter(pc.invert(among_queries))
    )  # their truth would make these a cohort
    truth = {**cohort.labels, **cohort.truth}
    scores = scores_of(settings, ranked, truth, ranked.null, ranked.fused, ranked.scores)
    how = ranked.rule.params
    seen = replace(Seen.of(scores, ranked.info, how), left_out=ranked.seen.left_out)
    return rank_all(scores, ranked.info, how, cohort.truth), seen


def _known_of_open_trial(rows: list[Row]) -> list[Row]:
    """Where one encounter is left out at a time, the known half of the open trial is the closed one, under a round of its own."""
    rounds = [r["round"] for r in rows if r["trial"] == OPEN]
    number = max(rounds, default=-1) + 1
    closed = [r for r in rows if r["trial"] == CLOSED and r["level"] == ENCOUNTER and r["known"]]
    return [r | {"trial": OPEN, "round": number} for r in closed] if rounds else []
