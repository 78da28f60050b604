"""A query that would be answered as before is not asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from drawn_crops import CODED, GALLERY, QUERIES, answered, listed, with_more

import resight.shortlist.kept as kept_module
from resight.environment import Environment
from resight.pairs.plan import Mask, PairGrid
from resight.segment.store import read_crop
from resight.shortlist import stage
from resight.shortlist.edges import FOLDER as EDGES
from resight.shortlist.edges import NUMBERED, NUMBERS, Numbers
from resight.shortlist.kept import EVIDENCE_VOTES, FOLDER, Keys, Question, keep, look_up, renew
from resight.shortlist.setup import voting_names
from resight.shortlist.stage import ShortlistResult
from resight.shortlist.store import INDEX_FILE, MERGE_RATIO, newest_index, open_index
from resight.store.counts import PAIR_KEY
from resight.store.fingerprint import digest_ids, fingerprint
from resight.store.parts import part_files, write_part
from resight.store.sealed import read_json, write_json

TWINS = tuple(f"t{i}" for i in range(10))


def asked(
    env: Environment, crops: pa.Table, may_find: dict[str, tuple[str, ...]], beside: tuple[str, str] | None = None
) -> ShortlistResult:
    """The shortlist of queries, each of which may find these crops; a query and a crop may be a pair beside it."""
    grid = listed(may_find)
    if beside:
        grid = replace(grid, beside=one_pair(grid, *beside))
    return answered(env, crops, grid)


def one_pair(grid: PairGrid, query: str, gallery: str) -> Mask:
    q, g = grid.query_ids.index(query).as_py(), grid.gallery_ids.index(gallery).as_py()
    return lambda queries, crops: (queries == q) & (crops == g)


def folder_of(env: Environment) -> Path:
    return env.workspace.stage_dir("shortlist", voting_names(CODED, "features").index)


def anew(env: Environment, crops: pa.Table, may_find: dict[str, tuple[str, ...]]) -> pa.Table:
    """The votes with the same codebook, but all crops encoded at once and all queries asked."""
    folder = folder_of(env)
    path = newest_index(folder, folder.name)
    assert path is not None
    write_json(path / INDEX_FILE, {**read_json(path / INDEX_FILE), "segments": []}, indent=None)
    rmtree(folder / FOLDER)
    result = asked(env, crops, may_find)
    assert result.n_voted == len(may_find) and len(list(path.glob("segment-*.parquet"))) == 1
    return result.votes


def test_a_night_asks_its_new_queries_alone(env: Environment, crops: pa.Table) -> None:
    first = asked(env, crops, dict.fromkeys(QUERIES[:2], GALLERY))
    assert first.n_voted == 2
    again = asked(env, crops, dict.fromkeys(QUERIES[:2], GALLERY))
    assert again.n_voted == 0 and again.votes.equals(first.votes)
    more = asked(env, crops, dict.fromkeys(QUERIES, GALLERY))
    assert more.n_voted == 2 and more.votes.num_rows == 12
    assert more.votes.slice(0, first.votes.num_rows).equals(first.votes)
    assert more.votes.equals(anew(env, crops, dict.fromkeys(QUERIES, GALLERY)))
    fewer = asked(env, crops, {QUERIES[3]: GALLERY})
    assert fewer.n_voted == 0 and set(fewer.votes["query_crop_id"].to_pylist()) == {QUERIES[3]}


def test_a_new_crop_of_the_gallery_asks_those_again_that_may_find_it(env: Environment, crops: pa.Table) -> None:
    """The index is extended by two crops without touching the others, and the votes are bitwise those of one encoded anew."""
    asked(env, crops, dict.fromkeys(QUERIES, GALLERY[:10]))
    (path,) = (file.parent for file in folder_of(env).glob("*/index.json"))
    before = {file.name: file.read_bytes() for file in path.glob("segment-*")}
    assert 2 * MERGE_RATIO < 10, "two crops are not merged with ten"
    may_find = {q: GALLERY if q in QUERIES[:3] else GALLERY[:10] for q in QUERIES}
    extended = asked(env, crops, may_find)
    assert extended.n_voted == 3, "the fourth may find what it could find before"
    assert {name: (path / name).read_bytes() for name in before} == before
    taken_out = asked(env, crops, dict.fromkeys(QUERIES, GALLERY[:10]))
    assert taken_out.n_voted == 0, "what was answered before two crops came counts again when they are gone"
    assert extended.votes.equals(anew(env, crops, may_find))


def test_an_animal_that_somebody_refused_takes_no_place(env: Environment, crops: pa.Table) -> None:
    """The next best gets it, the others vote as if the refused one was not there, and its pair is compared all the same."""
    query = QUERIES[0]
    before = asked(env, crops, dict.fromkeys(QUERIES, GALLERY))
    best, *_ = before.votes.filter(pc.equal(before.votes["query_crop_id"], query))["gallery_crop_id"].to_pylist()
    now = asked(env, crops, dict.fromkeys(QUERIES, GALLERY), (query, best))
    assert now.n_voted == 1, "nobody else is asked again"
    others = tuple(g for g in GALLERY if g != best)
    reference = asked(env, crops, dict.fromkeys(QUERIES, GALLERY) | {query: others})
    assert now.votes.equals(reference.votes)
    pairs, left_out = now.plans[0].pairs, now.plans[0].left_out
    compared = pairs.filter(pc.equal(pairs["query_crop_id"], query))["gallery_crop_id"].to_pylist()
    voted = reference.votes.filter(pc.equal(reference.votes["query_crop_id"], query))["gallery_crop_id"].to_pylist()
    assert sorted(compared) == sorted([best, *voted]) and len(voted) == CODED.k
    n_pairs = pairs.num_rows + pc.sum(left_out["n_left_out"]).as_py()
    assert n_pairs == len(QUERIES) * len(GALLERY)


def corner(seed: int) -> np.ndarray:
    """A picture that shows something in one corner only, so that few descriptors come with it."""
    rgb = np.full((81, 108, 3), 90, np.uint8)
    rgb[:36, :36] = np.kron(
        np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8), np.ones((9, 9, 1), np.uint8)
    )
    return rgb


def with_twins(env: Environment, crops: pa.Table) -> pa.Table:
    """The crops, and ten that show nearly the same as the last query, so that all its neighbours are near."""
    known, rng = {row["crop_id"]: row["path"] for row in crops.to_pylist()}, np.random.default_rng(7)
    rgb = read_crop(env.workspace, known[QUERIES[3]])[0].astype(int)
    return with_more(
        env, crops, {t: np.clip(rgb + rng.integers(-1, 2, rgb.shape), 0, 255).astype(np.uint8) for t in TWINS}
    )


@pytest.mark.parametrize("like", [None, 3])
def test_a_new_crop_asks_those_again_alone_to_which_it_is_near(
    env: Environment, crops: pa.Table, like: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = with_twins(env, crops)
    asked(env, crops, dict.fromkeys(QUERIES, (*GALLERY, *TWINS)))
    known = {row["crop_id"]: row["path"] for row in crops.to_pylist()}
    rgb = corner(5) if like is None else read_crop(env.workspace, known[QUERIES[like]])[0]
    more, may_find = with_more(env, crops, {"new": rgb}), dict.fromkeys(QUERIES, (*GALLERY, *TWINS, "new"))
    now = spied(monkeypatch)
    extended = asked(env, more, may_find)
    assert len(now) == extended.n_voted and (QUERIES[3] in now) == (like == 3)
    again = asked(env, more, may_find)
    assert again.n_voted == 0 and again.votes.equals(extended.votes)
    assert extended.votes.equals(anew(env, more, may_find))


@pytest.mark.parametrize(("gone", "asked_again"), [("far", []), ("like 3", [QUERIES[3]])])
def test_a_crop_that_leaves_asks_those_again_alone_that_had_it_as_a_neighbour(
    env: Environment, crops: pa.Table, gone: str, asked_again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The votes are bitwise those of an index that never had it, and of all queries asked."""
    crops = with_twins(env, crops)
    known = {row["crop_id"]: row["path"] for row in crops.to_pylist()}
    third = read_crop(env.workspace, known[QUERIES[3]])[0]
    crops = with_more(env, crops, {"far": corner(5), "like 3": third})
    full = (*GALLERY, *TWINS, "far", "like 3")
    asked(env, crops, dict.fromkeys(QUERIES[3:], full))
    now = spied(monkeypatch)
    may_find = dict.fromkeys(QUERIES[3:], tuple(g for g in full if g != gone))
    fewer = asked(env, crops, may_find)
    assert now == asked_again and fewer.n_voted == len(asked_again)
    assert gone not in fewer.votes["gallery_crop_id"].to_pylist()
    again = asked(env, crops, may_find)
    assert again.n_voted == 0 and again.votes.equals(fewer.votes)
    assert fewer.votes.equals(anew(env, crops, may_find))


