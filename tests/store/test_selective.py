"""A few rows of a large table cost a few row groups, and whatever is read was compared with its digest."""

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resight.errors import DamagedError, WorkspaceError
from resight.reading import RunResults
from resight.store import chunks, sealed
from resight.store.runs import staging
from resight.store.selective import opened, read_columns, rows_where
from resight.store.tables import ROWS_OF_A_GROUP, conform, empty_table, read_table, write_table
from resight.store.tables import rows_where as rows_of_table
from resight.store.workspace import Workspace

N_QUERIES, N_GALLERY = 120, 2_000
SCHEMA = empty_table("scores").schema


def scores(n_queries: int = N_QUERIES, n_gallery: int = N_GALLERY) -> pa.Table:
    """Scores of every query crop with every gallery crop."""
    rng = np.random.default_rng(0)
    n = n_queries * n_gallery
    ids = pa.array([f"g{gallery:027x}" for gallery in range(n_gallery)])
    queries = pa.array([f"q{query:019x}" for query in range(n_queries)])
    rows = {
        "query_crop_id": queries.take(pa.array(np.repeat(np.arange(n_queries), n_gallery))),
        "gallery_crop_id": ids.take(pa.array(np.tile(np.arange(n_gallery), n_queries))),
        "purpose": pa.repeat(pa.scalar("identify"), n),
        "score": pa.array(rng.random(n)),
        "count": pa.array(rng.random(n)),
        "score_name": pa.repeat(pa.scalar("count"), n),
    }
    return conform("scores", pa.table(rows), "r1")


@pytest.fixture(scope="module")
def whole() -> pa.Table:
    return scores()


