"""Numbers for pairs, look-up among many parts, the fingerprint."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resight.match.cache import (
    KEYS,
    PART_SCHEMA,
    CropCodes,
    look_up,
    write_pairs,
)
from resight.run.names import stage_names
from resight.settings import Settings, settings_from
from resight.store.parts import compact, part_files, together
from resight.weights.store import WeightStore

SMALL = pa.schema([*(pa.field(key, pa.string()) for key in KEYS), pa.field("n_matches", pa.int32())])


def part(rows: list[tuple[str, str, int]]) -> pa.Table:
    return pa.table([[r[i] for r in rows] for i in range(3)], schema=SMALL)


def test_a_pair_has_one_number_in_both_directions() -> None:
    codes = CropCodes.of(pa.array(["c", "a"]), pa.chunked_array([["b", "a"]]))
    assert codes.ids.to_pylist() == ["a", "b", "c"]
    assert codes.encode(pa.array(["c", "x", None, "a"])).tolist() == [2, -1, -1, 0]
    assert codes.encode(pa.array(["c", "x", None, "a"]).dictionary_encode()).tolist() == [2, -1, -1, 0]
    pairs = codes.pairs(np.array([2, 0, 1, -1]), np.array([0, 2, 1, 1]))
    assert pairs.tolist() == [2, 2, 4, -1]
    assert [side.tolist() for side in codes.unpack(pairs[:3])] == [[0, 0, 1], [2, 2, 1]]


def test_look_up_finds_what_is_wanted_and_nothing_else(tmp_path: Path) -> None:
    write_pairs(tmp_path, part([("a", "b", 1), ("a", "z", 2)]))  # z is no longer in the survey
    write_pairs(tmp_path, part([("b", "c", 3), ("c", "d", 4)]))
    (tmp_path / ".half.tmp").write_bytes(b"PAR1")
    codes = CropCodes.of(pa.array(list("abcd")))
    wanted = np.unique(codes.pairs(np.array([0, 1, 0]), np.array([1, 2, 3])))  # a-b, b-c, a-d
    found, rows = look_up(part_files(tmp_path), codes, wanted, SMALL)
    assert rows.to_pylist() == [
        {"crop_id_a": "a", "crop_id_b": "b", "n_matches": 1},
        {"crop_id_a": "b", "crop_id_b": "c", "n_matches": 3},
    ]
    assert found.tolist() == [1, 6]


def test_a_pair_that_stands_twice_is_read_once(tmp_path: Path) -> None:
    write_pairs(tmp_path, part([("a", "b", 1)]))
    write_pairs(tmp_path, part([("a", "b", 1), ("a", "c", 2)]))
    codes = CropCodes.of(pa.array(list("abc")))
    found, rows = look_up(part_files(tmp_path), codes, np.array([1, 2]), SMALL)
    assert (found.tolist(), rows["n_matches"].to_pylist()) == ([1, 2], [1, 2])


def test_nothing_there_and_nothing_wanted(tmp_path: Path) -> None:
    codes = CropCodes.of(pa.array(list("ab")))
    found, rows = look_up(part_files(tmp_path), codes, np.array([1]))
    assert (found.size, rows.num_rows, rows.schema) == (0, 0, PART_SCHEMA)
    write_pairs(tmp_path, part([("a", "b", 1)]))
    assert look_up(part_files(tmp_path), codes, np.zeros(0, np.int64), SMALL)[0].size == 0


def test_the_name_of_a_part_comes_from_its_pairs(tmp_path: Path) -> None:
    one, same = (write_pairs(tmp_path, part([("a", "b", n)])) for n in (1, 1))
    other = write_pairs(tmp_path, part([("a", "c", 1)]))
    assert one == same != other


def test_a_million_pairs_are_looked_up_in_seconds(tmp_path: Path) -> None:
    ids = np.array([f"{i:020x}" for i in range(1500)])
    a, b = np.triu_indices(1500, 1)
    a, b = a[:1_000_000], b[:1_000_000]
    for k, rows in enumerate(np.array_split(np.arange(len(a)), 50)):
        columns = [pa.array(ids[a[rows]]), pa.array(ids[b[rows]]), pa.array(rows.astype(np.int32))]
        pq.write_table(pa.table(columns, schema=SMALL), tmp_path / f"{k:03}.parquet")
    codes = CropCodes.of(pa.array(ids))
    wanted = np.unique(codes.pairs(a[::2], b[::2]))
    start = time.process_time()
    found, rows = look_up(part_files(tmp_path), codes, wanted, SMALL)
    assert time.process_time() - start < 10
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(rows["n_matches"].to_numpy(), np.arange(0, len(a), 2))


class TestFingerprint:
    def test_what_changes_results_changes_the_name(self, store: WeightStore) -> None:
        variants = [
            {},
            {"match": {"ratio": 0.8}},
            {"match": {"verify": {"threshold_px": 5.0}}},
            {"extract": {"max_keypoints": 7}},
            {"score": {"bins": 32}},
            {"device": "cuda"},
        ]
        names = [stage_names(settings_from(v), store).match for v in variants]
        assert len(set(names)) == len(variants)

    def test_what_does_not_change_results_keeps_it(self, store: WeightStore) -> None:
        same = settings_from({"pairs": {"block_seconds": 5}, "score": {"name": "sum"}, "dask": {"workers": 3}})
        assert stage_names(same, store).match == stage_names(Settings(), store).match

    def test_other_weights_under_the_same_name(self, tmp_path: Path, name_of: Any) -> None:
        from safetensors.torch import save_file
        from torch import zeros

        path = tmp_path / "xfeat_light.safetensors"
        settings = settings_from({"extract": {"kind": "xfeat"}, "match": {"kind": "lightglue", "weights": str(path)}})
        names = []
        for size in (2, 3):
            save_file({"x": zeros(size)}, path)
            names.append(name_of(settings))
        assert names[0] != names[1]


def test_a_year_of_nights_is_a_handful_of_parts() -> None:
    size_of: dict[Path, int] = {}
    most, written = 0, 0
    for night in range(365):
        size_of[Path(f"{night}")] = 1000 + night % 7
        merged = together(size_of)
        if len(merged) > 1:
            size = sum(size_of.pop(file) for file in merged)
            size_of[Path(f"whole {night}")] = size
            written += size
        most = max(most, len(size_of))
        sizes = sorted(size_of.values())
        assert all(size > 1.25 * sum(sizes[:place]) for place, size in enumerate(sizes))
    assert len(size_of) <= 6 and most <= 9
    assert written <= 10 * sum(size_of.values()), "no row is written more often than its part can double"
    assert together({Path("large"): 32 << 20, Path("small"): 1}) == []


def test_many_small_parts_become_one_with_the_same_pairs(tmp_path: Path) -> None:
    for n in range(6):
        write_pairs(tmp_path, part([("a", f"b{n}", n), ("a", f"c{n}", 10 + n)]))
    write_pairs(tmp_path, part([("a", "b0", 0), ("z", "zz", 5)]))  # left over from a compaction that was stopped
    codes = CropCodes.of(pa.array(["a", *(f"{x}{n}" for x in "bc" for n in range(6)), "z", "zz"]))
    wanted = np.unique(
        codes.pairs(
            codes.encode(pa.array(["a"] * 12 + ["z"])), np.arange(1, 14).clip(max=14) + np.array([0] * 12 + [1])
        )
    )
    before = look_up(part_files(tmp_path), codes, wanted, SMALL)
    compact(tmp_path, SMALL, KEYS)
    after = look_up(part_files(tmp_path), codes, wanted, SMALL)
    assert len(part_files(tmp_path)) == 1
    assert pq.read_metadata(part_files(tmp_path)[0]).num_rows == 13
    assert (before[0] == after[0]).all() and before[1].equals(after[1]) and len(after[0]) == 13
