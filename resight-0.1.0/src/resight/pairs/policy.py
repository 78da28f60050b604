"""What keeps two photos apart: their sides, their encounter, columns of the metadata, and crops without features."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.pairs.params import PairsParams
from resight.status import FeatureStatus, PairReason, PairStatus, Viewpoint

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
OTHER = "other_"  # other_species, other_site, …: reason of a pair that a column of `PairsParams.must_agree` keeps apart


@dataclass(frozen=True, eq=False)
class Rule:
    """Status and reason of the pairs that it forbids.

    Attributes:
        forbids: Of numbers of query and gallery crops that broadcast, which pairs: bool.
    """

    status: PairStatus
    reason: str
    forbids: Callable[[np.ndarray, np.ndarray], np.ndarray]


def policy_rules(
    queries: pa.Table, gallery: pa.Table, policy: PairsParams, forbid_same_encounter: bool, met_again: bool = False
) -> tuple[Rule, ...]:
    """All rules for these crops, the strongest last; see `PairGrid.between`."""
    excluded = PairStatus.EXCLUDED_BY_POLICY
    usable = _usable(queries), _usable(gallery)
    side = tuple(_side(text_column(table, "viewpoint")) for table in (queries, gallery))
    may = _MAY_COMPARE[policy.viewpoint]
    rules = [Rule(PairStatus.NO_FEATURES, "", lambda q, g: ~(usable[0][q] & usable[1][g]))]
    if met_again:
        rules.append(Rule(excluded, PairReason.SAME_DAY.value, _not_met_again(queries, gallery)))
    rules.append(Rule(excluded, PairReason.VIEWPOINT.value, lambda q, g: ~may[side[0][q], side[1][g]]))
    for column in policy.must_agree:
        values = _codes(_metadata(queries, column), _metadata(gallery, column))
        rules.append(Rule(excluded, f"{OTHER}{column}", _differing(values)))
    if forbid_same_encounter:
        rules.append(Rule(excluded, PairReason.SAME_ENCOUNTER.value, _equal(queries, gallery, "encounter_id")))
    return (*rules, Rule(excluded, PairReason.SAME_PHOTO.value, _equal(queries, gallery, "photo_id")))


def comparable(queries: Sequence[str], gallery: Sequence[str], viewpoint: str = "compatible") -> np.ndarray:
    """(A, B) bool: which of A views may be compared with which of B under that policy; any other word counts as unknown."""
    rows, columns = (_side(pa.array(views, pa.string())) for views in (queries, gallery))
    allowed: np.ndarray = _MAY_COMPARE[viewpoint][np.ix_(rows, columns)]
    return allowed


def text_column(table: pa.Table, column: str) -> pa.Array:
    """A column as strings in one piece."""
    return table.column(column).cast(pa.string()).combine_chunks()


def _usable(table: pa.Table) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.equal(text_column(table, "feature_status"), FeatureStatus.OK.value), False))


def _side(views: pa.Array) -> np.ndarray:
    """Row of `_COMPATIBLE`; whatever is no side counts as unknown."""
    row = pc.index_in(views, pa.array([side.value for side in _SIDES], pa.string()))
    return np.asarray(pc.fill_null(row, _SIDES.index(Viewpoint.UNKNOWN)))


def _equal(queries: pa.Table, gallery: pa.Table, column: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Which pairs have the same value; a missing one equals nothing."""
    left, right = _codes(text_column(queries, column), text_column(gallery, column))
    return lambda q, g: (left[q] == right[g]) & (left[q] >= 0)


def _not_met_again(queries: pa.Table, gallery: pa.Table) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Which pairs are of one animal, on one day or on days that are not both known."""
    one_animal, other_day = (
        _equal(queries, gallery, "individual_id"),
        _differing(_codes(text_column(queries, "taken_on"), text_column(gallery, "taken_on"))),
    )
    return lambda q, g: one_animal(q, g) & ~other_day(q, g)


def _differing(values: tuple[np.ndarray, np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Which pairs have different values; a missing one differs from nothing."""
    left, right = values
    return lambda q, g: (left[q] != right[g]) & (left[q] >= 0) & (right[g] >= 0)


def _metadata(table: pa.Table, column: str) -> pa.Array:
    """The value of metadata ``column`` for each crop's photo, in lower case; missing where the cell is empty."""
    encoded = text_column(table, "extra").dictionary_encode()
    values = [json.loads(text).get(column, "").strip().casefold() or None for text in encoded.dictionary.to_pylist()]
    return pa.array(values, pa.string()).take(encoded.indices)


def _codes(left: pa.Array, right: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """A number for each value of both arrays, the same for equal values; -1 where it is missing."""
    names = pc.unique(pa.chunked_array([left, right], pa.string()).drop_null())
    a, b = (np.asarray(pc.fill_null(pc.index_in(values, names, skip_nulls=True), -1)) for values in (left, right))
    return a, b
