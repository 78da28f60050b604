"""Stage ``score``, and fitting its fusion again once everything is measured."""

from dataclasses import replace

from resight.run import judging
from resight.run.run import Run
from resight.run.state import Matched, Scored
from resight.score.base import FUSED
from resight.score.choose import LabelledPairs, refit
from resight.status import PairStatus
from resight.tasks.stage import stage


@stage("score")
def score_pairs(run: Run, matched: Matched) -> Scored:
    """From stored distributions to numbers; learns what non-matching pairs look like on the way."""
    scored = judging.score_pairs(run.conditions, matched)
    run.fingerprints |= {"fusion": scored.fused.fingerprint} if scored.fused.fingerprint else {}
    if scored.learned is not None:
        run.fingerprints["calibration"] = scored.learned.place
    run.note(scored.fused.note)
    scores = run.add("scores", scored.scores)
    n_pairs = run.counts["match"]["out"].get(PairStatus.SCORED, 0)
    run.counts["score"] = {"in": n_pairs, "out": {"scored": scores.num_rows}}
    return replace(scored, scores=scores)


def refit_fusion(run: Run, scored: Scored) -> None:
    """Fit the fusion anew on all labels of a measured run, and accept it if it is not worse; says what it did."""
    if run.settings.score.name != FUSED:
        return
    labels = {**scored.cohort.labels, **scored.cohort.truth}
    labelled = LabelledPairs(scored.pairs, scored.info, labels, scored.null, run.settings.match.kind)
    run.note(refit(run.workspace, run.names.evidence, labelled, run.settings.score.calibration).note)
