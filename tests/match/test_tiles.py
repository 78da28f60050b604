"""Pairs that are matched many at once, and what happens where that does not work."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from resight.match.blocks import with_crop_ids
from resight.match.cache import PART_SCHEMA
from resight.match.kinds.nearest import NearestMatcher, NearestParams
from resight.match.summary import SUMMARY_SCHEMA, summarise

PlanOf = Callable[..., pa.Table]
ALL = list(product(["q0", "q1", "q2"], ["g0", "g1", "g2", "g3"]))


class Tiled(NearestMatcher):
    """Matches many pairs at once, or would."""

    tiles = True
    breaks: Exception = RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    def match_tile(self, *_: Any) -> pa.Table:
        raise self.breaks


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> Tiled:
    matcher = Tiled(NearestParams())
    monkeypatch.setattr("resight.match.blocks.load_matcher", lambda _: matcher)
    return matcher


def test_a_tile_without_memory_is_matched_pair_by_pair_and_the_log_says_so(
    run: Any, plan_of: PlanOf, tiled: Tiled, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(plan_of(ALL)).n_matched == 12
    assert "one by one, which is slow, because of RuntimeError: CUDA out of memory. Tried" in caplog.text


def test_where_memory_is_short_fewer_pairs_are_matched_at_once_and_the_log_says_so(
    run: Any,
    survey: Any,
    plan_of: PlanOf,
    tiled: Tiled,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alone, fitted = NearestMatcher(NearestParams()), list[int]()

    def three_fit(crops: Any, index_a: np.ndarray, index_b: np.ndarray, bins: int) -> pa.Table:
        if len(index_a) > 3:
            raise tiled.breaks
        fitted.append(len(index_a))
        rows = [summarise(alone.match(crops[i][1], crops[k][1]), bins) for i, k in zip(index_a, index_b, strict=True)]
        return pa.Table.from_pylist(rows, schema=SUMMARY_SCHEMA)

    def never(*_: Any) -> None:
        raise AssertionError("one by one")

    monkeypatch.setattr(tiled, "match_tile", three_fit)
    monkeypatch.setattr(tiled, "match", never)
    rows = run(plan_of(ALL)).pairs.to_pylist()
    assert sum(fitted) == 12 and max(fitted) > 1
    for row in rows:
        q, g = row["query_crop_id"], row["gallery_crop_id"]
        wanted = summarise(alone.match(survey.crops[min(q, g)], survey.crops[max(q, g)]), 64)
        assert row["status"] == "scored" and row["confidence_sum"] == wanted["confidence_sum"]
    assert "pairs are matched at once, because of RuntimeError: CUDA out of memory. Tried" in caplog.text


def test_a_mistake_in_a_matcher_is_not_taken_for_a_bad_tile(run: Any, plan_of: PlanOf, tiled: Tiled) -> None:
    tiled.breaks = TypeError("match_tile() takes 3 arguments")
    rows = run(plan_of(ALL)).pairs.to_pylist()
    assert {(r["status"], r["reason"]) for r in rows} == {("failed", "TypeError: match_tile() takes 3 arguments")}


def test_rows_of_a_matcher_that_knows_no_grades_have_none() -> None:
    """A matcher of another package, written for a version without the column."""
    known = pa.schema([field for field in SUMMARY_SCHEMA if field.name != "agreement"])
    row = {name: [1] if pa.types.is_list(known.field(name).type) else 1 for name in known.names}
    table = with_crop_ids(pa.Table.from_pylist([row], schema=known), ["a"], ["b"])
    assert table.schema == PART_SCHEMA and table["agreement"].to_pylist() == [None]
    assert table["n_inliers"].to_pylist() == [1] and table["crop_id_b"].to_pylist() == ["b"]
