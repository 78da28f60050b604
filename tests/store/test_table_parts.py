"""A large table goes on with the files of the run before: its rows are the same whatever its parts, and only what is new is written."""

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resight.errors import DamagedError, WorkspaceError
from resight.store import sealed
from resight.store.chunks import read_footer
from resight.store.table_files import files_of
from resight.store.table_parts import ALIKE, write_parts
from resight.store.tables import Keys, conform, read_table, rows_where

ROWS = 100


def rows(names: str | list[str], changed: str = "") -> list[dict[str, Any]]:
    """Scores of some queries with a hundred gallery crops each; one score of a query may be another one."""
    return [
        {
            "query_crop_id": f"q{name}", "gallery_crop_id": f"g{n:03d}", "purpose": "identify", "score_name": "mean", "count": float(n),
            "score": float("nan") if n == 7 else n / 7 + (name == changed and n == 50),
        }
        for name in names for n in range(ROWS)
    ]  # fmt: skip


def night(root: Path, run_id: str, names: str | list[str], before: str = "", changed: str = "") -> list[Path]:
    (root / run_id).mkdir()
    table = conform("scores", rows(names, changed), run_id)
    parts = write_parts(root / run_id, "scores", table, root / before if before else None)
    read = read_table(root / run_id / "scores.parquet", "scores")
    assert repr(read.drop_columns("run_id").to_pylist()) == repr(table.drop_columns("run_id").to_pylist())
    return parts


def own(parts: list[Path]) -> list[Path]:
    return [part for part in parts if part.stat().st_nlink == 1]


def test_a_night_writes_its_own_rows_and_takes_over_the_rest(tmp_path: Path) -> None:
    night(tmp_path, "r1", "ac")
    parts = night(tmp_path, "r2", "abcd", "r1")
    assert [part.name for part in parts] == ["part-1-of-2.parquet", "part-2-of-2.parquet"]
    assert own(parts) == parts[1:] and pq.read_metadata(parts[1]).num_rows == 2 * ROWS
    assert parts[0].samefile(tmp_path / "r1" / "scores.parquet" / "part-1-of-1.parquet")
    whole = read_table(parts[0].parent, "scores", ["run_id", "query_crop_id"])
    assert whole.to_pylist()[:: 2 * ROWS] == [
        {"run_id": "r1", "query_crop_id": "qa"}, {"run_id": "r1", "query_crop_id": "qc"}
    ]  # fmt: skip
    same = night(tmp_path, "r3", "abcd", "r2")
    assert not own(same), "nothing is new, nothing is written"
    none = night(tmp_path, "r4", [], "r3")
    assert [pq.read_metadata(part).num_rows for part in none] == [0]


def test_one_value_that_is_another_one_makes_its_part_new(tmp_path: Path) -> None:
    night(tmp_path, "r1", "ab")
    night(tmp_path, "r2", "abc", "r1")
    parts = night(tmp_path, "r3", "abc", "r2", changed="c")
    assert len(parts) == 2 and own(parts) == parts[1:]
    assert read_table(parts[0].parent, "scores")["score"][2 * ROWS + 50].as_py() == 50 / 7 + 1
    parts = night(tmp_path, "r4", "bc", "r2")
    assert len(own(parts)) == 1 and pq.read_metadata(own(parts)[0]).num_rows == ROWS, "a row that is gone, too"


