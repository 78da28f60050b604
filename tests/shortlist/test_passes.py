"""The index from feature stores: the same as from memory, every shard read once, and what left the gallery goes in the end."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from resight.errors import ResightError
from resight.extract import reader as reader_module
from resight.extract.base import Features
from resight.extract.store import Layout, complete, create, write_shard
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.shortlist import passes
from resight.shortlist.block import VoteBlock, vote_block
from resight.shortlist.codebook import kmeans
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import InMemory, Stored
from resight.shortlist.stage import _place_arrays
from resight.shortlist.store import INDEX_FILE, ShortlistIndex, build_index, open_index
from resight.store.fingerprint import digest_ids
from resight.store.sealed import read_json
from resight.store.workspace import Workspace

PARAMS = ShortlistParams(pq_bytes=4, n_lists=8, n_probe=2)
DIM, KEYPOINTS, SHARD = 16, 12, 64
SIZES = (150, 40)


def drawn(n: int, rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(size=(n, DIM)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {digest_ids([str(i)]): drawn(KEYPOINTS - i % 3, rng) for i in range(sum(SIZES))}


@pytest.fixture
def features(tmp_path: Path, data: dict[str, np.ndarray]) -> pa.Table:
    """The crops in two stores, in the order in which they were drawn, which is not that of their ids."""
    place, ids, rows = Workspace(tmp_path), list(data), []
    for number, n in enumerate(SIZES):
        part, ids = ids[:n], ids[n:]
        folder = place.stage_dir("extract", "drawn") / f"{number}.zarr"
        folder.parent.mkdir(parents=True, exist_ok=True)
        layout = Layout(n, SHARD, KEYPOINTS, DIM, "float32")
        create(folder, layout, part, {})
        for start, stop in layout.shards():
            write_shard(folder, start, [_features(data[c]) for c in part[start:stop]])
        complete(folder, {})
        rows += [(c, place.relative(folder), row, len(data[c])) for row, c in enumerate(part)]
    rows.append(("blank", None, None, 0))
    names = ("crop_id", "store", "store_row", "n_keypoints")
    return pa.table({name: [row[k] for row in rows] for k, name in enumerate(names)})


def _features(x: np.ndarray) -> Features:
    zeros = np.zeros(len(x), np.float32)
    return Features(np.zeros((len(x), 2), np.float32), x, zeros, zeros, zeros, (30, 20))


def build(folder: Path, gallery: list[str], features: pa.Table, root: Path, workers: int = 0) -> ShortlistIndex:
    dask = DaskParams(workers=workers) if workers else DaskParams(mode="inline")
    with Runner(dask, quiet=True) as runner:
        return build_index(folder, gallery, Stored.of(runner, Workspace(root), features), PARAMS, "d")


def contents(index: ShortlistIndex) -> list[object]:
    assert index.entries is not None
    book = index.entries.codebook
    lists = []
    for number in range(len(book.centres)):
        stored, rows = index.entries.of_list(number)
        lists.append(
            sorted((index.crop_ids[row], code) for row, code in zip(rows.tolist(), stored.tolist(), strict=True))
        )
    return [book.centres.tolist(), book.codes.tolist(), lists]


def test_from_stores_as_from_memory(tmp_path: Path, data: dict[str, np.ndarray], features: pa.Table) -> None:
    memory = build_index(tmp_path / "memory", list(data), InMemory(data.__getitem__), PARAMS, "d")
    stores = build(tmp_path / "stores", list(data), features, tmp_path)
    assert stores.name == memory.name and contents(stores) == contents(memory)


def test_any_number_of_workers_gives_the_same(
    tmp_path: Path, data: dict[str, np.ndarray], features: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = build(tmp_path / "alone", list(data), features, tmp_path)
    monkeypatch.setattr(passes, "WORTH_WORKERS", 0)
    for name in ("SPREAD_FROM", "CHUNKS_PER_BLOCK"):
        monkeypatch.setattr(f"resight.shortlist.training.{name}", 1)
    monkeypatch.setattr("resight.shortlist.training.CHUNK_FLOATS", 8 * 100)
    several = build(tmp_path / "several", list(data), features, tmp_path, workers=2)
    assert several.name == alone.name
    assert np.allclose(contents(several)[0], contents(alone)[0], atol=1e-6)
    assert not list((tmp_path / "several").glob(".training*"))


def test_a_round_on_the_workers_takes_the_chunks_of_one_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    from resight.shortlist import training

    x = torch.from_numpy(drawn(5000, np.random.default_rng(1)))
    monkeypatch.setattr(training, "CHUNKS_PER_BLOCK", 1)
    monkeypatch.setattr(training, "CHUNK_FLOATS", 64 * 1000)
    monkeypatch.setattr("resight.shortlist.codebook.CHUNK_FLOATS", 64 * 1000)
    assert training._on_workers(x, 64, InMemory(lambda _: x.numpy()), tmp_path).equal(kmeans(x, 64))


def test_every_shard_is_read_once_to_train_and_once_to_encode(
    tmp_path: Path, data: dict[str, np.ndarray], features: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[tuple[str, int]] = Counter()
    whole = reader_module.read_shard

    def counted(folder, group, start, stop, names):
        reads[folder.name, start] += 1
        assert set(names) == {"descriptors", "n_keypoints"}
        return whole(folder, group, start, stop, names)

    monkeypatch.setattr(reader_module, "read_shard", counted)
    gallery = list(data)[:100]
    build(tmp_path / "index", gallery, features, tmp_path)
    assert reads == {("0.zarr", 0): 2, ("0.zarr", 64): 2}
    reads.clear()
    build(tmp_path / "index", list(data), features, tmp_path)  # less than four times as large: nothing is trained
    assert reads == {("0.zarr", 64): 1, ("0.zarr", 128): 1, ("1.zarr", 0): 1}


def test_a_block_of_votes_reads_every_shard_of_its_candidates_once(
    tmp_path: Path, data: dict[str, np.ndarray], features: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, ids = build(tmp_path / "index", list(data), features, tmp_path), list(data)
    with Runner(DaskParams(mode="inline"), quiet=True) as runner:
        places = Stored.of(runner, Workspace(tmp_path), features).places
    stores, rows = _place_arrays(index.crop_ids, places)
    everybody = np.packbits(np.ones(len(index.crop_ids), bool)).tobytes()
    voters = tuple((c, places[c]) for c in ids[:5])
    block = VoteBlock(
        tmp_path, tmp_path / "index" / index.name, PARAMS, voters, (everybody,) * 5, stores, rows, verify=15, most=20
    )
    reads: list[tuple[str, int]] = []

    def counted(read):
        def reading(folder, group, start, stop, *rows):
            reads.append((folder.name, start))
            return read(folder, group, start, stop, *rows)

        return reading

    for name in ("read_shard", "read_rows"):  # few rows of a shard are read alone
        monkeypatch.setattr(reader_module, name, counted(getattr(reader_module, name)))
    monkeypatch.setattr(reader_module.FeatureReader.__init__, "__defaults__", (1,))
    votes = vote_block(block).votes
    ranks = votes["rank"].to_pylist()
    assert max(ranks) == 20 and [v is not None for v in votes["lnbnn_verified"].to_pylist()] == [r <= 15 for r in ranks]
    shards = [("0.zarr", 0), ("0.zarr", 64), ("0.zarr", 128), ("1.zarr", 0)]
    assert reads[0] == ("0.zarr", 0) and sorted(reads[1:]) == shards  # the queries, then the candidates


def test_a_full_segment_is_not_touched_by_a_nights_crops(
    tmp_path: Path, data: dict[str, np.ndarray], features: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resight.shortlist.store.SEGMENT_BYTES", 64 * 512 * (4 + 4))
    ids = list(data)
    first = build(tmp_path / "index", ids[:130], features, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "index" / first.name).glob("segment-*")}
    for n in (140, 150, 190):
        grown = build(tmp_path / "index", ids[:n], features, tmp_path)
        assert grown.name == first.name and sorted(grown.crop_ids) == sorted(ids[:n])
    after = {file: file.stat().st_mtime_ns for file in (tmp_path / "index" / first.name).glob("segment-*")}
    kept = [file for file in before if after.get(file) == before[file]]
    assert len(kept) == 4 and len(after) == 2 * len(open_index(tmp_path / "index" / first.name).entries.parts)


def test_what_left_the_gallery_goes_after_thirty_days(
    tmp_path: Path, data: dict[str, np.ndarray], features: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = list(data)

    def on(day: date, gallery: list[str]) -> ShortlistIndex:
        monkeypatch.setattr("resight.shortlist.store._today", lambda: day)
        return build(tmp_path / "index", gallery, features, tmp_path)

    whole = on(date(2026, 6, 1), ids)
    assert sorted(on(date(2026, 6, 2), ids[:60]).crop_ids) == sorted(ids)  # they stay, and no query may find them
    on(date(2026, 6, 20), ids)  # all are in use again: the time begins anew
    on(date(2026, 6, 21), ids[:60])
    assert sorted(on(date(2026, 7, 20), ids[:60]).crop_ids) == sorted(ids)
    left = on(date(2026, 7, 21), ids[:60])
    assert left.name == whole.name and sorted(left.crop_ids) == sorted(ids[:60])
    direct = build(tmp_path / "direct", ids, features, tmp_path)
    lists = [[(crop, code) for crop, code in part if crop in ids[:60]] for part in contents(direct)[2]]
    assert contents(left)[2] == lists
    segments = read_json(tmp_path / "index" / left.name / INDEX_FILE)["segments"]
    assert [segment["n_crops"] for segment in segments] == [60]


def test_a_block_that_fails_is_said(tmp_path: Path, data: dict[str, np.ndarray], features: pa.Table) -> None:
    class Failing(Runner):
        started = True

        def run(self, label, function, blocks, **_):
            return [], [type("Failure", (), {"reason": "KilledWorker"})() for _ in blocks]

    stored = Stored.of(Failing(DaskParams(mode="inline")), Workspace(tmp_path), features)
    with pytest.raises(ResightError, match=r"3 of 3 blocks .*KilledWorker.*run the same command again"):
        build_index(tmp_path / "index", list(data), stored, PARAMS, "d")
