"""Stage ``shortlist``: which pairs are worth the matcher's time."""

from resight.pairs.cohort import Cohort
from resight.pairs.plan import ending_counts
from resight.run import pairing
from resight.run.run import Run
from resight.run.state import Extracted, Planned
from resight.tasks.stage import stage


@stage("shortlist")
def plan_pairs(run: Run, extracted: Extracted, cohort: Cohort) -> Planned:
    """Say which pairs are compared; in a large gallery leave out those that nothing speaks for."""
    planned = pairing.plan_pairs(run.conditions, extracted, cohort)
    run.work["features_computed"] += planned.n_voting_extracted
    run.work["queries_shortlisted"] = planned.n_shortlisted
    run.work["pairs_matched"] = planned.n_halved
    if planned.shortlisted:
        counts = ending_counts(planned.plan, planned.left_out)
        run.counts["shortlist"] = {"in": sum(counts.values()), "out": counts}
    return planned
