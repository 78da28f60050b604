"""Stage ``shortlist``: which pairs are worth the matcher's time."""

from resight.pairs.cohort import Cohort
from resight.run import pairing
from resight.run.run import Run
from resight.run.state import Extracted, Planned
from resight.store.tables import status_counts
from resight.tasks.stage import stage


@stage("shortlist")
def plan_pairs(run: Run, extracted: Extracted, cohort: Cohort) -> Planned:
    """Plan every query with every gallery crop; in a large gallery leave out those that nothing speaks for."""
    planned = pairing.plan_pairs(run.conditions, extracted, cohort)
    run.work["features_computed"] += planned.n_voting_extracted
    run.work["queries_shortlisted"] = planned.n_shortlisted
    run.work["pairs_matched"] = planned.n_halved
    if planned.shortlisted:
        run.counts["shortlist"] = {"in": planned.plan.num_rows, "out": status_counts(planned.plan)}
    return planned
