"""From the ``pairs`` table to the ``scores`` table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.errors import SettingsError
from resight.plugins.registry import SCORES
from resight.score.base import Score
from resight.score.cohorts import Cohorts
from resight.score.distribution import Distributions, optional, read_distributions, scored_only
from resight.score.fusion import Fusion
from resight.score.gallery import Gallery
from resight.score.null import Null, labels_of, learn_null, same_individual, viewpoint_classes
from resight.score.params import ScoreParams
from resight.store.tables import Keys

_IDS = ("query_crop_id", "gallery_crop_id", "purpose")
_COLUMNS = frozenset(catalog_table("scores").schema.names)


@dataclass(frozen=True)
class ScoreResult:
    """The catalog's ``scores`` without ``run_id``, and the null distribution that was learned on the way."""

    scores: pa.Table
    null: Null


def score(
    pairs: pa.Table,
    labels: Mapping[str, str | None],
    params: ScoreParams,
    viewpoints: Mapping[str, str] | None = None,
    fusion: Fusion | None = None,
    null: Null | None = None,
    known: pa.Table | None = None,
    gallery: Gallery | None = None,
    alone: bool = False,
) -> ScoreResult:
    """All scores of all pairs with status ``scored``; whatever was not matched gets no row.

    Args:
        pairs: The ``pairs`` table, of any purpose.
        labels: Individual by photo_id; missing or None for unlabelled photos.
        params: Which score ranks.
        viewpoints: Viewpoint by crop_id, for a null of each class of views; one null for all without it.
        fusion: Combines all evidence into one number; the column ``fused`` stays empty without it.
        null: What pairs of different animals look like; learned from the calibration pairs if not given.
        known: Scores of some of these pairs under this null, from which values are taken that depend on the pair alone.
        alone: Compute the score that ranks and no other; the columns of the others are not there then.
        gallery: What calibration pairs that are not in the table have shown of gallery crops; ``null`` is theirs then.

    Raises:
        SettingsError: The chosen score is unknown or cannot be computed for these pairs.
        BrokenCountError: A scored pair lacks values or contradicts itself.
    """
    chosen = score_named(params.name)
    null = null or learn_null(pairs, labels, params.null_pairs, viewpoints)
    scored = scored_only(pairs)
    d = distributions(scored, labels, null, viewpoints, gallery)
    if fusion is not None:
        d = replace(d, fused=fusion.log_ratio(d, labels_of(scored["query_photo_id"], labels)))
    # A score without a column of its own is computed only if it ranks, and only `score` holds it.
    wanted = {chosen.name} if alone else _COLUMNS | {chosen.name}
    asked = {name: each for name, each in SCORES.items() if name in wanted}
    taken = _taken(asked, scored, known, d) if known is not None and known.num_rows else {}
    values = {name: taken[name] if name in taken else each.compute(d) for name, each in asked.items()}
    columns: dict[str, pa.Array | pa.ChunkedArray] = {name: scored[name] for name in _IDS}
    columns |= {n: pa.array(v, pa.float64(), from_pandas=True) for n, v in values.items() if n in _COLUMNS}
    columns["score"] = pa.array(_ranking_values(chosen, values[chosen.name]), pa.float64())
    columns["score_name"] = pa.repeat(pa.scalar(chosen.name), scored.num_rows)
    columns["same_individual"] = same_individual(scored, labels)
    return ScoreResult(pa.table(columns), null)


def _taken(asked: Mapping[str, Score], scored: pa.Table, known: pa.Table, d: Distributions) -> dict[str, np.ndarray]:
    """Values of the scores of the pair alone: those that are known, and the others computed."""
    at = Keys(known, _IDS).places(scored)
    new = np.flatnonzero(at < 0)
    others, found = d.rows(new), {}
    for name, each in asked.items():
        if each.of_pair and name in known.column_names:
            found[name] = optional(known, name)[at.clip(min=0)]
            found[name][new] = each.compute(others)
    return found


def score_named(name: str) -> Score:
    """The score of that name.

    Raises:
        SettingsError: There is none, or it cannot rank; names the nearest.
    """
    chosen: Score = SCORES[name]
    if not chosen.ranks:
        raise SettingsError(
            f"score.name = '{name}' has no direction, so it cannot rank; choose another one, e.g. wasserstein."
        )
    return chosen


def distributions(
    scored: pa.Table,
    labels: Mapping[str, str | None],
    null: Null,
    viewpoints: Mapping[str, str] | None,
    gallery: Gallery | None = None,
) -> Distributions:
    """What every score but the fusion is computed from; see `score`."""
    cdf, row = null.table(viewpoint_classes(scored, viewpoints))
    d = read_distributions(scored, cdf, row, gallery.voted if gallery else ())
    cohorts = Cohorts.of(scored, labels)
    tried = not np.isnan(d.n_inliers).any() and (gallery is None or gallery.tried)
    inliers, sums = SCORES["inliers"].compute(d), gallery.inliers if gallery else None
    d = replace(d, cohort_inliers=cohorts.scores(inliers, null.inliers if tried else None, sums))
    if null.counts is None:
        return d
    log_sum = np.log1p(d.confidence_sum)
    residual = null.counts.residual(log_sum, d.n_keypoints_query, d.n_keypoints_gallery)
    return replace(
        d,
        residual=residual,
        cohort_score=cohorts.scores(log_sum, null.counts.moments, gallery.log_sum if gallery else None),
    )


def _ranking_values(chosen: Score, values: np.ndarray) -> np.ndarray:
    missing = int(np.isnan(values).sum())
    if missing:
        raise SettingsError(
            f"score.name = '{chosen.name}' needs {chosen.needs}, which {missing} of {len(values)} pairs lack; "
            "choose another score.name, e.g. mean"
        )
    return chosen.turned(values)
