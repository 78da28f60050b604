"""Which pairs are compared, and why the others are not. Pure: no file, no device."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.pairs.params import PairsParams
from resight.status import FeatureStatus, PairReason, PairStatus, Viewpoint

PLANNED = "planned"

_SIDES = (Viewpoint.LEFT, Viewpoint.RIGHT, Viewpoint.TOP, Viewpoint.FRONT, Viewpoint.BACK, Viewpoint.UNKNOWN)
# Which views share skin that can be recognised: 1 is compared, 0 is not. Symmetric.
_COMPATIBLE = np.array(
    [
        #  left right top front back unknown
        [1, 0, 1, 1, 0, 1],  # left
        [0, 1, 1, 1, 0, 1],  # right
        [1, 1, 1, 1, 0, 1],  # top
        [1, 1, 1, 1, 0, 1],  # front
        [0, 0, 0, 0, 1, 1],  # back
        [1, 1, 1, 1, 1, 1],  # unknown
    ],
    dtype=bool,
)
_MAY_COMPARE = {"same": np.eye(len(_SIDES), dtype=bool), "compatible": _COMPATIBLE, "any": np.ones_like(_COMPATIBLE)}

# Every outcome of the plan in the order in which they are written: a later one overwrites those before it.
_OUTCOMES: tuple[tuple[str, str], ...] = (
    (PLANNED, ""),
    (PairStatus.NO_FEATURES.value, ""),
    (PairStatus.EXCLUDED_BY_POLICY.value, PairReason.VIEWPOINT.value),
    (PairStatus.EXCLUDED_BY_POLICY.value, PairReason.SAME_ENCOUNTER.value),
    (PairStatus.EXCLUDED_BY_POLICY.value, PairReason.SAME_PHOTO.value),
)
_NO_FEATURES, _VIEWPOINT, _SAME_ENCOUNTER, _SAME_PHOTO = 1, 2, 3, 4
OTHER = "other_"  # other_species, other_site, …: reason of a pair that a column of `PairsParams.must_agree` keeps apart


def plan_pairs(
    queries: pa.Table, gallery: pa.Table, *, policy: PairsParams, purpose: str, forbid_same_encounter: bool
) -> pa.Table:
    """Give every query x gallery pair exactly one row: planned, or why not.

    Args:
        queries: Columns ``crop_id``, ``photo_id``, ``encounter_id``, ``viewpoint``, ``feature_status``, and where
            ``policy.must_agree`` names columns, ``extra`` (JSON, as in table ``photos``).
        gallery: The same columns.
        policy: Which viewpoints are compared, and in which columns of the metadata two photos must agree. Under
            ``same``, unknown is compared with unknown.
        purpose: ``identify`` or ``calibrate``; copied into every row.
        forbid_same_encounter: Keep photos of one encounter apart; for evaluations, where they would be too easy.

    Returns:
        ``query_crop_id, gallery_crop_id, query_photo_id, gallery_photo_id, purpose, status, reason``, queries x
        gallery rows, query by query in the order given. ``status`` is ``planned`` or a `PairStatus`; the policy comes
        before missing features, so that counts of excluded pairs do not depend on the extractor.
    """
    outcome = _outcomes(queries, gallery, policy, forbid_same_encounter).ravel()
    q = pa.array(np.repeat(np.arange(queries.num_rows, dtype=np.int64), gallery.num_rows))
    g = pa.array(np.tile(np.arange(gallery.num_rows, dtype=np.int64), queries.num_rows))
    by_metadata = [(PairStatus.EXCLUDED_BY_POLICY.value, f"{OTHER}{column}") for column in policy.must_agree]
    statuses, reasons = (pa.array(column, pa.string()) for column in zip(*_OUTCOMES, *by_metadata, strict=True))
    return pa.table(
        {
            "query_crop_id": text_column(queries, "crop_id").take(q),
            "gallery_crop_id": text_column(gallery, "crop_id").take(g),
            "query_photo_id": text_column(queries, "photo_id").take(q),
            "gallery_photo_id": text_column(gallery, "photo_id").take(g),
            "purpose": pa.repeat(pa.scalar(purpose, pa.string()), len(q)),
            "status": statuses.take(pa.array(outcome)),
            "reason": reasons.take(pa.array(outcome)),
        }
    )


def comparable(queries: Sequence[str], gallery: Sequence[str], viewpoint: str = "compatible") -> np.ndarray:
    """(A, B) bool: which of A views may be compared with which of B under that policy; any other word counts as unknown."""
    rows, columns = (_side(pa.array(views, pa.string())) for views in (queries, gallery))
    allowed: np.ndarray = _MAY_COMPARE[viewpoint][np.ix_(rows, columns)]
    return allowed


def _outcomes(queries: pa.Table, gallery: pa.Table, policy: PairsParams, forbid_same_encounter: bool) -> np.ndarray:
    """(queries, gallery) int8, index into `_OUTCOMES` followed by the columns of ``must_agree``."""
    out = np.zeros((queries.num_rows, gallery.num_rows), np.int8)
    out[~(_usable(queries)[:, None] & _usable(gallery)[None, :])] = _NO_FEATURES
    sides = (_side(text_column(table, "viewpoint")) for table in (queries, gallery))
    out[~_MAY_COMPARE[policy.viewpoint][np.ix_(*sides)]] = _VIEWPOINT
    for i, column in enumerate(policy.must_agree):
        out[_differ(_metadata(queries, column), _metadata(gallery, column))] = len(_OUTCOMES) + i
    if forbid_same_encounter:
        out[_equal(queries, gallery, "encounter_id")] = _SAME_ENCOUNTER
    out[_equal(queries, gallery, "photo_id")] = _SAME_PHOTO
    return out


def text_column(table: pa.Table, column: str) -> pa.Array:
    """A column as strings in one piece."""
    return table.column(column).cast(pa.string()).combine_chunks()


def _usable(table: pa.Table) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.equal(text_column(table, "feature_status"), FeatureStatus.OK.value), False))


def _side(views: pa.Array) -> np.ndarray:
    """Row of `_COMPATIBLE`; whatever is no side counts as unknown."""
    row = pc.index_in(views, pa.array([side.value for side in _SIDES], pa.string()))
    return np.asarray(pc.fill_null(row, _SIDES.index(Viewpoint.UNKNOWN)))


def _equal(queries: pa.Table, gallery: pa.Table, column: str) -> np.ndarray:
    """(queries, gallery) bool; a missing value equals nothing."""
    left, right = _codes(text_column(queries, column), text_column(gallery, column))
    return np.asarray((left[:, None] == right[None, :]) & (left >= 0)[:, None])


def _metadata(table: pa.Table, column: str) -> pa.Array:
    """The value of metadata ``column`` for each crop's photo, in lower case; missing where the cell is empty."""
    encoded = text_column(table, "extra").dictionary_encode()
    values = [json.loads(text).get(column, "").strip().casefold() or None for text in encoded.dictionary.to_pylist()]
    return pa.array(values, pa.string()).take(encoded.indices)


def _differ(left: pa.Array, right: pa.Array) -> np.ndarray:
    """(queries, gallery) bool; a missing value differs from nothing."""
    a, b = _codes(left, right)
    return np.asarray((a[:, None] != b[None, :]) & (a >= 0)[:, None] & (b >= 0)[None, :])


def _codes(left: pa.Array, right: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """A number for each value of both arrays, the same for equal values; -1 where it is missing."""
    names = pc.unique(pa.chunked_array([left, right], pa.string()).drop_null())
    a, b = (np.asarray(pc.fill_null(pc.index_in(values, names, skip_nulls=True), -1)) for values in (left, right))
    return a, b
