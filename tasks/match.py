"""Stage ``match``."""

from dataclasses import replace

from resight.match.precision import sentence
from resight.pairs.plan import ending_counts
from resight.run import pairing
from resight.run.run import Run
from resight.run.state import Matched, Planned
from resight.tasks.stage import stage


@stage("match")
def match_pairs(run: Run, planned: Planned) -> Matched:
    """Match the planned pairs that nobody has matched before, give every one a status."""
    matched = pairing.match_pairs(run.conditions, planned)
    run.work["pairs_matched"] = matched.n_matched
    pairs = run.add("pairs", matched.pairs)
    left_out = run.add("pairs_left_out", matched.left_out)
    counts = ending_counts(pairs, left_out)
    run.counts["match"] = {"in": sum(counts.values()), "out": counts}
    if matched.calibrating is not None and matched.calibrating.about is not None:
        about = matched.calibrating.about
        run.counts["calibration"] = {"in": about.n_pairs, "out": dict(about.ends)}
    if matched.precision:  # half precision moves scores: by how much belongs into the run's record
        run.counts["match"]["precision"] = matched.precision
        run.note(sentence(dict(matched.precision)))
    return replace(matched, pairs=pairs, left_out=left_out)
