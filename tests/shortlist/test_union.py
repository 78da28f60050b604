"""Votes and vectors choose together, animal by animal."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from resight.embed.vectors import Vectors
from resight.environment import Environment
from resight.extract.kinds.sift import SiftParams
from resight.extract.stage import extract
from resight.pairs.cohort import IDENTIFY
from resight.pairs.plan import PLAN, PLANNED, PairGrid
from resight.segment.store import write_crop
from resight.shortlist.params import ShortlistParams
from resight.shortlist.setup import Voting, voting_names
from resight.shortlist.stage import DEAL_PLACES, DECIDE_VOTES, ShortlistResult, shortlist
from resight.shortlist.union import Alike, Evidence, nearest, united

N = 8
OWNERS = np.array([0, 0, 0, 0, 1, 1, 2, 3])
TIES = np.arange(N)


def seen(votes: list[float], rows: list[int], allowed: list[int] | None = None) -> Evidence:
    """Evidence whose most alike rows are these, with falling cosines."""
    return Evidence(
        np.array(votes, float), np.array(rows, np.int32), np.linspace(0.9, 0.5, len(rows), dtype=np.float32),
        np.array(allowed or [1] * N, bool),
    )  # fmt: skip


def alone(
    query: Evidence, k: int, per_animal: int, tie: np.ndarray = TIES, leaders: tuple[int, int] = (0, 1)
) -> list[int]:
    return united(
        [query], OWNERS, tie, k, ShortlistParams(per_animal=per_animal, leaders=leaders[0], per_leader=leaders[1])
    )[0].tolist()


def test_animals_are_joined_by_reciprocal_ranks_and_places_are_dealt_in_rounds() -> None:
    """By hand. By votes: animal 0 (rows 0, 1, 2), then 1 (row 4). By vectors: animal 2 (row 6), then 1 (row 4), then 0 (row 3).

    Animal 0: 1/61 + 1/63 = 0.03227; animal 1: 1/62 + 1/62 = 0.03226; animal 2: 1/61. Animal 3 has nothing at all.
    """
    query = seen([9, 8, 7, 0, 6, 0, 0, 0], [6, 4, 3])
    assert alone(query, 10, 1) == [0, 4, 6, 1, 5, 2, 3]
    assert alone(query, 10, 2) == [0, 1, 4, 5, 6, 2, 3]
    assert alone(query, 3, 1) == [0, 4, 6]


def test_leaders_get_more_photos_in_the_first_round() -> None:
    """Animals in their order: 0, 1, 2; animal 3 has nothing."""
    query = seen([9, 8, 7, 0, 6, 0, 0, 0], [6, 4, 3])
    assert alone(query, 10, 1, leaders=(1, 3)) == [0, 1, 2, 4, 6, 3, 5]
    assert alone(query, 10, 1, leaders=(2, 2)) == [0, 1, 4, 5, 6, 2, 3]
    assert alone(query, 10, 2, leaders=(2, 1)) == alone(query, 10, 2), "never fewer than all others"
    without = seen([9, 8, 7, 0, 6, 0, 0, 0], [6, 4, 3], [0, 0, 0, 0, 1, 1, 1, 1])
    assert alone(without, 10, 1, leaders=(1, 2)) == [4, 5, 6], "the first animal that the query may be compared with"


def test_an_animal_with_many_photos_does_not_fill_the_list() -> None:
    votes = [9.0, 8, 7, 6, 1, 0, 0, 0]
    assert set(OWNERS[np.argsort(votes)[::-1][:3]]) == {0}
    assert set(OWNERS[alone(seen(votes, [4, 7]), 3, 1)].tolist()) == {0, 1, 3}


def test_photos_of_an_encounter_speak_together_and_each_finds_the_animal_on_its_own_side() -> None:
    """A left and a right side: animal 1 shows its right side in row 4, which the right photo finds; the left one gets row 5."""
    left, right = (
        seen([5, 0, 0, 0, 0, 0, 0, 0], [0, 6], [1, 1, 1, 1, 0, 1, 1, 1]),
        seen([0] * N, [4], [0, 0, 0, 0, 1, 0, 0, 0]),
    )
    assert alone(left, 9, 9) == [0, 1, 2, 3, 6], "by itself it never hears of animal 1"
    of_left, of_right = united([left, right], OWNERS, TIES, 2, ShortlistParams(leaders=0))
    assert of_left.tolist() == [0, 5] and of_right.tolist() == [4]


def test_what_is_equal_is_ordered_by_the_tie_and_nothing_is_listed_without_evidence() -> None:
    query = seen([1, 1, 0, 0, 1, 0, 0, 0], [])
    assert alone(query, 3, 1) == [0, 4, 1]
    assert alone(query, 3, 1, TIES[::-1]) == [1, 4, 0]
    assert alone(seen([0] * N, []), 9, 1) == []


def test_the_nearest_are_those_that_may_be_found_and_have_a_cosine() -> None:
    cosines = np.array([0.1, 0.9, np.nan, 0.5, 0.7, 0.5], np.float32)
    allowed = np.array([1, 0, 1, 1, 1, 1], bool)
    assert nearest(cosines, allowed).tolist() == [4, 3, 5, 0]
    assert nearest(cosines, allowed, most=2).tolist() == [4, 3]


@pytest.fixture
def crops(env: Environment) -> pa.Table:
    """A query and six gallery crops of three animals; the query's own picture is the gallery crop g5 with noise."""
    rng = np.random.default_rng(3)
    pictures = [np.kron(rng.integers(0, 255, (9, 12, 3), np.uint8), np.ones((9, 9, 1), np.uint8)) for _ in range(6)]
    pictures.append(np.clip(pictures[5].astype(int) + rng.integers(-9, 9, pictures[5].shape), 0, 255).astype(np.uint8))
    rows = []
    for crop_id, rgb in zip((*(f"g{i}" for i in range(6)), "q"), pictures, strict=True):
        path = env.workspace.root / "store" / "segment" / f"{crop_id}.png"
        write_crop(path, rgb, np.ones(rgb.shape[:2], bool))
        path_text = env.workspace.relative(path)
        rows.append(
            {"crop_id": crop_id, "photo_id": f"p{crop_id}", "path": path_text, "viewpoint": "left", "status": "ok"}
        )
    return pa.Table.from_pylist(rows)


