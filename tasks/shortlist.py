"""Stage ``shortlist``: which pairs are worth the matcher's time."""

from __future__ import annotations

import pyarrow as pa

from resight.cohort import crop_info, plan
from resight.counts import reconcile
from resight.match import halve
from resight.run import Run
from resight.shortlist.stage import VERIFIED, shortlist
from resight.tables import status_counts
from resight.tasks.stage import stage


@stage("shortlist")
def plan_pairs(run: Run) -> int:
    """Plan every query with every gallery crop; in a large gallery leave out those that nothing speaks for.

    Where ``match.halving`` is set, candidates that fall behind on their way through the matcher are left out too.
    """
    if run.cohort is None:
        raise ValueError("plan_pairs needs run.cohort")
    info = crop_info(run.tables["photos"], run.tables["crops"], run.tables["features"], run.cohort)
    planned = plan(info, run.cohort, run.settings)
    crops, features = run.tables["crops"], run.tables["features"]
    result = shortlist(run.workspace, run.settings, planned, crops, features, run.weights, run.runner)
    keys = pair_keys(planned)
    reconcile("shortlist", keys, pair_keys(result.plan))
    run.work["features_computed"] += result.n_extracted
    run.work["queries_shortlisted"] = result.n_asked
    halved = halve(run.workspace, run.settings, result.plan, run.tables["features"], run.weights, run.runner)
    reconcile("halve", keys, pair_keys(halved.plan))
    run.work["pairs_matched"] = halved.n_matched
    run.extras |= {"crop_info": info, "plan": halved.plan, "votes": result.votes}
    if result.votes.num_rows or halved.plan is not planned:
        run.counts["shortlist"] = {"in": planned.num_rows, "out": status_counts(halved.plan)}
    return planned.num_rows


def pair_keys(pairs: pa.Table) -> list[str]:
    """One text per row."""
    columns = (pairs["query_crop_id"].to_pylist(), pairs["gallery_crop_id"].to_pylist())
    return [f"{q} {g}" for q, g in zip(*columns, strict=True)]


def with_votes(pairs: pa.Table, votes: pa.Table) -> pa.Table:
    """``pairs`` in the same order with the columns ``lnbnn`` and ``lnbnn_verified``."""
    keys, by_pair = pair_keys(pairs), dict(zip(pair_keys(votes), range(votes.num_rows), strict=True))
    rows = pa.array([by_pair.get(k) for k in keys], pa.int64())
    for name in ("lnbnn", VERIFIED):
        pairs = pairs.append_column(name, votes[name].combine_chunks().take(rows))
    return pairs
