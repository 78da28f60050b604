"""What is kept of the neighbours of a query: a night pays for what has changed, and nothing that is damaged or lost is taken for whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copy, rmtree
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from drawn_crops import CODED, EXACT, QUERIES, answered, listed, with_more

from resight.environment import Environment
from resight.segment.store import read_crop
from resight.shortlist import neighbours, standing, store
from resight.shortlist.codebook import Codebook
from resight.shortlist.follow import Neighbours
from resight.shortlist.kept import ANSWERS, keep
from resight.shortlist.kept import FOLDER as ASKED
from resight.shortlist.neighbours import FOLDER, KEPT, LONGEST, OF_BEFORE, Memory
from resight.shortlist.numbered import NUMBERED, NUMBERS, Numbers
from resight.shortlist.params import ShortlistParams
from resight.shortlist.setup import voting_names
from resight.shortlist.stage import ShortlistResult
from resight.shortlist.store import CODEBOOK_FILE
from resight.shortlist.training import train
from resight.store.damage import QUARANTINE
from resight.store.parts import part_files, read_parts, write_part

MANY = tuple(f"m{i}" for i in range(40))
Asked = Callable[..., ShortlistResult]


@pytest.fixture
def many(env: Environment, crops: pa.Table) -> pa.Table:
    """Forty more, of which every fourth shows nearly what a query shows."""
    rng = np.random.default_rng(7)
    known = {row["crop_id"]: row["path"] for row in crops.to_pylist()}
    shown = [read_crop(env.workspace, known[q])[0].astype(int) for q in QUERIES]
    pictures = {}
    for i, name in enumerate(MANY):
        other = np.kron(rng.integers(0, 255, (9, 12, 3)), np.ones((9, 9, 1), int))
        rgb = other if i % 4 else shown[i // 4 % 4]
        pictures[name] = np.clip(rgb + rng.integers(-3, 4, rgb.shape), 0, 255).astype(np.uint8)
    return with_more(env, crops, pictures)


def folder_of(env: Environment, params: ShortlistParams = CODED) -> Path:
    names = voting_names(params, "features")
    return env.workspace.stage_dir("shortlist", names.exact_index if params is EXACT else names.index)


def night(
    env: Environment, crops: pa.Table, gallery: tuple[str, ...], params: ShortlistParams = CODED
) -> ShortlistResult:
    return answered(env, crops, listed(dict.fromkeys(QUERIES, gallery)), params=params)


def anew(
    env: Environment, crops: pa.Table, gallery: tuple[str, ...], params: ShortlistParams = CODED
) -> ShortlistResult:
    """The same index, and nothing that anybody remembers."""
    for name in (ASKED, FOLDER, NUMBERS):
        rmtree(folder_of(env, params) / name)
    result = night(env, crops, gallery, params)
    assert result.n_voted == len(QUERIES) and result.n_looked_up > 100
    return result


def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each pair that is verified from now on."""
    verified: list[int] = []
    verify = standing.verified_votes
    monkeypatch.setattr(standing, "verified_votes", lambda *pair: verified.append(1) or verify(*pair))
    return verified


