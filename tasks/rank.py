"""Stage ``rank``."""

from resight.rank import rank_all
from resight.run import Run
from resight.tasks.stage import stage


@stage("rank")
def rank_candidates(run: Run) -> int:
    """Candidates for every query photo and encounter; probabilities follow in `novelty`, which writes the table."""
    if run.cohort is None:
        raise ValueError("rank_candidates needs run.cohort")
    ranked = rank_all(run.tables["scores"], run.extras["crop_info"], run.settings.rank, run.cohort.truth)
    run.extras["ranked"] = ranked
    return ranked.num_rows
