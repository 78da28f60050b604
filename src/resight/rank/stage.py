"""Candidates for every query photo and every query encounter.

Ties are broken by a rule, not by chance: score (high first), then number of pairs (many first), then individual_id (in
alphabetical order). Photos of one burst count once, on either side: of the pairs of two moments the best one votes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.rank.bursts import moments
from resight.rank.params import RankParams
from resight.rank.photos import codes, photo_pairs, starts
from resight.store.columns import mapped

LEVELS = {"encounter": "query_encounter_id", "photo": "query_photo_id"}
RANK_SCHEMA = pa.schema(
    [pa.field(f.name, f.type) for f in catalog_table("identifications").schema if f.name != "run_id"]
)


def rank(
    scores: pa.Table, crops_info: pa.Table, params: RankParams, truth: Mapping[str, str] | None = None
) -> pa.Table:
    """The best ``params.top_k`` candidates per query; see `rank_all`."""
    return top(rank_all(scores, crops_info, params, truth), params.top_k)


def rank_all(
    scores: pa.Table,
    crops_info: pa.Table,
    params: RankParams,
    truth: Mapping[str, str] | None = None,
    purpose: str = "identify",
) -> pa.Table:
    """All candidates of all queries at both levels, the catalog's ``identifications`` without ``run_id``.

    A candidate's score comes from its pairs of (query moment, gallery moment) that could be compared: ``max`` is the best
    one; ``mean_top2`` the mean of the two best (of one where there is one); ``mean_max`` the mean over the query moments
    of the best pair of each; ``mean_lme`` the mean over the query moments of ``log mean exp`` over the gallery's, which is
    fair to animals with few photos (meant for scores that are logarithms, such as ``fused``). At level ``photo`` there is
    one query photo. ``probability`` stays empty here.

    Args:
        scores: The ``scores`` table.
        crops_info: See `photo_pairs`.
        params: The rule, not ``auto``; see `rule.choose_rule`.
        truth: In an evaluation, the hidden individual by query photo_id.
        purpose: ``identify``, or ``calibrate`` for the gallery encounters that stand in for unknown animals.

    Returns:
        Sorted by level, query and rank. Queries without any scored pair are not in it.
    """
    if params.rule == "auto":
        raise ValueError("rank.rule = 'auto' has to be settled by `choose_rule` first")
    pairs = moment_pairs(scores, crops_info, params, purpose)
    return pa.concat_tables([rank_level(pairs, level, params.rule, truth) for level in LEVELS])


def moment_pairs(scores: pa.Table, crops_info: pa.Table, params: RankParams, purpose: str) -> pa.Table:
    """`photo_pairs` with the columns ``query_moment`` and ``gallery_moment``, see `bursts.moments`."""
    pairs = photo_pairs(scores, crops_info, purpose)
    moment = moments(crops_info, params.burst_seconds)
    for side in ("query", "gallery"):
        of_photo = mapped(pairs[f"{side}_photo_id"], moment, pa.string())
        pairs = pairs.append_column(f"{side}_moment", of_photo.dictionary_encode())
    return pairs


def candidate_scores(pairs: pa.Table, key: str, rule: str) -> pa.Table:
    """The score of each candidate of each query by the rule, as columns ``key``, ``individual_id``, ``score`` and ``n_pairs``.

    Args:
        pairs: From `moment_pairs`.
        key: ``query_encounter_id`` or ``query_photo_id``.
        rule: See `rank_all`.
    """
    return candidates_by_rule(pairs, key, [rule])[rule]


def candidates_by_rule(pairs: pa.Table, key: str, rules: Sequence[str]) -> dict[str, pa.Table]:
    """`candidate_scores` by several rules: their pairs are put in order once."""
    pairs = _once_per_burst(pairs, "query_moment" if key == LEVELS["encounter"] else "query_photo_id")
    pairs = pairs.take(pa.array(_best_first(pairs, key)))
    first = starts(codes(pairs[key]), codes(pairs["individual_id"]))
    chosen = pairs.take(pa.array(first)).select([key, "individual_id"])
    n_pairs = pa.array(np.diff(np.append(first, pairs.num_rows)))
    scores = {rule: pa.array(_rule(pairs, first, rule)) for rule in rules}
    return {
        rule: chosen.append_column("score", score).append_column("n_pairs", n_pairs) for rule, score in scores.items()
    }


def top(ranked: pa.Table, top_k: int) -> pa.Table:
    """The rows up to rank ``top_k``."""
    return ranked.filter(pc.less_equal(ranked["rank"], top_k))


def rank_level(pairs: pa.Table, level: str, rule: str, truth: Mapping[str, str] | None = None) -> pa.Table:
    """`rank_all` at one level, from `moment_pairs`."""
    key, truth = LEVELS[level], truth or {}
    n_photos = _photos_compared(pairs, key)
    pairs = _once_per_burst(pairs, "query_moment" if level == "encounter" else "query_photo_id")
    pairs = pairs.take(pa.array(_best_first(pairs, key)))
    first = starts(codes(pairs[key]), codes(pairs["individual_id"]))
    score = _rule(pairs, first, rule)
    n_pairs = np.diff(np.append(first, pairs.num_rows))
    best = pairs.take(pa.array(first))
    order = np.lexsort((codes(best["individual_id"]), -n_pairs, -score, codes(best[key])))
    best = best.take(pa.array(order))
    columns = {
        "level": pa.repeat(pa.scalar(level), len(order)),
        "query_id": best[key],
        "encounter_id": best["query_encounter_id"],
        "rank": pa.array(rank_numbers(codes(best[key])), pa.int32()),
        "individual_id": best["individual_id"],
        "score": pa.array(score[order]),
        "probability": pa.nulls(len(order), pa.float64()),
        "in_candidate_set": pa.nulls(len(order), pa.bool_()),
        "n_photos": pa.array(n_photos[order], pa.int32()),
        "n_pairs": pa.array(n_pairs[order], pa.int32()),
        "best_query_crop_id": best["query_crop_id"],
        "best_gallery_crop_id": best["gallery_crop_id"],
        "best_query_photo_id": best["query_photo_id"],
        "best_gallery_photo_id": best["gallery_photo_id"],
        "true_individual_id": pa.array([truth.get(p) for p in best["query_photo_id"].to_pylist()], pa.string()),
    }
    return pa.table(columns).cast(RANK_SCHEMA)


def _best_first(pairs: pa.Table, key: str) -> np.ndarray:
    """Order by query, candidate, score (high first); equal ones stay sorted by photo ids, as `photo_pairs` gives them."""
    return np.lexsort((-pairs["score"].to_numpy(), codes(pairs["individual_id"]), codes(pairs[key])))


def _rule(pairs: pa.Table, first: np.ndarray, rule: str) -> np.ndarray:
    """(groups,) score of each candidate; ``pairs`` is sorted by group and score."""
    score = pairs["score"].to_numpy()
    if rule == "max":
        return score[first]
    if rule == "mean_top2":
        size = np.diff(np.append(first, len(score)))
        return (score[first] + score[first + (size > 1)]) / 2
    return _mean_over_moments(pairs, first, score, rule)


def _mean_over_moments(pairs: pa.Table, first: np.ndarray, score: np.ndarray, rule: str) -> np.ndarray:
    """Mean over the query moments of the best, or of the log mean exp, of the pairs of each."""
    candidate = np.repeat(np.arange(len(first)), np.diff(np.append(first, pairs.num_rows)))
    moment = codes(pairs["query_moment"])
    order = np.lexsort((np.arange(len(moment)), moment, candidate))  # best first within a moment
    begin = starts(candidate[order], moment[order])
    value = score[order[begin]]
    if rule == "mean_lme" and len(begin):
        size = np.diff(np.append(begin, len(order)))
        value = value + np.log(np.add.reduceat(np.exp(score[order] - np.repeat(value, size)), begin) / size)
    group = candidate[order[begin]]
    return np.bincount(group, value, len(first)) / np.bincount(group, minlength=len(first))


def _photos_compared(pairs: pa.Table, key: str) -> np.ndarray:
    """(groups,) by query and candidate, in their order, the query photos that could be compared; all photos of a burst count."""
    query, candidate, photo = (codes(pairs[name]) for name in (key, "individual_id", "query_photo_id"))
    order = np.lexsort((photo, candidate, query))
    query, candidate, photo = query[order], candidate[order], photo[order]
    each = starts(query, candidate, photo)
    first = starts(query[each], candidate[each])
    return np.diff(np.append(first, len(each)))


def _once_per_burst(pairs: pa.Table, query: str) -> pa.Table:
    """The best pair of each two moments, in the order of the photo ids."""
    groups = codes(pairs[query]), codes(pairs["gallery_moment"]), codes(pairs["individual_id"])
    order = np.lexsort((np.arange(pairs.num_rows), -pairs["score"].to_numpy(), *groups))
    kept = order[starts(*(g[order] for g in reversed(groups)))]
    return pairs.take(pa.array(np.sort(kept)))


def rank_numbers(*sorted_keys: np.ndarray) -> np.ndarray:
    """(N,) ranks from 1 on within each group of rows with equal keys."""
    first, n = starts(*sorted_keys), len(sorted_keys[0])
    return np.arange(n) - np.repeat(first, np.diff(np.append(first, n))) + 1
