"""Stage ``match``."""

from resight.match.precision import precision_effect, sentence
from resight.match.stage import match
from resight.run.run import Run
from resight.run.setups import match_setup
from resight.store.counts import reconcile_pairs
from resight.store.runs import TableRef
from resight.tasks.shortlist import with_votes
from resight.tasks.stage import stage


@stage("match")
def match_pairs(run: Run) -> TableRef:
    """Match the planned pairs that nobody has matched before, give every pair a status."""
    planned = run.extras["plan"]
    setup, features = match_setup(run.settings), run.tables["features"]
    result = match(run.env, setup, run.names.match, planned, features)
    reconcile_pairs("match", planned, result.pairs)
    run.work["pairs_matched"] += result.n_matched  # on top of those that halving has matched
    table = run.add("pairs", with_votes(result.pairs, run.extras["votes"]))
    run.count("match", planned.num_rows, run.tables["pairs"])
    effect = precision_effect(run.env, setup, run.names.match, planned, features)
    if effect:  # half precision moves scores: by how much belongs into the run's record
        run.counts["match"]["precision"] = effect
        run.note(sentence(effect))
    return table
