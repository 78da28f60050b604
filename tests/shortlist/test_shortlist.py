"""The shortlist against a brute-force reference, and against changes that must not matter."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from resight.errors import SettingsError, WorkspaceError
from resight.extract.kinds.aliked import AlikedParams
from resight.extract.kinds.orb import OrbParams
from resight.extract.kinds.sift import SiftParams
from resight.pairs.plan import PairGrid, Plan
from resight.shortlist.codebook import kmeans, sub_vectors
from resight.shortlist.entries import Query, encode_crops, merge
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import InMemory
from resight.shortlist.plan import allowed_by_grids, shortlisted
from resight.shortlist.scan import TorchScanner, _grid, _multiplied, _rounded
from resight.shortlist.store import INDEX_FILE, build_index, extend, open_index, write_codebook
from resight.shortlist.training import draw_sample, train
from resight.shortlist.votes import CROP_VOTES, lnbnn, search
from resight.store.counts import reconcile_left_out
from resight.store.sealed import read_json, write_json

FLAT = ShortlistParams(pq_bytes=0, n_lists=4, n_probe=4, neighbours=4)
CODED = ShortlistParams(pq_bytes=4, n_lists=4, n_probe=2)
DIM = 16
HAS_FAISS = importlib.util.find_spec("faiss") is not None


def crops(n: int, per_crop: int = 20, seed: int = 1) -> dict[str, np.ndarray]:
    """Crops of a few animals that share descriptors, some with fewer of them and one without any."""
    rng = np.random.default_rng(seed)
    animals = rng.normal(size=(3, 40, DIM))
    out = {}
    for i in range(n):
        points = animals[i % 3][rng.permutation(40)[: max(0, per_crop - 7 * (i % 4 == 3))]]
        noisy = points + 0.3 * rng.normal(size=points.shape)
        out[f"crop{i:03d}"] = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    out["blank"] = np.zeros((0, DIM), np.float16)
    return out


def brute_force(query: np.ndarray, gallery: dict[str, np.ndarray], k: int = 4) -> dict[str, float]:
    """LNBNN straight from its definition, one query descriptor at a time."""
    owner = [crop for crop, x in gallery.items() for _ in x]
    every = np.concatenate([x for x in gallery.values() if len(x)]).astype(np.float64) if owner else np.zeros((0, DIM))
    votes: dict[str, float] = {}
    for one in query.astype(np.float64):
        distance = np.sqrt(((every - one) ** 2).sum(axis=1))
        near = np.argsort(distance, kind="stable")[: k + 1]
        for at in near[:k]:
            votes[owner[at]] = votes.get(owner[at], 0.0) + distance[near[-1]] - distance[at]
    return {crop: vote for crop, vote in votes.items() if vote > 0}


def as_dict(table: pa.Table, query: str) -> dict[str, float]:
    rows = [r for r in table.to_pylist() if r["query_crop_id"] == query]
    assert [r["rank"] for r in rows] == list(range(1, len(rows) + 1))
    return {r["gallery_crop_id"]: r["lnbnn"] for r in rows}


def build(folder: Path, data: dict[str, np.ndarray], params: ShortlistParams):
    return build_index(folder, list(data), InMemory(data.__getitem__), params, "descriptors")


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    return crops(24)


def test_votes_equal_brute_force_where_nothing_is_left_out(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    queries = list(crops(4, seed=2).items())
    votes = search(build(tmp_path, data, FLAT), queries, FLAT)
    for crop, x in queries:
        assert as_dict(votes, crop) == pytest.approx(brute_force(x, data), abs=1e-5)
    assert votes.schema.equals(CROP_VOTES)


@pytest.mark.parametrize("params", [FLAT, CODED])
def test_the_background_is_taken_among_allowed_crops(
    tmp_path: Path, data: dict[str, np.ndarray], params: ShortlistParams
) -> None:
    index = build(tmp_path, data, params)
    keep = [i for i, crop in enumerate(index.crop_ids) if crop.endswith(("1", "4", "7", "k"))]
    query = data["crop004"] * np.float32(0.99)
    wanted = {index.crop_ids[i]: data[index.crop_ids[i]] for i in keep}
    some = search(index, [("q", query)], params, allowed=lambda _: np.array(keep))
    mask = np.isin(np.arange(len(index.crop_ids)), keep)[None]
    assert some.equals(search(index, [("q", query)], params, allowed=mask))
    if params is FLAT:
        assert as_dict(some, "q") == pytest.approx(brute_force(query, wanted), abs=1e-5)
    assert set(as_dict(some, "q")) <= set(wanted)


@pytest.mark.parametrize("params", [FLAT, CODED])
def test_memory_bounds_change_nothing(
    tmp_path: Path, data: dict[str, np.ndarray], params: ShortlistParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build(tmp_path, data, params)
    query = [("q", data["crop004"][::-1])]
    whole = as_dict(search(index, query, params), "q")
    monkeypatch.setattr("resight.shortlist.scan.CHUNK_FLOATS", 100)
    monkeypatch.setattr("resight.shortlist.scan.PROBES_AT_ONCE", 7)
    assert as_dict(search(index, query, params), "q") == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("params", [FLAT, CODED, CODED.model_copy(update={"n_probe": 3})])
def test_whoever_is_asked_together_finds_the_same_to_the_last_bit(
    tmp_path: Path, data: dict[str, np.ndarray], params: ShortlistParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, queries = build(tmp_path, data, params), list(crops(11, seed=3).items())
    masks = np.random.default_rng(5).random((len(queries), len(index.crop_ids))) < 0.7
    found = []
    for at_once in (1, 3, 32):
        monkeypatch.setattr("resight.shortlist.votes.QUERIES_AT_ONCE", at_once)
        found.append(search(index, queries, params, allowed=masks))
    assert found[0].num_rows > 50 and found[1:] == [found[0]] * 2


def test_products_are_exact_whatever_their_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    gallery = {f"crop{i:02d}": np.abs(rng.normal(size=(60, 128))).astype(np.float32) for i in range(40)}
    gallery = {crop: x / np.linalg.norm(x, axis=1, keepdims=True) for crop, x in gallery.items()}
    params = ShortlistParams(n_lists=5, n_probe=3)
    entries = build(tmp_path, gallery, params).entries
    assert entries is not None
    scanner, queries = TorchScanner(entries), [Query(torch.from_numpy(x[:n])) for n, x in enumerate(gallery.values())]
    together = scanner.nearest(queries, 3, 5)
    for n, (query, (distance, _)) in enumerate(zip(queries, together, strict=True)):
        monkeypatch.setattr("resight.shortlist.scan.CHUNK_FLOATS", 1000 + 100 * n)
        ((alone, _),) = scanner.nearest([query], 3, 5)
        assert alone.equal(distance)


def test_distances_are_those_to_what_the_codes_stand_for(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    params = CODED.model_copy(update={"n_lists": 3})
    entries = build(tmp_path, data, params).entries
    assert entries is not None
    codebook, x = entries.codebook, torch.from_numpy(data["crop004"] * np.float32(0.99))
    stored = [entries.of_list(number)[0] for number in range(3)]
    seen = torch.cat([codebook.decode(codes, torch.full((len(codes),), k)) for k, codes in enumerate(stored)])
    ((distance, _),) = TorchScanner(entries).nearest([Query(x)], 3, 5)
    assert torch.allclose(distance, torch.cdist(x, seen).sort(dim=1).values[:, :5], atol=2e-3)


def test_nobody_votes_where_nothing_is_allowed(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    index = build(tmp_path, data, CODED)
    votes = search(index, [("q", data["crop000"])], CODED, allowed=lambda _: np.zeros(0, np.int64))
    assert votes.num_rows == 0


def test_a_mask_of_another_length_is_refused(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="25 rows"):
        search(build(tmp_path, data, FLAT), [("q", data["crop000"])], FLAT, allowed=np.ones((1, 3), bool))


def test_a_query_without_descriptors_has_no_votes_and_disturbs_no_other(
    tmp_path: Path, data: dict[str, np.ndarray]
) -> None:
    index = build(tmp_path, data, CODED)
    both = search(index, [("empty", data["blank"]), ("q", data["crop003"])], CODED)
    assert both.equals(search(index, [("q", data["crop003"])], CODED))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_descriptors_take_the_farthest_for_the_background(tmp_path: Path, n: int) -> None:
    gallery = {"only": crops(1)["crop000"][:n]}
    query = crops(1, seed=5)["crop000"]
    params = FLAT.model_copy(update={"n_lists": 1})
    votes = as_dict(search(build(tmp_path, gallery, params), [("q", query)], params), "q")
    assert votes == pytest.approx(brute_force(query, gallery), abs=1e-5)
    assert bool(votes) == (n > 1)  # a single neighbour has no background to stand out from


def test_a_gallery_without_any_descriptor_gives_no_votes(tmp_path: Path) -> None:
    index = build(tmp_path, {"blank": np.zeros((0, DIM), np.float32)}, CODED)
    assert search(index, [("q", crops(1)["crop000"])], CODED).num_rows == 0


def test_ties_are_ordered_by_crop_id(tmp_path: Path) -> None:
    twin = crops(1)["crop000"]
    gallery = {"b": twin, "a": twin, **{f"x{i}": x for i, x in enumerate(crops(6, seed=9).values())}}
    votes = search(build(tmp_path, gallery, FLAT), [("q", twin)], FLAT).to_pylist()
    assert [v["gallery_crop_id"] for v in votes[:2]] == ["a", "b"]
    assert votes[0]["lnbnn"] == votes[1]["lnbnn"]


def test_votes_worked_out_by_hand() -> None:
    distance = np.array([[1.0, 2.0, 4.0], [1.0, 3.0, np.inf], [2.0, np.inf, np.inf], [np.inf, np.inf, np.inf]])
    assert lnbnn(distance, np.isfinite(distance)).tolist() == [[3, 2], [2, 0], [0, 0], [0, 0]]


def test_votes_by_hand(tmp_path: Path) -> None:
    """One query descriptor at 0; three crops at 1, 2 and 3, the background at 5."""
    axis = {"leo1": 1.0, "leo2": 2.0, "mia": 3.0, "nobody": 5.0}
    gallery = {crop: np.array([[at, 0.0]], np.float32) for crop, at in axis.items()}
    params = ShortlistParams(pq_bytes=0, n_lists=1, n_probe=1, neighbours=3)
    index = build_index(tmp_path, list(gallery), InMemory(gallery.__getitem__), params, "x")
    votes = search(index, [("q", np.zeros((1, 2), np.float32))], params)
    assert as_dict(votes, "q") == pytest.approx({"leo1": 4, "leo2": 3, "mia": 2})


def files_of(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.mark.parametrize("params", [FLAT, CODED])
def test_the_order_in_which_crops_come_does_not_matter(
    tmp_path: Path, data: dict[str, np.ndarray], params: ShortlistParams
) -> None:
    build(tmp_path / "a", data, params)
    build(tmp_path / "b", dict(reversed(data.items())), params)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize("params", [FLAT, CODED])
def test_extending_equals_encoding_all_at_once(
    tmp_path: Path, data: dict[str, np.ndarray], params: ShortlistParams
) -> None:
    codebook = train(list(data), InMemory(data.__getitem__), params, tmp_path)
    assert codebook is not None
    ids = list(data)
    whole = encode_crops(codebook, ((c, data[c]) for c in ids), 512)
    parts = (ids[1::3], ids[::3], ids[2::3])
    merged = merge([encode_crops(codebook, ((c, data[c]) for c in part), 512) for part in parts])
    assert merged.crop_ids == whole.crop_ids
    for name in ("starts", "stored", "crops"):
        assert getattr(merged, name).equal(getattr(whole, name)), name


def test_segments_read_as_one(tmp_path: Path, data: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.shortlist.store.MERGE_RATIO", 0)  # keep all segments
    codebook = train(list(data), InMemory(data.__getitem__), CODED, tmp_path)
    assert codebook is not None
    ids = list(data)
    for name, parts in (("one", [ids]), ("three", [ids[1::3], ids[::3], ids[2::3]])):
        write_codebook(tmp_path / name, codebook, "family")
        for part in parts:
            extend(tmp_path / name, part, InMemory(data.__getitem__), 512)
    one, three = open_index(tmp_path / "one"), open_index(tmp_path / "three")
    assert three.entries is not None and len(three.entries.parts) == 3
    queries = list(crops(4, seed=2).items())
    first, second = (search(index, queries, CODED) for index in (one, three))
    for crop, _ in queries:
        assert as_dict(first, crop) == pytest.approx(as_dict(second, crop), abs=1e-5)


def test_a_grown_gallery_is_encoded_without_training_until_it_is_four_times_as_large(tmp_path: Path) -> None:
    data = crops(40)
    some = {c: data[c] for c in list(data)[:10]}
    loaded: list[str] = []

    def load(crop: str) -> np.ndarray:
        loaded.append(crop)
        return data[crop]

    first = build_index(tmp_path, list(some), InMemory(load), CODED, "d")
    loaded.clear()
    assert build_index(tmp_path, list(some), InMemory(load), CODED, "d").name == first.name
    assert loaded == []
    more = list(data)[:12]
    second = build_index(tmp_path, more, InMemory(load), CODED, "d")
    assert second.name == first.name and sorted(loaded) == more[10:]
    assert sorted(second.crop_ids) == sorted(more)
    third = build_index(tmp_path, list(data), InMemory(load), CODED, "d")
    assert third.name != first.name and sorted(third.crop_ids) == sorted(data)
    assert build_index(tmp_path, list(data), InMemory(load), CODED, "d").name == third.name


def test_superseded_segments_go_and_others_stay(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    ids = list(data)
    codebook = train(ids, InMemory(data.__getitem__), CODED, tmp_path)
    assert codebook is not None
    write_codebook(tmp_path, codebook, "family")
    for first in range(0, len(ids), 5):
        extend(tmp_path, ids[first : first + 5], InMemory(data.__getitem__), 512)
    index = open_index(tmp_path, verify=True)
    assert sorted(index.crop_ids) == sorted(ids)
    assert index.entries is not None
    assert len(list(tmp_path.glob("segment-*.safetensors"))) == len(index.entries.parts) < 5


def test_other_settings_or_descriptors_make_another_index(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    names = {
        build(tmp_path, data, CODED).name,
        build(tmp_path, data, CODED.model_copy(update={"pq_bytes": 8})).name,
        build_index(tmp_path, list(data), InMemory(data.__getitem__), CODED, "others").name,
    }
    assert len(names) == 3
    asked = CODED.model_copy(update={"k": 7, "n_probe": 1, "neighbours": 2, "backend": "faiss", "enabled": "on"})
    assert asked.index_name("d") == CODED.index_name("d")


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_a_changed_file_is_noticed(tmp_path: Path, data: dict[str, np.ndarray], suffix: str) -> None:
    path = tmp_path / build(tmp_path, data, CODED).name
    file = next(path.glob(f"segment-*{suffix}"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WorkspaceError, match="was changed"):
        open_index(path, verify=True)
    file.unlink()
    with pytest.raises(WorkspaceError, match=r"it is missing.*delete"):
        open_index(path)


def test_a_newer_format_is_refused(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    path = tmp_path / build(tmp_path, data, CODED).name
    manifest = path / INDEX_FILE
    write_json(manifest, read_json(manifest) | {"format": 2})
    with pytest.raises(WorkspaceError, match="newer Resight"):
        open_index(path)


def test_binary_descriptors_are_refused(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    bits = np.zeros((5, 32), np.uint8)
    with pytest.raises(SettingsError, match="binary"):
        build(tmp_path, {"a": bits}, CODED)
    with pytest.raises(SettingsError, match="binary"):
        search(build(tmp_path, data, CODED), [("q", bits)], CODED)
    assert not ShortlistParams(descriptors="own").accepts(OrbParams())
    assert ShortlistParams(descriptors="sift").accepts(OrbParams())


def test_descriptors_of_another_width_are_refused(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    with pytest.raises(SettingsError, match="16 numbers and was asked with 8"):
        search(build(tmp_path, data, CODED), [("q", np.zeros((3, 8), np.float32))], CODED)


def test_bytes_that_do_not_divide_the_width_are_refused(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    with pytest.raises(SettingsError, match=r"choose one of \[1, 2, 4, 8, 16\], or 0"):
        build(tmp_path, data, ShortlistParams(pq_bytes=5))


def test_codes_are_near_what_they_stand_for(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    params = ShortlistParams(pq_bytes=8, n_lists=4)
    codebook = train(list(data), InMemory(data.__getitem__), params, tmp_path)
    assert codebook is not None
    x = torch.from_numpy(data["crop000"])
    lists = codebook.nearest_lists(x, 1)[1][:, 0]
    seen = codebook.decode(codebook.encode(x, lists), lists)
    assert (seen - x).norm(dim=1).mean() < 0.1 < (codebook.centres[lists] - x).norm(dim=1).mean()


def test_kmeans_finds_clear_clusters_and_never_loses_a_centre() -> None:
    corners = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    x = corners.repeat_interleave(20, dim=0) + torch.linspace(-0.1, 0.1, 40)[:, None]
    found = kmeans(x, 2)
    assert torch.cdist(corners, found).min(dim=1).values.max() < 0.2
    lonely = torch.cat(
        [torch.full((2000, 2), 5.0), torch.full((1, 2), 9.0)]
    )  # the start misses it; two centres lose all
    assert torch.cdist(torch.full((1, 2), 9.0), kmeans(lonely, 3)).min() < 1e-6
    assert kmeans(lonely, 3).min() > 4
    assert kmeans(x[:2], 5).shape == (5, 2)


def test_the_sample_is_drawn_from_many_crops(data: dict[str, np.ndarray]) -> None:
    sample = draw_sample(list(data), InMemory(data.__getitem__), CODED)
    assert sample is not None and len(sample) == sum(map(len, data.values()))


def test_when_it_is_on_and_what_it_reads() -> None:
    assert not ShortlistParams(enabled="off").is_on(10**6)
    assert [ShortlistParams(enabled="on", k=100).is_on(n) for n in (0, 100, 101)] == [False, False, True]
    assert [ShortlistParams(min_gallery=500).is_on(n) for n in (499, 500)] == [False, True]
    own = SiftParams(max_keypoints=1024)
    assert ShortlistParams().extractor(own) is own
    assert ShortlistParams().extractor(AlikedParams()) == SiftParams(max_keypoints=512)
    assert ShortlistParams(descriptors="own").extractor(AlikedParams()) == AlikedParams()


def plan_of(rows: list[tuple[str, str, str, str]]) -> pa.Table:
    names = ["query_crop_id", "gallery_crop_id", "purpose", "status"]
    columns = [pa.array(c, pa.string()) for c in zip(*rows, strict=True)]
    return pa.table([*columns, pa.nulls(len(rows), pa.string())], names=[*names, "reason"])


def votes_of(rows: list[tuple[str, str, float, int]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(CROP_VOTES.names, row, strict=True)) for row in rows], schema=CROP_VOTES)


def grid_of(plan: pa.Table, purpose: str) -> PairGrid:
    """The planned rows of that purpose; the photos have the names of their crops."""
    rows = plan.filter(pc.equal(plan["purpose"], purpose))
    photos = [rows[f"{side}_crop_id"] for side in ("query", "gallery")]
    return PairGrid.listed(
        rows.append_column("query_photo_id", photos[0]).append_column("gallery_photo_id", photos[1]), purpose
    )


def test_only_pairs_that_may_be_compared_are_left_out_whatever_they_are_for() -> None:
    plan = plan_of(
        [
            ("q", "a", "identify", "planned"),
            ("q", "b", "identify", "planned"),
            ("q", "c", "identify", "planned"),
            ("q", "d", "identify", "excluded_by_policy"),
            ("q", "e", "identify", "planned"),
            ("q2", "c", "calibrate", "planned"),
            ("q2", "a", "calibrate", "planned"),
            ("mute", "a", "identify", "planned"),
        ]
    )
    votes = votes_of([("q", "c", 3.0, 1), ("q", "a", 2.0, 2), ("q", "b", 1.0, 3), ("q2", "c", 2.0, 1)])
    grids = [grid_of(plan, purpose) for purpose in ("identify", "calibrate")]
    identify, calibrate = shortlisted(grids, votes, 2)

    def kept(plan: Plan) -> list[tuple[str, str]]:
        return list(
            zip(plan.pairs["query_crop_id"].to_pylist(), plan.pairs["gallery_crop_id"].to_pylist(), strict=True)
        )

    # e has no vote; a query without votes keeps all
    assert kept(identify) == [("mute", "a"), ("q", "a"), ("q", "c")]
    assert kept(calibrate) == [("q2", "c")]
    assert [(r["query_crop_id"], r["status"], r["n_left_out"]) for r in identify.left_out.to_pylist()] == [
        ("q", "not_shortlisted", 2)
    ]
    assert [(r["query_crop_id"], r["status"], r["n_left_out"]) for r in calibrate.left_out.to_pylist()] == [
        ("q2", "not_shortlisted", 1)
    ]
    assert shortlisted(grids, votes_of([]), 2) == tuple(grid.plan() for grid in grids)


def test_pairs_beside_the_shortlist_stay_and_take_no_place() -> None:
    """`a` is beside it for `q` alone; `q2` has no votes but for what is beside, so it keeps all. Rows and counts are all pairs."""
    plan = plan_of(
        [(q, g, "identify", "planned") for q in ("q", "q2") for g in "abcd"] + [("q3", "a", "identify", "planned")]
    )
    grid = grid_of(plan, "identify")
    asks = np.array([q == "q" for q in grid.query_ids.to_pylist()])
    shows = np.array([g == "a" for g in grid.gallery_ids.to_pylist()])
    grid = replace(grid, beside=lambda q, g: asks[q] & shows[g])
    may_find = allowed_by_grids([grid], list("abcd"))(["q", "q2", "q3"])
    assert may_find.tolist() == [[False, True, True, True], [True] * 4, [True, False, False, False]]
    votes = votes_of([("q", "c", 3.0, 1), ("q", "b", 2.0, 2), ("q", "d", 1.0, 3), ("q3", "a", 1.0, 1)])
    (cut,) = shortlisted([grid], votes, 2)
    kept = list(zip(*(cut.pairs[f"{side}_crop_id"].to_pylist() for side in ("query", "gallery")), strict=True))
    assert kept == [("q", "a"), ("q", "b"), ("q", "c"), *(("q2", g) for g in "abcd"), ("q3", "a")]
    assert [(r["query_crop_id"], r["n_left_out"]) for r in cut.left_out.to_pylist()] == [("q", 1)]
    reconcile_left_out("shortlist", grid.n_pairs(), cut.pairs, cut.left_out)


def test_the_grids_say_who_may_be_found(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    index = build(tmp_path, data, CODED)
    plan = plan_of(
        [
            ("q", "crop001", "identify", "planned"),
            ("other", "crop002", "identify", "planned"),
            ("q", "crop004", "identify", "planned"),
            ("q", "crop005", "identify", "excluded_by_policy"),
            ("q", "crop006", "calibrate", "planned"),
            ("q", "crop007", "calibrate", "no_features"),
            ("q", "elsewhere", "identify", "planned"),
        ]
    )
    allowed = allowed_by_grids([grid_of(plan, purpose) for purpose in ("identify", "calibrate")], index.crop_ids)
    masks = allowed(["q", "unknown", "other"])
    found = [[index.crop_ids[row] for row in np.flatnonzero(mask)] for mask in masks]
    assert [sorted(crops) for crops in found] == [["crop001", "crop004", "crop006"], [], ["crop002"]]
    votes = search(index, [("q", data["crop004"])], CODED, allowed=masks[:1])
    assert set(votes["gallery_crop_id"].to_pylist()) <= {"crop001", "crop004", "crop006"}


def test_the_best_alone_come_back_where_more_are_not_wanted(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    index = build(tmp_path, data, CODED)
    queries = list(crops(4, seed=2).items())
    every = search(index, queries, CODED)
    assert search(index, queries, CODED, most=2).equals(every.filter(pc.less_equal(every["rank"], 2)))


def test_faiss_that_is_not_there_is_said(
    tmp_path: Path, data: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    params = CODED.model_copy(update={"backend": "faiss"})
    index = build(tmp_path, data, params)
    with pytest.raises(SettingsError, match=r"pip install 'resight\[faiss\]'"):
        search(index, [("q", data["crop000"])], params)


@pytest.mark.skipif(not HAS_FAISS, reason="faiss is not installed")
@pytest.mark.parametrize("params", [FLAT, CODED])
@pytest.mark.parametrize("allowed", [None, lambda _: np.arange(0, 24, 3)])
def test_faiss_gives_the_same_votes(
    tmp_path: Path, data: dict[str, np.ndarray], params: ShortlistParams, allowed: Callable[[str], np.ndarray] | None
) -> None:
    index = build(tmp_path, data, params)
    queries = list(crops(4, seed=2).items())
    ours = search(index, queries, params, allowed=allowed)
    theirs = search(index, queries, params.model_copy(update={"backend": "faiss"}), allowed=allowed)
    for crop, _ in queries:
        assert as_dict(theirs, crop) == pytest.approx(as_dict(ours, crop), abs=5e-3)  # ours are rounded


def test_descriptors_that_point_everywhere_find_the_same_in_few_lists_whoever_asks_with_them() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(1200, 64, generator=generator), dim=1)
    centre = x.mean(0)
    grid = _grid(centre[None], sub_vectors(x[:256] - centre, 8))
    asked, stored = (_rounded(part - _rounded(centre, grid), grid) for part in (x[:200], x[200:]))
    together = _multiplied(asked, stored, stored.square().sum(1))
    for first, n in ((0, 1), (7, 3), (50, 117)):
        alone = _multiplied(asked[first : first + n], stored, stored.square().sum(1))
        assert alone.equal(together[first : first + n])
