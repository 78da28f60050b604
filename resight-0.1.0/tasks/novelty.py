"""Stage ``novelty``, and the judging of an evaluation that leaves one encounter out at a time."""

from collections import Counter
from dataclasses import replace

import pyarrow as pa

from resight.run import judging
from resight.run.run import Run
from resight.run.state import Judged, Matched, Ranked
from resight.tasks.rank import rank_candidates
from resight.tasks.score import score_pairs
from resight.tasks.stage import stage


def judge(run: Run, matched: Matched) -> Judged:
    """From matched pairs to verdicts: all at once, or where one encounter is left out at a time, fold by fold."""
    if matched.cohort.leave_one_out:
        return judge_folds(run, matched)
    return judge_novelty(run, rank_candidates(run, score_pairs(run, matched)))


@stage("novelty")
def judge_novelty(run: Run, ranked: Ranked) -> Judged:
    """Learn from gallery animals that play the unknown one, then decide on every query encounter."""
    return _written(run, judging.judge_novelty(run.settings, ranked))


@stage("judge")
def judge_folds(run: Run, matched: Matched) -> Judged:
    """Each encounter is identified among all others; its label and its scores are hidden from what judges it."""
    judged = judging.judge_folds(run.conditions, matched, run.note)
    scores = run.add("scores", judged.scores)
    run.counts["score"] = {"in": scores.num_rows, "out": {"scored": scores.num_rows}}
    return _written(run, replace(judged, scores=scores))


def _written(run: Run, judged: Judged) -> Judged:
    written = {name: run.add(name, getattr(judged, name)) for name in ("identifications", "novelty")}
    count_decisions(run, written["novelty"])
    return replace(judged, **written)


def count_decisions(run: Run, novelty: pa.Table) -> None:
    """Encounters by verdict."""
    decisions = novelty["decision"].to_pylist()
    run.counts["novelty"] = {"in": len(decisions), "out": dict(sorted(Counter(decisions).items()))}