def listed(env: Environment, crops: pa.Table, params: ShortlistParams, alike: Alike | None) -> ShortlistResult:
    extractor = SiftParams(max_keypoints=64)
    features = extract(env, extractor, "features", crops).features
    rows = [
        {
            "query_crop_id": "q", "gallery_crop_id": f"g{i}", "query_photo_id": "pq", "gallery_photo_id": f"pg{i}",
            "purpose": IDENTIFY, "status": PLANNED, "reason": "",
        }
        for i in range(6)
    ]  # fmt: skip
    grid = PairGrid.listed(pa.Table.from_pylist(rows, schema=PLAN), IDENTIFY)
    voting = Voting(params, extractor, True, False, voting_names(params, "features"))
    return shortlist(env, voting, (grid,), crops, features, alike=alike)


def alike_to(first: str) -> Alike:
    """Vectors of the query and of one gallery crop, the only one that is known to be alike; each crop is another animal."""
    keys = [(first, False), ("q", False)]
    owners = {f"g{i}": f"animal {i}" for i in range(6)}
    return Alike(Vectors(keys, np.ones((2, 1), np.float32)), dict.fromkeys((*owners, "q"), "left"), owners, {})


def test_a_crop_that_nothing_votes_for_is_compared_where_its_vector_is_alike(env: Environment, crops: pa.Table) -> None:
    params = ShortlistParams(enabled="on", k=2, min_gallery=1, pq_bytes=0, per_animal=1)
    by_votes = listed(env, crops, params, None)
    kept = by_votes.plans[0].pairs["gallery_crop_id"].to_pylist()
    assert len(kept) == 2 and "g5" in kept
    other = next(c for c in ("g0", "g1", "g2", "g3") if c not in kept)
    both = listed(env, crops, params, alike_to(other))
    assert sorted(both.plans[0].pairs["gallery_crop_id"].to_pylist()) == sorted(["g5", other])
    rows = {r["gallery_crop_id"]: r for r in both.votes.to_pylist()}
    assert rows[other]["lnbnn_verified"] is not None and rows["g5"]["lnbnn"] > rows[other]["lnbnn"]
    assert rows[other]["rank"] == 1, "it is first in one order and somewhere in the other"
    assert both.n_voted == 1 and listed(env, crops, params, alike_to(other)).n_voted == 0, "kept on disk"
    assert listed(env, crops, params, None).n_voted == 0, "votes alone keep their own name"
    assert listed(env, crops, params, alike_to("g4")).n_voted == 1, "other vectors, other list"


@pytest.mark.parametrize("changed", [{"leaders": 1}, {"per_leader": 2}, {"per_animal": 2}])
def test_other_places_are_another_list_where_vectors_deal_them(
    env: Environment, crops: pa.Table, changed: dict[str, int]
) -> None:
    usual = ShortlistParams(enabled="on", k=2, min_gallery=1, pq_bytes=0)
    other = usual.model_copy(update=changed)
    assert [listed(env, crops, params, alike_to("g0")).n_voted for params in (usual, usual, other, other)] == [
        1,
        0,
        1,
        0,
    ]
    assert [listed(env, crops, params, None).n_voted for params in (usual, other)] == [1, 0], "votes deal no places"


def test_every_setting_of_a_list_stands_in_the_name_of_its_votes_or_decides_no_vote() -> None:
    whether = {
        "enabled",
        "min_gallery",
    }  # a list is made at all; which of its indexes is asked stands in the name of that
    params = ShortlistParams()
    of_index = {
        name
        for name, other in (("descriptors", "own"), ("descriptors_per_crop", 9), ("n_lists", 9), ("pq_bytes", 8))
        if params.model_copy(update={name: other}).index_name() != params.index_name()
    }
    assert len(of_index) == 4
    assert whether | of_index | DECIDE_VOTES | DEAL_PLACES == {*ShortlistParams.model_fields}


def test_where_nothing_is_left_out_vectors_change_nothing(env: Environment, crops: pa.Table) -> None:
    params = ShortlistParams(enabled="votes", k=2)
    one, two = (listed(env, crops, params, alike) for alike in (None, alike_to("g0")))
    assert one.plans[0].pairs.num_rows == two.plans[0].pairs.num_rows == 6
    assert one.votes.equals(two.votes)
