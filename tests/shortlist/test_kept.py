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
from drawn_crops import CODED, GALLERY, QUERIES, answered, listed

import resight.shortlist.kept as kept_module
from resight.environment import Environment
from resight.pairs.plan import Mask, PairGrid
from resight.shortlist import neighbours, stage
from resight.shortlist.kept import ANSWERS, FOLDER, Keys, Question, keep, look_up, renew
from resight.shortlist.setup import voting_names
from resight.shortlist.stage import ShortlistResult
from resight.shortlist.store import INDEX_FILE, MERGE_RATIO, newest_index, open_index
from resight.store.counts import PAIR_KEY
from resight.store.fingerprint import digest_ids, fingerprint
from resight.store.parts import part_files, write_part
from resight.store.sealed import read_json, write_json

ROW = dict(zip(ANSWERS.names, ("q", "g", 1.0, 1, None, None), strict=True))


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
    rmtree(folder / neighbours.FOLDER)
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
    votes = pa.Table.from_pylist([ROW], schema=ANSWERS)
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
    votes = pa.Table.from_pylist([ROW], schema=ANSWERS)
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
