"""Stage ``match``."""

from resight.match.precision import precision_effect, sentence
from resight.match.stage import match
from resight.run.run import Run
from resight.store.counts import reconcile_pairs
from resight.store.runs import TableRef
from resight.tasks.shortlist import with_votes
from resight.tasks.stage import stage


@stage("match")
def match_pairs(run: Run) -> TableRef:
    """Match the planned pairs that nobody has matched before, give every pair a status."""
    planned = run.extras["plan"]
    result = match(run.workspace, run.settings, planned, run.tables["features"], run.weights, run.runner)
    reconcile_pairs("match", planned, result.pairs)
    run.work["pairs_matched"] += result.n_matched  # on top of those that halving has matched
    table = run.add("pairs", with_votes(result.pairs, run.extras["votes"]))
    run.count("match", planned.num_rows, run.tables["pairs"])
    effect = precision_effect(run.workspace, run.settings, planned, run.tables["features"], run.weights, run.runner)
    if effect:  # half precision moves scores: by how much belongs into the run's record
        run.counts["match"]["precision"] = effect
        run.note(sentence(effect))
    return table