@pytest.mark.parametrize("params", [CODED.model_copy(update={"k": 30}), EXACT], ids=["coded", "exact"])
def test_a_crop_that_comes_is_looked_through_and_one_that_goes_made_up_for(
    env: Environment, many: pa.Table, params: ShortlistParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = spied(monkeypatch)
    first = night(env, many, MANY[:-1], params)
    n_descriptors, n_pairs = first.n_looked_up, len(verified)
    assert n_pairs == pc.sum(pc.is_valid(first.votes["lnbnn_verified"])).as_py()
    come = night(env, many, MANY, params)
    assert come.n_voted == len(QUERIES) and come.n_looked_up == 0
    assert len(verified) < 1.5 * n_pairs, "hardly any pair is verified again"
    left = (*MANY[:1], *MANY[2:])
    gone = night(env, many, left, params)
    assert 0 < gone.n_looked_up < n_descriptors / 4, "descriptors of which the crop was a neighbour"
    assert len(verified) < 2 * n_pairs
    assert gone.votes.equals(anew(env, many, left, params).votes)
    verified.clear()
    assert night(env, many, left, params).n_voted == 0 and not verified


def test_what_has_changed_is_written_and_a_long_chain_begins_again(
    env: Environment, many: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LONGEST", 3)
    monkeypatch.setattr(neighbours, "compact", lambda *_: None)
    sizes, seen = [], set[Path]()
    for n in range(30, 37):
        last = night(env, many, MANY[:n])
        (part,) = set(part_files(folder_of(env) / FOLDER)) - seen
        seen.add(part)
        rows = read_parts(folder_of(env) / FOLDER, KEPT).to_pylist()
        rows = [row for row in rows if row["asked_at"] == max(r["asked_at"] for r in rows if r["query_crop_id"] == row["query_crop_id"])]  # fmt: skip
        sizes.append(sum(len(row["distance"]) for row in rows))
        assert last.n_looked_up == 0 or n == 30
    assert [size == sizes[0] for size in sizes] == [True, False, False, True, False, False, True]
    assert max(sizes[1], sizes[2], sizes[4]) < sizes[0] / 2
    assert last.votes.equals(anew(env, many, MANY[:36]).votes)


def lost_part(env: Environment) -> None:
    part_files(folder_of(env) / FOLDER)[0].unlink()


def damaged_part(env: Environment) -> None:
    part = part_files(folder_of(env) / FOLDER)[0]
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 1
    part.write_bytes(content)


def other_numbers(env: Environment) -> None:
    numbers = folder_of(env) / NUMBERS
    known = read_parts(numbers, NUMBERED)
    rmtree(numbers)
    write_part(numbers, "others", known.set_column(1, "number", known["number"].take(pa.array(range(known.num_rows))[::-1])))  # fmt: skip


def lost_numbers(env: Environment) -> None:
    rmtree(folder_of(env) / NUMBERS)
    Numbers.given(folder_of(env), MANY[::-1])


def no_table(env: Environment) -> None:
    rmtree(folder_of(env) / FOLDER)  # as an earlier version left it
    (folder_of(env) / OF_BEFORE).mkdir()


@pytest.mark.parametrize("harm", [lost_part, damaged_part, other_numbers, lost_numbers, no_table])
def test_what_is_not_whole_counts_for_nothing(
    env: Environment, many: pa.Table, harm: Callable[[Environment], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "compact", lambda *_: None)  # each night's part stays
    n_descriptors = night(env, many, MANY[:37]).n_looked_up
    assert night(env, many, MANY[:38]).n_looked_up == 0
    assert len(part_files(folder_of(env) / FOLDER)) == 2
    harm(env)
    after = night(env, many, MANY[:39])
    quarantined = list((env.workspace.store / QUARANTINE).rglob("*.parquet"))
    assert bool(quarantined) == (harm is damaged_part)
    assert after.n_looked_up == n_descriptors or harm in (lost_part, damaged_part), (
        "where the last is gone, the first is whole"
    )
    assert not (folder_of(env) / OF_BEFORE).exists()
    assert night(env, many, MANY).n_looked_up == 0, "the next one follows again"
    assert after.votes.equals(anew(env, many, MANY[:39]).votes)


def test_a_number_that_stands_for_two_crops_makes_no_crop_stand_for_another(
    env: Environment, many: pa.Table, tmp_path: Path
) -> None:
    """Folders of two machines that numbered their crops were put together."""
    night(env, many, MANY[:30])
    Numbers.given(tmp_path, MANY[:8:-1])
    for part in part_files(tmp_path / NUMBERS):
        copy(part, folder_of(env) / NUMBERS)
    after = night(env, many, MANY[1:31])
    assert night(env, many, MANY[1:32]).n_looked_up == 0, "the next one follows again"
    assert after.votes.equals(anew(env, many, MANY[1:31]).votes)


def test_a_codebook_of_the_same_name_with_other_numbers_is_another_one(
    env: Environment, many: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_descriptors = night(env, many, MANY[:38]).n_looked_up
    digests = {CODEBOOK_FILE: "of another machine"}
    monkeypatch.setattr("resight.shortlist.store.codebook_digest", lambda _: digests[CODEBOOK_FILE])
    assert night(env, many, MANY[:39]).n_looked_up == n_descriptors


def test_answers_of_an_index_that_is_trained_again_are_not_taken_for_those_of_the_new_one(
    env: Environment, many: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same crops, so the same name; another machine's sums end in other digits, and so do its centres."""

    def elsewhere(*how: Any) -> Codebook | None:
        codebook = train(*how)
        return codebook and replace(codebook, centres=codebook.centres * 1.01)

    night(env, many, MANY[:30])
    (segment,) = folder_of(env).glob("*/segment-*.safetensors")
    segment.write_bytes(segment.read_bytes()[:-1])
    monkeypatch.setattr(store, "_seen", set())
    monkeypatch.setattr(store, "train", elsewhere)
    now = night(env, many, MANY[:30])
    assert (segment.parent / store.INDEX_FILE).exists() and now.n_voted == len(QUERIES)
    assert now.votes.equals(anew(env, many, MANY[:30]).votes)


def test_answers_of_before_are_verified_anew(env: Environment, many: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who voted was not kept then."""
    night(env, many, MANY[:38])
    asked = folder_of(env) / ASKED
    for part in part_files(asked):
        table = pa.parquet.read_table(part).drop_columns(["voters"])
        write_part(asked, part.stem, table)
    verified = spied(monkeypatch)
    more = night(env, many, MANY[:39])
    assert len(verified) == len(QUERIES) * CODED.k and more.n_looked_up == 0
    assert more.votes.equals(anew(env, many, MANY[:39]).votes)


def test_nights_and_an_evaluation_take_turns(env: Environment, many: pa.Table) -> None:
    """Each goes on from what it had found, not from what the other one has."""
    night(env, many, MANY[:39])
    night(env, many, MANY[:12])
    assert night(env, many, MANY).n_looked_up == 0
    assert night(env, many, MANY[:13]).n_looked_up == 0


def test_what_is_of_no_use_goes(env: Environment, many: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(1, 12):  # less than half of it is there each time
        night(env, many, MANY[: 2**n] if 2**n < 40 else MANY[n:])
    rows = read_parts(folder_of(env) / FOLDER, KEPT)
    per_query = pc.value_counts(rows["query_crop_id"].combine_chunks()).field("counts").to_pylist()
    assert len(per_query) == len(QUERIES) and max(per_query) <= LONGEST
    rmtree(folder_of(env) / ASKED)
    night(env, many, MANY[3:9])
    left = read_parts(folder_of(env) / FOLDER, KEPT)
    assert sorted(left["query_crop_id"].to_pylist()) == sorted(QUERIES), (
        "answers that are kept no longer have no neighbours"
    )


def test_a_large_part_is_not_kept_for_a_few_states_of_it(
    env: Environment, many: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One query finds the same every night; parts that have become too large to be put together hold what others found long ago."""
    monkeypatch.setattr("resight.store.parts.BYTES_OF_A_LARGE_PART", 1)
    monkeypatch.setattr(neighbours, "LONGEST", 2)
    for n in range(20, 36):
        may_find = dict.fromkeys(QUERIES, MANY[:n]) | {QUERIES[0]: MANY[:20]}
        last = answered(env, many, listed(may_find))
    rows = read_parts(folder_of(env) / FOLDER, KEPT)
    first = rows.filter(pc.equal(rows["query_crop_id"], QUERIES[0]))
    assert first.num_rows == 1
    for part in part_files(folder_of(env) / FOLDER):
        queries = pq.read_table(part)["query_crop_id"].to_pylist()
        assert QUERIES[0] not in queries or len(queries) == 1
    rmtree(folder_of(env) / ASKED)
    again = answered(env, many, listed(may_find))
    assert again.n_looked_up == 0 and again.votes.equals(last.votes)


def test_the_digest_of_a_set_of_crops_does_not_depend_on_their_numbers(tmp_path: Path) -> None:
    one, other = Numbers.given(tmp_path / "a", MANY), Numbers.given(tmp_path / "b", MANY[::-1])
    again = Numbers.given(tmp_path / "a", ("later", *MANY[5:]))
    digests = set()
    for n in (0, 3, 20, 37, 40):
        rows = np.arange(40) < n
        digest = one.digest_of(one.set_of(rows))
        assert digest == other.digest_of(other.set_of(rows[::-1]))
        packed = one.unpacked(np.packbits(one.set_of(rows)).tobytes())
        later = again.unpacked(np.packbits(one.set_of(rows)).tobytes())
        assert packed is not None and later is not None and digest == one.digest_of(packed) == again.digest_of(later)
        digests.add(digest)
    assert len(digests) == 5
    assert one.unpacked(np.packbits(again.set_of(np.ones(36, bool))).tobytes()) is None, (
        "a number that nobody has there"
    )


def test_what_is_kept_of_a_crop_that_comes_does_not_grow_with_the_gallery(tmp_path: Path) -> None:
    """Which of 20,000 crops a query may find takes 2,500 bytes once, and a few for each that comes or goes."""
    ids = [f"{i * 7919 % 10**9:09d}" for i in range(20_000)]
    may_find = np.random.default_rng(0).random(len(ids)) < 0.5
    found = Neighbours(np.zeros((9, 2), np.float32), np.flatnonzero(may_find)[:18].reshape(9, 2), 0)
    for night, n in enumerate((19_990, 19_995, 20_000)):
        memory = Memory(tmp_path, "how", ids[:n], ["q"], 2)
        before = memory.before("q", may_find[:n])
        assert night == 0 or (before is not None and before[1].come.tolist() == (n - 5 + np.flatnonzero(may_find[n - 5 : n])).tolist())  # fmt: skip
        found.distance[night] += 1
        keep(tmp_path / ASKED, ANSWERS.empty_table(), {"q": f"key {night}"}, [])
        memory.keep([("q", found, may_find[:n])], {"q": f"key {night}"}, tmp_path / ASKED)
    lengths = sorted(len(value) for value in read_parts(tmp_path / FOLDER, KEPT)["may_find"].to_pylist())
    assert lengths[1] < 100 < 2_400 < lengths[2]
