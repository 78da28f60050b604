"""Stage ``score``."""

from resight.run import Run
from resight.runs import TableRef
from resight.score import score
from resight.status import PairStatus
from resight.tasks.stage import stage


@stage("score")
def score_pairs(run: Run) -> TableRef:
    """From stored distributions to numbers; learns what non-matching pairs look like on the way."""
    if run.cohort is None:
        raise ValueError("score_pairs needs run.cohort")
    pairs, info = run.tables["pairs"], run.extras["crop_info"]
    viewpoints = dict(zip(info["crop_id"].to_pylist(), info["viewpoint"].to_pylist(), strict=True))
    result = score(pairs, run.cohort.labels, run.settings.score, viewpoints)
    run.extras["null"] = result.null
    table = run.add("scores", result.scores)
    scored = run.counts["match"]["out"].get(PairStatus.SCORED, 0)
    run.counts["score"] = {"in": scored, "out": {"scored": result.scores.num_rows}}
    return table
