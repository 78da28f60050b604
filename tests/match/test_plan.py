"""Which pairs are compared."""

import time
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from resight.errors import BrokenCountError
from resight.pairs.params import PairsParams
from resight.pairs.plan import LEFT_OUT, OPEN, PLAN, PairGrid, ending_counts
from resight.store.counts import reconcile_left_out


def crops(*rows: tuple[str, str, str, str, str]) -> pa.Table:
    names = ["crop_id", "photo_id", "encounter_id", "viewpoint", "feature_status"]
    return pa.table({n: pa.array([r[i] for r in rows], pa.string()) for i, n in enumerate(names)})


def grid_of(queries: pa.Table, gallery: pa.Table, same_encounter: bool = True, **policy: object) -> PairGrid:
    return PairGrid.between(
        queries, gallery, policy=PairsParams(**policy), purpose="identify", forbid_same_encounter=same_encounter
    )


def endings(grid: PairGrid) -> list[tuple[str, str]]:
    """Of every pair, query by query."""
    names = [("planned", ""), *grid.endings]
    return [names[number] for number in grid.of_queries(np.arange(len(grid))).ravel().tolist()]


def outcome(viewpoint: str, q: str, g: str) -> tuple[str, str]:
    grid = grid_of(crops(("q", "p", "e", q, "ok")), crops(("g", "o", "f", g, "ok")), False, viewpoint=viewpoint)
    return endings(grid)[0]


@pytest.mark.parametrize(
    ("policy", "q", "g", "planned"),
    [
        ("same", "left", "left", True),
        ("same", "left", "top", False),
        ("same", "unknown", "unknown", True),
        ("same", "unknown", "left", False),
        ("compatible", "left", "right", False),
        ("compatible", "right", "left", False),
        ("compatible", "left", "front", True),
        ("compatible", "top", "right", True),
        ("compatible", "back", "left", False),
        ("compatible", "front", "back", False),
        ("compatible", "back", "back", True),
        ("compatible", "back", "unknown", True),
        ("compatible", "unknown", "right", True),
        ("any", "left", "right", True),
        ("any", "back", "front", True),
    ],
)
def test_viewpoint_policy(policy: str, q: str, g: str, planned: bool) -> None:
    assert outcome(policy, q, g) == (("planned", "") if planned else ("excluded_by_policy", "viewpoint"))


@pytest.mark.parametrize("unheard", ["below", None])
def test_a_view_that_nobody_knows_counts_as_unknown(unheard: str) -> None:
    assert outcome("compatible", unheard, "right") == ("planned", "")


def test_every_pair_has_one_ending_and_the_strongest_reason() -> None:
    queries = crops(("q0", "p0", "e0", "left", "ok"), ("q1", "p1", "e1", "left", "no_keypoints"))
    gallery = crops(
        ("q0", "p0", "e0", "left", "ok"),  # the same photo, hence the same encounter too
        ("g1", "o1", "e0", "right", "ok"),  # same encounter, and another side
        ("g2", "o2", "e2", "right", "failed"),  # another side, and nothing to compare
        ("g3", "o3", "e3", "left", "no_crop"),
        ("g4", "o4", "e4", "left", "ok"),
        ("g5", "o5", "e5", "top", "ok"),
    )
    grid = grid_of(queries, gallery)
    assert endings(grid) == [
        ("excluded_by_policy", "same_photo"),
        ("excluded_by_policy", "same_encounter"),
        ("excluded_by_policy", "viewpoint"),
        ("no_features", ""),
        ("planned", ""),
        ("planned", ""),
        ("no_features", ""),
        ("excluded_by_policy", "viewpoint"),
        ("excluded_by_policy", "viewpoint"),
        ("no_features", ""),
        ("no_features", ""),
        ("no_features", ""),
    ]
    plan = grid.plan()
    assert plan.pairs.schema.equals(PLAN) and plan.left_out.schema.equals(LEFT_OUT)
    assert [tuple(row.values()) for row in plan.pairs.to_pylist()] == [
        ("q0", "g4", "p0", "o4", "identify", "planned", ""),
        ("q0", "g5", "p0", "o5", "identify", "planned", ""),
    ]
    assert {tuple(row.values()) for row in plan.left_out.to_pylist()} == {
        ("q0", "p0", "identify", "excluded_by_policy", "same_photo", 1),
        ("q0", "p0", "identify", "excluded_by_policy", "same_encounter", 1),
        ("q0", "p0", "identify", "excluded_by_policy", "viewpoint", 1),
        ("q0", "p0", "identify", "no_features", "", 1),
        ("q1", "p1", "identify", "excluded_by_policy", "viewpoint", 2),
        ("q1", "p1", "identify", "no_features", "", 4),
    }
    assert ending_counts(plan.pairs, plan.left_out) == {"excluded_by_policy": 5, "no_features": 5, "planned": 2}
    assert [grid.open_sides()[k].tolist() for k in (0, 1)] == [[True, False], [False] * 4 + [True] * 2]