def test_crops_that_come_and_go_at_once_on_several_nights(
    env: Environment, crops: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each night is compared with the last one on which the query was answered or found to be unmoved."""
    crops = with_more(env, with_twins(env, crops), {f"far {n}": corner(n) for n in range(5, 8)})
    core, query = (*GALLERY, *TWINS), QUERIES[3]
    asked(env, crops, {query: (*core, "far 5")})
    now = spied(monkeypatch)
    for extra in (("far 6",), ("far 7",), (), ("far 5", "far 6", "far 7")):
        night = asked(env, crops, {query: (*core, *extra)})
        assert night.n_voted == 0 and now == []
    assert night.votes.equals(anew(env, crops, {query: (*core, *extra)}))
    now.clear()
    assert asked(env, crops, {query: core[: len(core) // 2]}).n_voted == 1, "most of the gallery has gone"


def spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Queries that vote from now on."""
    now: list[str] = []
    vote = stage.vote_block
    monkeypatch.setattr(stage, "vote_block", lambda block: now.extend(c for c, _ in block.queries) or vote(block))
    return now


@pytest.mark.parametrize("lost", [False, True])
def test_with_numbers_that_were_lost_nothing_is_taken_for_what_it_was_not(
    env: Environment, crops: pa.Table, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set that is read with other numbers has not the name of the answer."""
    crops = with_more(env, with_twins(env, crops), {"far": corner(5)})
    core, (one, other) = (*GALLERY, *TWINS), (QUERIES[0], QUERIES[3])
    asked(env, crops, {one: (*core, "far"), other: (*core[1:], "far")})
    if lost:
        numbers, ids = folder_of(env) / NUMBERS, sorted((*core, "far"))
        rmtree(numbers)
        write_part(numbers, "others", pa.table([ids, list(reversed(range(len(ids))))], schema=NUMBERED))
    now, may_find = spied(monkeypatch), {one: core, other: core[1:]}
    fewer = asked(env, crops, may_find)
    assert (other in now) == lost
    assert fewer.votes.equals(anew(env, crops, may_find))


def test_sets_of_crops_hold_whatever_the_order_and_with_more_crops(tmp_path: Path) -> None:
    packed = Numbers.given(tmp_path, ["a", "b", "c"]).packed(np.array([True, False, True]))
    other = Numbers.given(tmp_path, ["d", "c", "b", "a"])
    rows = other.rows(packed)
    assert rows is not None and rows.tolist() == [False, True, False, True]
    assert other.rows(other.packed(np.array([True, False, False, False]))).tolist() == [True, False, False, False]  # type: ignore[union-attr]
    assert Numbers.given(tmp_path, ["a", "b"]).rows(packed) is None, "one of the set is no longer there"


def test_without_edges_all_are_asked_again(env: Environment, crops: pa.Table) -> None:
    crops = with_twins(env, crops)
    asked(env, crops, dict.fromkeys(QUERIES, (*GALLERY, *TWINS)))
    rmtree(folder_of(env) / EDGES)  # as an earlier version left it
    extended = asked(env, with_more(env, crops, {"new": corner(5)}), dict.fromkeys(QUERIES, (*GALLERY, *TWINS, "new")))
    assert extended.n_voted == len(QUERIES)


def question(crop_id: str, allowed: list[bool], encounter: str = "") -> Question:
    return Question(crop_id, np.array(allowed), None, encounter or crop_id)


def test_votes_of_before_distances_were_rounded_are_not_taken_for_those_of_now(
    env: Environment, crops: pa.Table
) -> None:
    may_find = dict.fromkeys(QUERIES, GALLERY)
    votes = asked(env, crops, may_find).votes
    folder = folder_of(env)
    path = newest_index(folder, folder.name)
    assert path is not None
    pairs = listed(may_find).rows
    assert pairs is not None
    how = CODED.model_dump(include=stage.DECIDE_VOTES)
    ids = (
        digest_ids(open_index(path).crop_ids),
        digest_ids(" ".join(row.values()) for row in pairs.select(PAIR_KEY).to_pylist()),
    )
    kept = fingerprint("lnbnn_verified", path.name, *ids, how)  # their name until 2026-11-28
    rmtree(folder / FOLDER)
    write_part(folder / "votes", kept, votes.set_column(2, "lnbnn", pc.multiply(votes["lnbnn"], 2.0)))
    again = asked(env, crops, may_find)
    assert again.n_voted == len(QUERIES) and again.votes.equals(votes)


def test_an_answer_is_named_by_what_may_be_found_whatever_the_order() -> None:
    one, other = Keys(("a", "b", "c"), "how", None), Keys(("c", "gone", "b", "a"), "how", None)
    key = one.of([question("q", [True, True, False])])["q"]
    assert other.of([question("q", [False, False, True, True])])["q"] == key
    others = [
        one.of([question("q", [True, False, True])]),
        one.of([question("q", [True, True, True])]),
        Keys(("a", "b", "c"), "other", None).of([question("q", [True, True, False])]),
        one.of([question("q", [True, True, False], "e"), question("r", [True, True, False], "e")]),
    ]
    assert key not in {of["q"] for of in others}


def test_nobody_is_asked_twice_who_got_no_vote_and_what_nobody_uses_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"query_crop_id": "q", "gallery_crop_id": "g", "lnbnn": 1.0, "rank": 1, "lnbnn_verified": None}
    votes = pa.Table.from_pylist([row], schema=EVIDENCE_VOTES)
    folder = tmp_path / "asked"
    keep(folder, votes, {"q": "k1", "silent": "k2"}, ["k1", "k2"])
    found, rows, _ = look_up(folder, ["k1", "k2", "k3"])
    assert found == {"k1", "k2"} and rows.equals(votes)
    keep(folder, votes.slice(0, 0), {"late": "k3"}, ["k1", "k2", "k3"])
    monkeypatch.setattr(kept_module, "datetime", at(datetime.now(UTC) + timedelta(days=31)))
    keep(folder, votes, {"q": "k4"}, ["k2", "k4"])
    assert look_up(folder, ["k1", "k2", "k3", "k4"])[0] == {"k2", "k4"}
    (part,) = part_files(folder)
    part.write_bytes(part.read_bytes()[:-200])
    assert look_up(folder, ["k2", "k4"])[0] == frozenset(), (
        "a damaged part is set aside, and its queries are asked again"
    )


def at(moment: datetime) -> type:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return moment

    return Later


def test_what_is_used_every_night_is_not_forgotten_beside_flows_that_do_not_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"query_crop_id": "q", "gallery_crop_id": "g", "lnbnn": 1.0, "rank": 1, "lnbnn_verified": None}
    votes = pa.Table.from_pylist([row], schema=EVIDENCE_VOTES)
    folder, keys, begin = tmp_path / "asked", {"q": "k1", "silent": "k2"}, datetime.now(UTC)
    keep(folder, votes, keys, keys.values())
    for day in range(1, 41):
        monkeypatch.setattr(kept_module, "datetime", at(begin + timedelta(days=day)))
        found, rows, asked_on = look_up(folder, keys.values())
        assert found == {"k1", "k2"} and rows.equals(votes)
        before = len(part_files(folder))
        renew(folder, rows, keys, asked_on)
        assert len(part_files(folder)) <= before + 1
    keep(folder, votes, {"q": "k9"}, ["k9"])  # of a measurement, say
    assert look_up(folder, keys.values())[0] == {"k1", "k2"}
