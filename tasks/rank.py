"""Stage ``rank``."""

from resight.plugins.registry import SCORES
from resight.rank.rule import choose_rule
from resight.rank.stage import rank_all
from resight.run.run import REHEARSING, Run
from resight.tasks.stage import stage


@stage("rank")
def rank_candidates(run: Run) -> int:
    """Candidates for every query photo and encounter; probabilities follow in `novelty`, which writes the table."""
    if run.cohort is None:
        raise ValueError("rank_candidates needs run.cohort")
    scores, info = run.tables["scores"], run.extras["crop_info"]
    chosen = choose_rule(scores, info, run.settings.rank, SCORES[run.settings.score.name].is_ratio)
    if run.settings.rank.rule == "auto" and not run.extras.get(REHEARSING):
        run.note(chosen.sentence)
    run.fingerprints["rank"] = chosen.params.rule
    ranked = rank_all(scores, info, chosen.params, run.cohort.truth)
    run.extras |= {"ranked": ranked, "rank_params": chosen.params}
    return ranked.num_rows
