"""Pairs in equal pairs out, checked without a text per pair."""

import pyarrow as pa
import pytest

from resight.errors import BrokenCountError
from resight.run.pairing import with_votes
from resight.shortlist.votes import CROP_VOTES
from resight.store.counts import reconcile_pairs


def pairs(*rows: tuple[str, str]) -> pa.Table:
    return pa.table({"query_crop_id": [q for q, _ in rows], "gallery_crop_id": [g for _, g in rows]})


def test_the_same_pairs_in_any_order_agree() -> None:
    reconcile_pairs("match", pairs(("a", "b"), ("b", "a")), pairs(("a", "b"), ("b", "a")))
    reconcile_pairs("match", pairs(("a", "b"), ("b", "a")), pairs(("b", "a"), ("a", "b")))


@pytest.mark.parametrize(
    ("got", "says"),
    [
        ([("a", "b")], r"2 in, 1 out; 1 lost \['a c'\]"),
        ([("a", "b"), ("a", "d")], r"1 lost \['a c'\], 1 too many \['a d'\]"),
        ([("a", "b"), ("a", "b"), ("a", "c")], r"0 lost \[\], 1 too many \['a b'\]"),
    ],
)
def test_a_pair_lost_or_doubled_stops_the_run(got: list[tuple[str, str]], says: str) -> None:
    with pytest.raises(BrokenCountError, match=says):
        reconcile_pairs("match", pairs(("a", "b"), ("a", "c")), pairs(*got))


def test_votes_belong_to_one_direction_of_a_pair() -> None:
    votes = pa.table(
        {
            "query_crop_id": ["a", "b", "a"],
            "gallery_crop_id": ["b", "a", "c"],
            "lnbnn": [1.0, 2.0, 3.0],
            "rank": [0, 0, 1],
        }
    ).cast(CROP_VOTES)
    votes = votes.append_column("lnbnn_verified", pa.array([0.5, 0.0, 1.5]))
    asked = pairs(("a", "c"), ("b", "a"), ("c", "a"), ("a", "b"), ("x", "a"), ("a", "x"))
    got = with_votes(asked, votes)
    assert got["lnbnn"].to_pylist() == [3.0, 2.0, None, 1.0, None, None]
    assert got["lnbnn_verified"].to_pylist() == [1.5, 0.0, None, 0.5, None, None]
    assert with_votes(asked, votes.slice(0, 0))["lnbnn"].to_pylist() == [None] * 6
