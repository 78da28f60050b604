"""Stage ``shortlist``: which pairs are worth the matcher's time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.match.cache import CropCodes
from resight.match.halving.stage import halve
from resight.pairs.cohort import crop_info, plan
from resight.run.run import Run
from resight.run.setups import match_setup, voting
from resight.shortlist.stage import VERIFIED, shortlist
from resight.store.counts import reconcile_pairs
from resight.store.tables import status_counts
from resight.tasks.stage import stage


@stage("shortlist")
def plan_pairs(run: Run) -> int:
    """Plan every query with every gallery crop; in a large gallery leave out those that nothing speaks for.

    Where ``match.halving`` is set, candidates that fall behind on their way through the matcher are left out too.
    """
    if run.cohort is None:
        raise ValueError("plan_pairs needs run.cohort")
    info = crop_info(run.tables["photos"], run.tables["crops"], run.tables["features"], run.cohort)
    planned = plan(info, run.cohort, run.settings.pairs, run.settings.novelty.calibration_encounters)
    crops, features = run.tables["crops"], run.tables["features"]
    result = shortlist(run.env, voting(run.settings, run.names.voting), planned, crops, features)
    reconcile_pairs("shortlist", planned, result.plan)
    run.work["features_computed"] += result.n_extracted
    run.work["queries_shortlisted"] = result.n_asked
    halved = halve(run.env, match_setup(run.settings), run.names.match, result.plan, features)
    reconcile_pairs("halve", planned, halved.plan)
    run.work["pairs_matched"] = halved.n_matched
    run.extras |= {"crop_info": info, "plan": halved.plan, "votes": result.votes}
    if result.votes.num_rows or halved.plan is not planned:
        run.counts["shortlist"] = {"in": planned.num_rows, "out": status_counts(halved.plan)}
    return planned.num_rows


def with_votes(pairs: pa.Table, votes: pa.Table) -> pa.Table:
    """``pairs`` in the same order with the columns ``lnbnn`` and ``lnbnn_verified``."""
    codes = CropCodes.of(votes["query_crop_id"], votes["gallery_crop_id"])
    at = pc.index_in(pa.array(_directed(codes, pairs)), pa.array(_directed(codes, votes)))
    for name in ("lnbnn", VERIFIED):
        pairs = pairs.append_column(name, votes[name].combine_chunks().take(at))
    return pairs


def _directed(codes: CropCodes, pairs: pa.Table) -> np.ndarray:
    """(N,) int64, one number per (query, gallery); -1 where either is not among ``codes``."""
    q, g = (codes.encode(pairs[name]) for name in ("query_crop_id", "gallery_crop_id"))
    return np.where((q < 0) | (g < 0), -1, q * len(codes.ids) + g)
