"""Which pairs are compared."""

import time

import numpy as np
import pyarrow as pa
import pytest

from resight.pairs.params import PairsParams
from resight.pairs.plan import plan_between


def crops(*rows: tuple[str, str, str, str, str]) -> pa.Table:
    names = ["crop_id", "photo_id", "encounter_id", "viewpoint", "feature_status"]
    return pa.table({n: pa.array([r[i] for r in rows], pa.string()) for i, n in enumerate(names)})


def outcome(viewpoint: str, q: str, g: str) -> tuple[str, str]:
    plan = plan_between(
        crops(("q", "p", "e", q, "ok")),
        crops(("g", "o", "f", g, "ok")),
        policy=PairsParams(viewpoint=viewpoint),
        purpose="identify",
        forbid_same_encounter=False,
    )
    return plan["status"][0].as_py(), plan["reason"][0].as_py()


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


def test_every_pair_has_one_row_and_the_strongest_reason() -> None:
    queries = crops(("q0", "p0", "e0", "left", "ok"), ("q1", "p1", "e1", "left", "no_keypoints"))
    gallery = crops(
        ("q0", "p0", "e0", "left", "ok"),  # the same photo, hence the same encounter too
        ("g1", "o1", "e0", "right", "ok"),  # same encounter, and another side
        ("g2", "o2", "e2", "right", "failed"),  # another side, and nothing to compare
        ("g3", "o3", "e3", "left", "no_crop"),
        ("g4", "o4", "e4", "left", "ok"),
    )
    plan = plan_between(queries, gallery, policy=PairsParams(), purpose="calibrate", forbid_same_encounter=True)
    assert plan["query_crop_id"].to_pylist() == ["q0"] * 5 + ["q1"] * 5
    assert plan["gallery_crop_id"].to_pylist() == ["q0", "g1", "g2", "g3", "g4"] * 2
    assert plan["query_photo_id"].to_pylist() == ["p0"] * 5 + ["p1"] * 5
    assert plan["gallery_photo_id"].to_pylist() == ["p0", "o1", "o2", "o3", "o4"] * 2
    assert set(plan["purpose"].to_pylist()) == {"calibrate"}
    assert list(zip(plan["status"].to_pylist(), plan["reason"].to_pylist(), strict=True)) == [
        ("excluded_by_policy", "same_photo"),
        ("excluded_by_policy", "same_encounter"),
        ("excluded_by_policy", "viewpoint"),
        ("no_features", ""),
        ("planned", ""),
        ("no_features", ""),
        ("excluded_by_policy", "viewpoint"),
        ("excluded_by_policy", "viewpoint"),
        ("no_features", ""),
        ("no_features", ""),
    ]


def test_same_encounter_is_compared_where_it_may_be() -> None:
    two = crops(("a", "p", "e", "left", "ok")), crops(("b", "o", "e", "left", "ok"))
    plan = plan_between(*two, policy=PairsParams(), purpose="identify", forbid_same_encounter=False)
    assert plan["status"].to_pylist() == ["planned"]


def test_missing_encounters_are_not_the_same_encounter() -> None:
    two = crops(("a", "p", None, "left", "ok")), crops(("b", "o", None, "left", "ok"))
    plan = plan_between(*two, policy=PairsParams(), purpose="identify", forbid_same_encounter=True)
    assert plan["status"].to_pylist() == ["planned"]


def of_animals(letter: str, *extra: str | None) -> pa.Table:
    rows = crops(*((f"{letter}{i}", f"{letter}p{i}", f"{letter}e{i}", "left", "ok") for i in range(len(extra))))
    return rows.append_column("extra", pa.array(extra, pa.string()))


def test_photos_of_another_species_or_site_are_kept_apart() -> None:
    queries = of_animals("q", '{"species": "Caretta caretta", "site": "North"}', None)
    gallery = of_animals(
        "g", '{"species": "caretta caretta "}', '{"species": "Chelonia mydas"}', '{"site": "south", "note": "x"}', None
    )
    policy = PairsParams(must_agree=("species", "site"))
    plan = plan_between(queries, gallery, policy=policy, purpose="identify", forbid_same_encounter=False)
    first, second = plan["reason"].to_pylist()[:4], plan["reason"].to_pylist()[4:]
    assert first == ["", "other_species", "other_site", ""], "an empty cell and other capitals agree"
    assert second == [""] * 4
    assert plan["status"].to_pylist()[:4] == ["planned", "excluded_by_policy", "excluded_by_policy", "planned"]
    free = plan_between(queries, gallery, policy=PairsParams(), purpose="identify", forbid_same_encounter=False)
    assert set(free["status"].to_pylist()) == {"planned"}


def test_an_empty_side_gives_an_empty_plan() -> None:
    plan = plan_between(
        crops(), crops(("g", "o", "f", "left", "ok")), policy=PairsParams(), purpose="x", forbid_same_encounter=True
    )
    assert plan.num_rows == 0
    assert plan.schema.field("reason").type == pa.string()


def test_a_million_pairs_take_seconds_not_minutes() -> None:
    rng = np.random.default_rng(0)

    def many(letter: str) -> pa.Table:
        sides = rng.choice(["left", "right", "top", "unknown"], 1000)
        return crops(*((f"{letter}{i:019d}", f"p{letter}{i}", f"e{i % 300}", sides[i], "ok") for i in range(1000)))

    queries, gallery = many("q"), many("g")
    start = time.process_time()
    plan = plan_between(queries, gallery, policy=PairsParams(), purpose="identify", forbid_same_encounter=True)
    assert plan.num_rows == 1_000_000
    assert time.process_time() - start < 5
