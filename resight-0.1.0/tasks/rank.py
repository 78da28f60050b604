"""Stage ``rank``."""

from resight.run import judging
from resight.run.run import Run
from resight.run.state import Ranked, Scored
from resight.tasks.stage import stage


@stage("rank")
def rank_candidates(run: Run, scored: Scored) -> Ranked:
    """Candidates for every query photo and encounter; probabilities follow in `novelty`, which writes the table."""
    ranked = judging.rank_candidates(run.settings, scored)
    run.note(ranked.rule.sentence if run.settings.rank.rule == "auto" else "")
    run.fingerprints["rank"] = ranked.rule.params.rule
    return ranked
