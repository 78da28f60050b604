"""Numbers of crops and of pairs of crops: one for each, the same from both sides, and back."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from resight.match.cache import CropCodes, is_in_sorted

ids = st.text(st.characters(codec="utf-8"), max_size=6)
id_lists = st.lists(ids, min_size=1, max_size=12)


def codes_of(names: list[str]) -> CropCodes:
    return CropCodes.of(pa.array(names, pa.string()))


@given(id_lists, st.lists(st.none() | ids, max_size=12))
def test_a_code_is_the_place_among_the_sorted_ids(names: list[str], asked: list[str | None]) -> None:
    codes = codes_of(names)
    in_order = sorted(set(names), key=lambda name: name.encode())
    assert codes.ids.to_pylist() == in_order
    column = pa.array(asked, pa.string())
    expected = [in_order.index(name) if name in in_order else -1 for name in asked]
    assert codes.encode(column).tolist() == expected
    assert codes.encode(column.dictionary_encode()).tolist() == expected
    assert codes.encode(pa.chunked_array([column, column])).tolist() == expected * 2


@given(id_lists)
def test_every_pair_has_its_own_number_whichever_side_comes_first(names: list[str]) -> None:
    codes = codes_of(names)
    n = len(codes.ids)
    first, second = (side.ravel() for side in np.meshgrid(np.arange(n), np.arange(n)))
    pairs = codes.pairs(first, second)
    assert (pairs == codes.pairs(second, first)).all()
    assert len(np.unique(pairs)) == n * (n + 1) // 2
    low, high = codes.unpack(pairs)
    assert (low == np.minimum(first, second)).all() and (high == np.maximum(first, second)).all()


@given(id_lists, st.lists(ids, min_size=1, max_size=6))
def test_a_pair_with_an_unknown_crop_has_no_number(names: list[str], others: list[str]) -> None:
    codes = codes_of(names)
    unknown = codes.encode(pa.array([name for name in others if name not in names], pa.string()))
    assert (codes.pairs(unknown, np.zeros_like(unknown)) == -1).all()
    assert (codes.pairs(np.zeros_like(unknown), unknown) == -1).all()


@given(st.lists(st.integers(-5, 40)), st.sets(st.integers(-5, 40)))
def test_membership_in_sorted_numbers(values: list[int], wanted: set[int]) -> None:
    inside = is_in_sorted(np.array(values, np.int64), np.array(sorted(wanted), np.int64))
    assert inside.tolist() == [value in wanted for value in values]