def test_what_is_not_worth_it_is_counted_and_nothing_gets_lost() -> None:
    queries = crops(*((f"q{i}", f"p{i}", f"e{i}", "left", "ok") for i in range(3)))
    gallery = crops(*((f"g{i}", f"o{i}", f"f{i}", ("left", "right")[i % 2], "ok") for i in range(6)))
    grid = grid_of(queries, gallery)
    plan = grid.plan(lambda q: (q[:, None] + np.arange(6)[None, :]) % 3 == 0)
    assert plan.pairs.select(["query_crop_id", "gallery_crop_id"]).to_pylist() == [
        {"query_crop_id": "q0", "gallery_crop_id": "g0"},
        {"query_crop_id": "q1", "gallery_crop_id": "g2"},
        {"query_crop_id": "q2", "gallery_crop_id": "g4"},
    ]
    assert ending_counts(plan.pairs, plan.left_out) == {"excluded_by_policy": 9, "not_shortlisted": 6, "planned": 3}
    reconcile_left_out("plan", grid.n_pairs(), plan.pairs, plan.left_out)
    with pytest.raises(BrokenCountError, match=r"18 pairs in, 17 out; \['q2 \(identify\): 6 in, 5 out'\]"):
        reconcile_left_out("plan", grid.n_pairs(), plan.pairs.slice(0, 2), plan.left_out)
    with pytest.raises(BrokenCountError, match=r"18 pairs in, 23 out"):
        reconcile_left_out(
            "plan", grid.n_pairs(), plan.pairs, pa.concat_tables([plan.left_out, plan.left_out.slice(0, 2)])
        )


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = crops(*((f"q{i}", f"p{i % 5}", f"e{i % 3}", ("left", "right", "top")[i % 3], "ok") for i in range(17)))
    grid = grid_of(queries, queries)
    whole = grid.plan()
    monkeypatch.setattr("resight.pairs.plan.CELLS_AT_ONCE", 40)
    assert len(list(grid.blocks())) == 9
    assert grid.plan() == whole


def test_a_list_of_pairs_is_a_grid_with_no_other_pair() -> None:
    queries = crops(*((f"q{i}", f"p{i}", f"e{i}", ("left", "right")[i % 2], "ok") for i in range(4)))
    plan = grid_of(queries, crops(("b", "o", "f", "left", "ok"), ("a", "o", "f", "right", "ok"))).plan()
    listed = PairGrid.listed(plan.pairs, "identify")
    assert listed.plan().pairs.sort_by("query_crop_id").equals(plan.pairs)
    assert listed.n_pairs()["n_pairs"].to_pylist() == [1] * 4 and listed.plan().left_out.num_rows == 0
    assert len(PairGrid.listed(plan.pairs.slice(0, 0), "identify").plan().pairs) == 0


def test_same_encounter_is_compared_where_it_may_be() -> None:
    two = crops(("a", "p", "e", "left", "ok")), crops(("b", "o", "e", "left", "ok"))
    assert endings(grid_of(*two, False)) == [("planned", "")]


def test_missing_encounters_are_not_the_same_encounter() -> None:
    two = crops(("a", "p", None, "left", "ok")), crops(("b", "o", None, "left", "ok"))
    assert endings(grid_of(*two)) == [("planned", "")]


def of_animals(letter: str, *extra: str | None) -> pa.Table:
    rows = crops(*((f"{letter}{i}", f"{letter}p{i}", f"{letter}e{i}", "left", "ok") for i in range(len(extra))))
    return rows.append_column("extra", pa.array(extra, pa.string()))


def test_photos_of_another_species_or_site_are_kept_apart() -> None:
    queries = of_animals("q", '{"species": "Caretta caretta", "site": "North"}', None)
    gallery = of_animals(
        "g", '{"species": "caretta caretta "}', '{"species": "Chelonia mydas"}', '{"site": "south", "note": "x"}', None
    )
    ended = endings(grid_of(queries, gallery, False, must_agree=("species", "site")))
    assert [reason for _, reason in ended[:4]] == ["", "other_species", "other_site", ""], (
        "an empty cell and other capitals agree"
    )
    assert [status for status, _ in ended[:4]] == ["planned", "excluded_by_policy", "excluded_by_policy", "planned"]
    assert ended[4:] == [("planned", "")] * 4
    assert set(endings(grid_of(queries, gallery, False))) == {("planned", "")}


def test_an_empty_side_gives_an_empty_plan() -> None:
    grid = grid_of(crops(), crops(("g", "o", "f", "left", "ok")))
    assert grid.plan().pairs.num_rows == 0 and grid.n_pairs().num_rows == 0
    assert grid_of(crops(("g", "o", "f", "left", "ok")), crops()).plan().left_out.num_rows == 0


def test_ten_million_pairs_take_seconds_and_little_memory() -> None:
    rng = np.random.default_rng(0)

    def many(letter: str, n: int) -> pa.Table:
        sides = rng.choice(["left", "right", "top", "unknown"], n)
        return crops(*((f"{letter}{i:019d}", f"p{letter}{i}", f"e{i % 300}", sides[i], "ok") for i in range(n)))

    grid = grid_of(many("q", 500), many("g", 20_000))
    start = time.process_time()
    tracemalloc.start()
    plan = grid.plan(lambda q: np.arange(20_000)[None, :] < np.full((len(q), 1), 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.pairs.num_rows < 50_000 and OPEN == 0
    assert sum(ending_counts(plan.pairs, plan.left_out).values()) == 10_000_000
    assert time.process_time() - start < 10 and peak < 300 << 20
