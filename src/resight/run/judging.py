"""From matched pairs to verdicts, for one cohort or for many. Reads and writes no table."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.folds import leave_encounters_out, pairs_of
from resight.novelty.calibration import calibrate
from resight.novelty.decide import NOVELTY_SCHEMA, decide, listed
from resight.novelty.joint import Belief
from resight.novelty.model import NoveltyModel, fit
from resight.novelty.sets import Days
from resight.pairs.cohort import Cohort, calibration_photos, crop_info, met_on_another_day, without_refused
from resight.plugins.registry import SCORES
from resight.rank.levels import Seen
from resight.rank.rule import GROWING, choose_rule
from resight.rank.stage import rank_all
from resight.run.calibration import Calibrating
from resight.run.conditions import Conditions
from resight.run.learning import learn
from resight.run.own_pairs import left_out, with_cut_pairs
from resight.run.setups import shipped_calibration
from resight.run.state import Judged, Matched, Ranked, Scored
from resight.run.uncompared import explained
from resight.runner.progress import counted
from resight.score.base import FUSED
from resight.score.choose import ChosenFusion, LabelledPairs, choose_fusion, viewpoints_of
from resight.score.gallery import Gallery
from resight.score.null import Null, learn_null
from resight.score.stage import score
from resight.settings import Settings
from resight.store.counts import reconcile

Note = Callable[[str], None]


def judge(conditions: Conditions, matched: Matched, note: Note) -> Judged:
    """Score, rank and decide; where one encounter is left out at a time, fold by fold.

    Args:
        conditions: Settings, and the workspace that keeps the accepted fusion.
        matched: Pairs, and which photos are queries and which gallery.
        note: Takes sentences for people.
    """
    if matched.cohort.leave_one_out:
        return judge_folds(conditions, matched, note)
    scored = score_pairs(conditions, matched)
    note(scored.fused.note)
    settings = conditions.settings
    return judge_novelty(settings, rank_candidates(settings, scored))


def judge_folds(conditions: Conditions, matched: Matched, note: Note) -> Judged:
    """Each encounter is identified among all others; its label and its scores are hidden from what judges it."""
    settings, cohorts = conditions.settings, leave_encounters_out(matched.cohort, matched.photos)
    folds = [
        judge(conditions, seen_by(settings, matched, cohort), note)
        for cohort in counted(cohorts, "judge", "encounters")
    ]
    if settings.rank.rule == "auto":
        rules = Counter(fold.rule.params.rule for fold in folds).most_common()
        counts = ", ".join(f"{rule} in {n}" for rule, n in rules)
        note(f"The rule by which photos vote was chosen anew for each encounter: {counts}.")
    return _joined(matched, folds)


def seen_by(settings: Settings, matched: Matched, cohort: Cohort) -> Matched:
    """What was matched, as if this cohort were all there is: its pairs, and its labels alone."""
    info = crop_info(matched.photos, matched.crops, matched.features, cohort)
    calibrating = None
    if matched.cohort.leave_one_out:  # then no pairs were planned to calibrate on
        calibrating = calibration_photos(info, cohort, settings.novelty.calibration_encounters)
    pairs = met_on_another_day(pairs_of(matched.pairs, cohort, calibrating), info)
    return matched.then(Matched, cohort=cohort, info=info, pairs=pairs)


def score_pairs(conditions: Conditions, matched: Matched) -> Scored:
    """From stored distributions of confidences to numbers; learns what non-matching pairs look like on the way."""
    settings, cohort = conditions.settings, matched.cohort
    if matched.calibrating is not None:
        return _score_own_pairs(conditions, matched, matched.calibrating)
    null = learn_null(matched.pairs, cohort.labels, settings.score.null_pairs, viewpoints_of(matched.info))
    fused = ChosenFusion()
    if settings.score.name == FUSED:
        labelled = LabelledPairs(matched.pairs, matched.info, cohort.labels, null, settings.match.kind)
        place, name, how = conditions.env.workspace, conditions.names.evidence, settings.score.calibration
        fused = choose_fusion(place, name, labelled, how, evaluating=cohort.evaluating, keep=cohort.is_kept).under(null)
    scores = scores_of(settings, matched, cohort.labels, null, fused)
    return matched.then(Scored, scores=scores, null=null, fused=fused)


def _score_own_pairs(conditions: Conditions, matched: Matched, calibrating: Calibrating) -> Scored:
    """`score_pairs` of the run's own pairs, by what calibration pairs in the store have taught."""
    settings, labels = conditions.settings, matched.cohort.labels
    fused = ChosenFusion()
    if settings.score.name == FUSED:  # one is accepted, else calibration pairs would not be kept apart
        labelled = LabelledPairs(matched.pairs, matched.info, labels, Null(), settings.match.kind)
        place, how = conditions.env.workspace, settings.score.calibration
        fused = choose_fusion(place, conditions.names.evidence, labelled, how, evaluating=False)
    learned = learn(settings, matched, calibrating, fused)
    fused = fused.under(learned.null)
    scores = scores_of(settings, matched, labels, learned.null, fused, gallery=learned.gallery)
    return matched.then(Scored, scores=scores, null=learned.null, fused=fused, learned=learned)


