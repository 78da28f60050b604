"""From features to matched pairs: plan, shortlist, halve, match. Reads and writes no table of a run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.match.cache import CropCodes
from resight.match.halving.stage import halve
from resight.match.precision import precision_effect
from resight.match.stage import match
from resight.pairs.cohort import Cohort, crop_info, plan
from resight.run.conditions import Conditions
from resight.run.setups import match_setup, voting
from resight.run.state import Extracted, Matched, Planned
from resight.shortlist.stage import VERIFIED, shortlist
from resight.store.counts import reconcile_pairs


def plan_pairs(conditions: Conditions, extracted: Extracted, cohort: Cohort) -> Planned:
    """Plan every query with every gallery crop; in a large gallery leave out those that nothing speaks for.

    Where ``match.halving`` is set, candidates that fall behind on their way through the matcher are left out too.

    Raises:
        BrokenCountError: A pair got lost on the way.
    """
    env, settings, names = conditions.env, conditions.settings, conditions.names
    crops, features = extracted.crops, extracted.features
    info = crop_info(extracted.photos, crops, features, cohort)
    every = plan(info, cohort, settings.pairs, settings.novelty.calibration_encounters)
    listed = shortlist(env, voting(settings, names.voting), every, crops, features)
    reconcile_pairs("shortlist", every, listed.plan)
    halved = halve(env, match_setup(settings), names.match, listed.plan, features)
    reconcile_pairs("halve", every, halved.plan)
    return extracted.then(
        Planned,
        cohort=cohort,
        info=info,
        plan=halved.plan,
        votes=listed.votes,
        shortlisted=bool(listed.votes.num_rows) or halved.plan is not every,
        n_voting_extracted=listed.n_extracted,
        n_shortlisted=listed.n_voted,
        n_halved=halved.n_matched,
    )


def match_pairs(conditions: Conditions, planned: Planned) -> Matched:
    """Match the planned pairs that nobody has matched before, give every pair a status.

    Raises:
        BrokenCountError: A pair got lost on the way.
    """
    env, name, setup = conditions.env, conditions.names.match, match_setup(conditions.settings)
    result = match(env, setup, name, planned.plan, planned.features)
    reconcile_pairs("match", planned.plan, result.pairs)
    return planned.then(
        Matched,
        pairs=with_votes(result.pairs, planned.votes),
        n_matched=planned.n_halved + result.n_matched,
        precision=precision_effect(env, setup, name, planned.plan, planned.features),
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