def test_years_of_nights_leave_a_handful_of_parts_and_most_nights_write_little(tmp_path: Path) -> None:
    written, n_parts, nights = [], 0, 3 * ALIKE
    for number in range(nights):
        names = [f"{n:03d}" for n in range(number + 1)]
        parts = night(tmp_path, f"r{number}", names, f"r{number - 1}" if number else "")
        written.append(sum(pq.read_metadata(part).num_rows for part in own(parts)))
        n_parts = max(n_parts, len(parts))
    assert n_parts < 2 * ALIKE
    assert sorted(written)[nights - nights // ALIKE - 1] == ROWS, "most nights write their own rows"
    assert sum(written) <= 2 * nights * ROWS, "a row is written twice until there are many more"


def test_rows_of_a_query_are_found_in_all_parts(tmp_path: Path) -> None:
    night(tmp_path, "r1", "ad")
    parts = night(tmp_path, "r2", "abcd", "r1")
    found = rows_where(parts[0].parent, "scores", "query_crop_id", ["qd", "qb"], ["gallery_crop_id"])
    assert found.column_names == ["gallery_crop_id"]
    assert found["gallery_crop_id"].to_pylist() == [f"g{n:03d}" for n in range(ROWS)] * 2
    assert rows_where(parts[0].parent, "scores", "query_crop_id", ["none"]).num_rows == 0


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_where_there_are_no_hard_links_parts_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    night(tmp_path, "r1", "ab")
    parts = night(tmp_path, "r2", "abc", "r1")
    assert len(own(parts)) == len(parts) == 2


def test_a_part_that_is_missing_or_too_many_is_said(tmp_path: Path) -> None:
    night(tmp_path, "r1", "ab")
    parts = night(tmp_path, "r2", "abc", "r1")
    folder = parts[0].parent
    (folder / "part-3-of-3.parquet").write_bytes(parts[1].read_bytes())
    with pytest.raises(DamagedError, match=r"part-3-of-3.parquet.*move it out of that folder"):
        read_table(folder, "scores")
    parts[1].rename(tmp_path / "away")
    with pytest.raises(DamagedError, match=r"part-1-of-3.parquet is damaged \(it is missing\)"):
        read_table(folder, "scores")
    (tmp_path / "away").rename(parts[1])
    (folder / "part-3-of-3.parquet").rename(folder / "part-1-of-2 (copy).parquet")
    with pytest.raises(DamagedError, match=r"part-1-of-2 \(copy\).parquet.*move it out of that folder"):
        read_table(folder, "scores")
    (folder / "part-1-of-2 (copy).parquet").unlink()
    parts[0].unlink()
    for read in (read_table, lambda path, name: rows_where(path, name, "query_crop_id", ["qc"])):
        with pytest.raises(DamagedError, match=r"part-1-of-2.parquet is damaged \(it is missing\)"):
            read(folder, "scores")
    parts[1].unlink()
    with pytest.raises(DamagedError, match=r"part-1-of-1\.parquet"):
        files_of(folder)


@pytest.mark.parametrize("where", ["run_id", "score", "page index"])
def test_rows_of_a_damaged_part_are_written_anew(tmp_path: Path, where: str) -> None:
    """Wherever the damage lies: the run that wrote a row is not compared, nor is what lies behind the columns."""
    (part,) = night(tmp_path, "r1", "ab")
    footer = read_footer(part)
    assert footer is not None
    start, stop = (footer.start - 8, footer.start) if where == "page index" else footer.chunk(0, footer.leaves([where])[0])  # fmt: skip
    data = bytearray(part.read_bytes())
    data[(start + stop) // 2] ^= 1
    part.chmod(0o644)
    part.write_bytes(bytes(data))
    sealed.forget()
    parts = night(tmp_path, "r2", "abc", "r1")
    assert len(parts) == len(own(parts)) == 1
    assert sealed.check(parts[0])


def test_rows_that_stand_in_two_parts_are_taken_over_once(tmp_path: Path) -> None:
    night(tmp_path, "r1", "ab")
    parts = night(tmp_path, "r2", "abcd", "r1")
    parts[1].unlink()
    parts[1].write_bytes(parts[0].read_bytes())
    with pytest.raises(DamagedError, match="rows stand in two of its parts"):
        read_table(parts[0].parent, "scores")
    for names in ("ab", "abcdef"):
        assert sum(pq.read_metadata(part).num_rows for part in night(tmp_path, f"r{names}", names, "r2")) == ROWS * len(names)  # fmt: skip


def test_a_file_of_before_and_one_of_a_newer_version(tmp_path: Path) -> None:
    """One file is read as ever, and nothing of another version is taken over."""
    (part,) = night(tmp_path, "r1", "ab")
    table = pq.read_table(part)
    (tmp_path / "old").mkdir()
    pq.write_table(table, tmp_path / "old" / "scores.parquet")
    assert read_table(tmp_path / "old" / "scores.parquet", "scores").num_rows == 2 * ROWS
    assert len(own(night(tmp_path, "r2", "abc", "old"))) == 1
    newer = table.replace_schema_metadata({"resight_version": "99"})
    (tmp_path / "newer" / "scores.parquet").mkdir(parents=True)
    pq.write_table(newer, tmp_path / "newer" / "scores.parquet" / "part-1-of-1.parquet")
    with pytest.raises(WorkspaceError, match="newer"):
        read_table(tmp_path / "newer" / "scores.parquet", "scores")
    assert len(own(night(tmp_path, "r3", "abc", "newer"))) == 1


def test_keys_are_found_in_any_order_and_only_those_that_are_there() -> None:
    known = pa.table({"a": ["x", "z", "x"], "b": ["2", "1", "1"]})
    asked = pa.table({"a": ["x", "z", "x", "y", "z"], "b": ["1", "1", "2", "1", "2"]})
    assert Keys(known, ("a", "b")).places(asked).tolist() == [2, 1, 0, -1, -1]
    assert Keys(known.slice(0, 0), ("a", "b")).places(asked).tolist() == [-1] * 5


def test_other_readers_see_the_whole_table(tmp_path: Path) -> None:
    night(tmp_path, "r1", "ab")
    folder = night(tmp_path, "r2", "abc", "r1")[0].parent
    assert pq.read_table(folder).num_rows == 3 * ROWS
    for module in ("pandas", "polars"):
        frame = pytest.importorskip(module).read_parquet(folder)
        assert len(frame) == 3 * ROWS
    found = pytest.importorskip("duckdb").sql(f"select count(*) from '{folder}/*.parquet'").fetchone()
    assert found == (3 * ROWS,)
    assert isinstance(read_table(folder, "scores"), pa.Table)