@pytest.fixture
def file(tmp_path: Path, whole: pa.Table) -> Path:
    return write_table(tmp_path, "scores", whole)


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of everything that selective reads take from files."""
    sizes: list[int] = []
    original = chunks.read_range

    def counted(file: object, start: int, stop: int) -> bytes:
        sizes.append(stop - start)
        return original(file, start, stop)  # type: ignore[arg-type]

    monkeypatch.setattr("resight.store.chunks.read_range", counted)
    monkeypatch.setattr("resight.store.selective.read_range", counted)
    return sizes


def test_one_query_costs_its_row_groups(file: Path, whole: pa.Table, bytes_read: list[int]) -> None:
    asked = [whole["query_crop_id"][70 * N_GALLERY].as_py()]
    found = rows_of_table(file, "scores", "query_crop_id", asked)
    assert found.num_rows == N_GALLERY
    assert found.equals(whole.slice(70 * N_GALLERY, N_GALLERY).cast(found.schema))
    metadata = pq.read_metadata(file)
    assert metadata.num_row_groups == -(-N_QUERIES * N_GALLERY // ROWS_OF_A_GROUP) >= 8
    largest = max(
        sum(metadata.row_group(i).column(j).total_compressed_size for j in range(metadata.num_columns))
        for i in range(metadata.num_row_groups)
    )
    footer = metadata.serialized_size + 32 * metadata.num_row_groups * metadata.num_columns + 200
    assert sum(bytes_read) < 2 * largest * 1.1 + 2 * footer < file.stat().st_size / 2, "at most two row groups"


def test_columns_that_nobody_asks_for_are_not_read(file: Path, whole: pa.Table, bytes_read: list[int]) -> None:
    found = read_table(file, "scores", ["score", "query_crop_id"])
    assert found["score"].equals(whole["score"])
    assert found.column_names == ["score", "query_crop_id"]
    metadata = pq.read_metadata(file)
    wanted = [SCHEMA.names.index(name) for name in found.column_names]
    size = sum(
        metadata.row_group(i).column(j).total_compressed_size for i in range(metadata.num_row_groups) for j in wanted
    )
    footer = metadata.serialized_size + 32 * metadata.num_row_groups * metadata.num_columns + 200
    assert size <= sum(bytes_read) < size + 2 * footer


def test_rows_are_found_wherever_they_lie(tmp_path: Path) -> None:
    table = pa.table({"key": [f"k{i % 7}" for i in range(100)], "list": [[i, i + 1] for i in range(100)]})
    sealed.write_table(tmp_path / "x.parquet", table, row_group_size=9)
    wanted = pa.schema([*table.schema, pa.field("later", pa.int32())])
    found = rows_where(tmp_path / "x.parquet", wanted, "key", ["k3", "k5", "none"])
    assert found["list"].to_pylist() == [[i, i + 1] for i in range(100) if i % 7 in (3, 5)]
    assert found["later"].null_count == found.num_rows == 28
    assert rows_where(tmp_path / "x.parquet", wanted, "key", []).num_rows == 0


def test_a_turned_bit_is_found_by_whoever_reads_it_and_by_no_other(file: Path, whole: pa.Table) -> None:
    footer = chunks.read_footer(file)
    assert footer is not None
    start, stop = footer.chunk(3, SCHEMA.names.index("score"))
    data = bytearray(file.read_bytes())
    data[(start + stop) // 2] ^= 4
    file.write_bytes(bytes(data))
    first, fourth = (whole["query_crop_id"][i * ROWS_OF_A_GROUP + N_GALLERY].as_py() for i in (0, 3))
    assert rows_of_table(file, "scores", "query_crop_id", [first]).num_rows == N_GALLERY
    assert read_table(file, "scores", ["count"])["count"].equals(whole["count"])
    for read in (
        lambda: rows_of_table(file, "scores", "query_crop_id", [fourth]),
        lambda: read_table(file, "scores", ["score"]),
        lambda: sealed.check(file),
    ):
        with pytest.raises(DamagedError, match="digest"):
            read()


def test_no_bit_of_a_small_file_turns_without_notice(tmp_path: Path) -> None:
    table = pa.table({"key": ["a", "b", "c", "d"], "value": [1, 2, 3, 4]})
    sealed.write_table(tmp_path / "x.parquet", table, row_group_size=2, write_page_index=True)
    data, turned = (tmp_path / "x.parquet").read_bytes(), tmp_path / "turned.parquet"
    for at in range(0, len(data), 2):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        turned.write_bytes(bytes(changed))
        sealed.forget()
        try:
            assert rows_where(turned, table.schema, "key", ["c"])["value"].to_pylist() == [3]
        except DamagedError:
            continue
        try:
            whole = sealed.check(turned)
        except DamagedError:
            continue  # in what that reader did not need
        assert not whole, f"byte {at}: only the name of the digests may be something else"


def test_what_an_earlier_version_wrote_is_compared_whole(tmp_path: Path) -> None:
    table = pa.table({"key": ["a", "b"], "value": [1, 2]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    written = memoryview(sink.getvalue())
    foot = chunks.footer_start(written)
    digest = hashlib.sha256(bytes(written[:foot]) + bytes(written[foot:])).digest()
    old = tmp_path / "old.parquet"
    old.write_bytes(bytes(written[:foot]) + sealed.SEAL + digest + bytes(written[foot:]))
    assert sealed.check(old)
    assert opened(old).footer is None
    assert rows_where(old, table.schema, "key", ["b"])["value"].to_pylist() == [2]
    data = bytearray(old.read_bytes())
    data[20] ^= 1
    old.write_bytes(bytes(data))
    with pytest.raises(DamagedError, match="digest"):
        read_columns(old, table.schema)


def test_other_programs_read_the_file_and_see_its_order(file: Path, whole: pa.Table) -> None:
    assert pq.read_table(file, filters=[("query_crop_id", "==", whole["query_crop_id"][0])]).num_rows == N_GALLERY
    group = pq.read_metadata(file).row_group(0)
    order = [group.column(one.column_index).path_in_schema for one in group.sorting_columns]
    assert order == ["query_crop_id", "gallery_crop_id"]
    assert group.column(1).has_column_index and group.column(1).has_offset_index


def test_rows_of_one_encounter(workspace: Workspace) -> None:
    photos = [
        {"photo_id": f"p{i}", "uri": f"{i}.jpg", "uris": [f"{i}.jpg"], "n_files": 1, "encounter_id": f"e{i // 2}",
         "encounter_source": "photo", "viewpoint": "left", "first_night": date(2026, 6, 4), "status": "ok"}
        for i in range(6)
    ]  # fmt: skip
    crops = [
        {"crop_id": f"c{9 - i}", "photo_id": f"p{i}", "viewpoint": "left", "segment_fingerprint": "f", "status": "ok"}
        for i in range(6)
    ]
    scored = [
        {"query_crop_id": f"c{9 - i}", "gallery_crop_id": f"c{9 - j}", "purpose": "identify", "score": 1.0,
         "score_name": "count"}
        for i in range(4) for j in range(4, 6)
    ]  # fmt: skip
    with staging(workspace) as stage:
        for name, rows in (("photos", photos), ("crops", crops), ("scores", scored)):
            stage.write(name, conform(name, rows, "r1"))
        stage.commit("r1")
    run = RunResults(workspace, "r1")
    encounter = run.of_encounter("e1")
    assert encounter.photo_ids == ["p2", "p3"] and encounter.crop_ids == ["c6", "c7"]
    assert encounter.table("scores")["query_crop_id"].to_pylist() == ["c6", "c6", "c7", "c7"]
    assert encounter.table("crops")["photo_id"].to_pylist() == ["p3", "p2"]
    with pytest.raises(WorkspaceError, match="no encounter 'e9'"):
        run.of_encounter("e9")
    with pytest.raises(WorkspaceError, match="no table 'pairs'"):
        encounter.table("pairs")