def scores_of(
    settings: Settings,
    matched: Matched,
    labels: Mapping[str, str | None],
    null: Null,
    fused: ChosenFusion,
    known: pa.Table | None = None,
    gallery: Gallery | None = None,
) -> pa.Table:
    """The table ``scores`` of all matched pairs under these labels; null and fusion stay what they are.

    ``known`` are the scores of some of these pairs, under other labels or without the others, with the same null; ``gallery`` is what
    calibration pairs show that are not among them.
    """
    viewpoints = viewpoints_of(matched.info)
    return score(matched.pairs, labels, settings.score, viewpoints, fused.fusion, null, known, gallery).scores


def rank_candidates(settings: Settings, scored: Scored) -> Ranked:
    """Candidates for every query photo and encounter, by the rule that gallery encounters say is best."""
    is_ratio = SCORES[settings.score.name].is_ratio
    learned = scored.learned
    rule = learned.rule if learned else choose_rule(scored.scores, scored.info, settings.rank, is_ratio)
    scores = without_refused(scored.scores, scored.info, scored.cohort.refused)
    candidates = rank_all(scores, scored.info, rule.params, scored.cohort.truth)
    seen = Seen.of(scores, scored.info, rule.params)
    if scored.shortlisted:
        seen = replace(seen, left_out=left_out(scored.grids, scored.info, scored.cohort, candidates))
    return scored.then(Ranked, candidates=candidates, rule=rule, seen=seen)


def judge_novelty(settings: Settings, ranked: Ranked) -> Judged:
    """Learn from gallery animals that play the unknown one, then decide on every query encounter.

    Raises:
        BrokenCountError: An encounter has no verdict, or several.
    """
    model = ranked.learned.model if ranked.learned else _novelty_model(settings, ranked)
    judged = ranked.then(Judged, model=model, identifications=ranked.candidates, novelty=NOVELTY_SCHEMA.empty_table())
    return with_verdicts(settings, judged)


def _novelty_model(settings: Settings, ranked: Ranked) -> NoveltyModel:
    """From the calibration pairs among those of the run."""
    cohort, pairs = ranked.cohort, ranked.pairs
    if ranked.shortlisted:
        calibrating = calibration_photos(ranked.info, cohort, settings.novelty.calibration_encounters)
        pairs = with_cut_pairs(pairs, ranked.grids, cohort.labels, calibrating)
    calibration = calibrate(ranked.scores, ranked.info, ranked.rule.params, pairs)
    kind = SCORES[settings.score.name]
    return fit(calibration, kind.signed, shipped_calibration(settings), ranked.rule.params.rule in GROWING)


def with_verdicts(settings: Settings, judged: Judged, beliefs: Mapping[str, Belief] | None = None) -> Judged:
    """The verdicts that follow from the model, and from what is believed of encounters in view of all others.

    Raises:
        BrokenCountError: An encounter has no verdict, or several.
    """
    cohort, queries = judged.cohort, query_photos(judged)
    encounter_of = dict(zip(queries["photo_id"].to_pylist(), queries["encounter_id"].to_pylist(), strict=True))
    truth = {encounter_of[p]: name for p, name in cohort.truth.items() if p in encounter_of}
    animals, days, refused = set(cohort.labels.values()), Days.of(judged.info), cohort.refused
    verdicts = decide(
        judged.candidates,
        queries,
        animals,
        judged.model,
        settings.novelty,
        judged.seen,
        days,
        truth,
        beliefs=beliefs,
        refused=refused,
    )
    _reconcile_verdicts(judged, verdicts.novelty)
    shown = listed(verdicts, settings.rank.top_k)
    novelty = explained(shown.novelty, judged)
    return replace(judged, candidates=verdicts.ranked, identifications=shown.ranked, novelty=novelty)


def query_photos(matched: Matched) -> pa.Table:
    """``photo_id`` and ``encounter_id`` of all query photos, compared or not."""
    photos = matched.photos.select(["photo_id", "encounter_id"])
    is_query = [p in matched.cohort.queries for p in photos["photo_id"].to_pylist()]
    return photos.filter(pa.array(is_query, pa.bool_()))


def _reconcile_verdicts(matched: Matched, novelty: pa.Table) -> None:
    encounters = set(query_photos(matched)["encounter_id"].to_pylist())
    reconcile("novelty", encounters, novelty["encounter_id"].to_pylist())


def _joined(matched: Matched, folds: Sequence[Judged]) -> Judged:
    """The verdicts of all folds as those of one run."""
    scores = [fold.scores.filter(pc.equal(fold.scores["purpose"], "identify")) for fold in folds]
    whole = replace(
        folds[-1],
        cohort=matched.cohort,
        info=matched.info,
        pairs=matched.pairs,
        scores=pa.concat_tables(scores),
        candidates=pa.concat_tables([fold.candidates for fold in folds]),
        identifications=pa.concat_tables([fold.identifications for fold in folds]),
        novelty=pa.concat_tables([fold.novelty for fold in folds]),
        folds=tuple(folds),
    )
    _reconcile_verdicts(whole, whole.novelty)
    return whole
