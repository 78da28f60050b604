"""From features to matched pairs: plan, shortlist, halve, match. Reads and writes no table of a run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.match.cache import CropCodes
from resight.match.halving.stage import halve
from resight.match.precision import precision_effect
from resight.match.stage import match
from resight.pairs.cohort import Cohort, crop_info, plan
from resight.run.state import Extracted, Matched, Planned
from resight.settings import Settings
from resight.shortlist.stage import VERIFIED, shortlist
from resight.store.counts import reconcile_pairs


def plan_pairs(env: Environment, settings: Settings, extracted: Extracted, cohort: Cohort) -> Planned:
    """Plan every query with every gallery crop; in a large gallery leave out those that nothing speaks for.

    Where ``match.halving`` is set, candidates that fall behind on their way through the matcher are left out too.

    Raises:
        BrokenCountError: A pair got lost on the way.
    """
    place, weights, runner = env.workspace, env.weights, env.runner
    crops, features = extracted.crops, extracted.features
    info = crop_info(extracted.photos, crops, features, cohort)
    every = plan(info, cohort, settings)
    listed = shortlist(place, settings, every, crops, features, weights, runner)
    reconcile_pairs("shortlist", every, listed.plan)
    halved = halve(place, settings, listed.plan, features, weights, runner)
    reconcile_pairs("halve", every, halved.plan)
    return extracted.then(
        Planned,
        cohort=cohort,
        info=info,
        plan=halved.plan,
        votes=listed.votes,
        shortlisted=bool(listed.votes.num_rows) or halved.plan is not every,
        n_voting_extracted=listed.n_extracted,
        n_shortlisted=listed.n_asked,
        n_halved=halved.n_matched,
    )


def match_pairs(env: Environment, settings: Settings, planned: Planned) -> Matched:
    """Match the planned pairs that nobody has matched before, give every pair a status.

    Raises:
        BrokenCountError: A pair got lost on the way.
    """
    place, features, weights, runner = env.workspace, planned.features, env.weights, env.runner
    result = match(place, settings, planned.plan, features, weights, runner)
    reconcile_pairs("match", planned.plan, result.pairs)
    return planned.then(
        Matched,
        pairs=with_votes(result.pairs, planned.votes),
        n_matched=planned.n_halved + result.n_matched,
        precision=precision_effect(place, settings, planned.plan, features, weights, runner),
    )


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
