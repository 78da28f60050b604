"""The catalog is the contract: writers conform, readers see whole tables, older files stay readable."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resight.catalog import COMPUTED, TABLES, data_dictionary, table
from resight.errors import BrokenCountError, WorkspaceError
from resight.store import tables
from resight.store.publication import publish_generation
from resight.store.runs import read_current, staging
from resight.store.tables import conform, read_table, write_table
from resight.store.workspace import Workspace

ACCURACY = {"metric": "top1_photo", "stratum": "all", "value": 0.5, "n": 2, "unit": "share", "protocol": "by hand"}


def test_every_column_says_what_it_is_and_equal_names_have_equal_types() -> None:
    types: dict[str, pa.DataType] = {}
    for one in TABLES + COMPUTED:
        assert set(one.key) <= {c.name for c in one.columns}
        for column in one.columns:
            assert column.description and not column.description.endswith("."), (one.name, column.name)
            assert types.setdefault(column.name, column.type) == column.type, (one.name, column.name)


def test_the_dictionary_in_the_repository_is_the_generated_one() -> None:
    import resight.catalog

    file = Path(resight.catalog.__file__).parent / "DICTIONARY.md"
    assert file.read_text(encoding="utf-8") == data_dictionary(TABLES + COMPUTED), "run `make dictionary`"


def test_conform_orders_fills_and_sorts() -> None:
    rows = [ACCURACY | {"metric": "b"}, ACCURACY | {"metric": "a"}]
    got = conform("accuracy", rows, "r1")
    assert got.schema.names == table("accuracy").schema.names
    assert got["metric"].to_pylist() == ["a", "b"]
    assert got["run_id"].to_pylist() == ["r1", "r1"]
    assert got["ci_low"].null_count == 2


def test_a_table_that_is_in_order_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large table that takes a second; one that has to be sorted is looked at again, whether a key stands twice."""
    looked, keys = list[int](), tables.Keys
    monkeypatch.setattr(tables, "Keys", lambda *given: looked.append(1) or keys(*given))
    rows = [ACCURACY | {"metric": metric} for metric in "ab"]
    conform("accuracy", rows, "r1")
    assert len(looked) == 1
    assert conform("accuracy", rows[::-1], "r1")["metric"].to_pylist() == ["a", "b"] and len(looked) == 3


@pytest.mark.parametrize("rows", [[ACCURACY, ACCURACY], [ACCURACY | {"unit": None}]])
def test_doubled_keys_and_missing_values_are_refused(rows: list[dict]) -> None:
    with pytest.raises(BrokenCountError):
        conform("accuracy", rows, "r1")


def test_unknown_columns_are_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        conform("accuracy", pa.table({"metric": ["a"], "colour": ["red"]}), "r1")


def test_a_table_of_an_older_version_reads_with_missing_values(tmp_path: Path) -> None:
    old = pa.table({"run_id": ["r"], "metric": ["top1_photo"], "stratum": ["all"], "value": [0.5]})
    old = old.replace_schema_metadata({"resight_version": "0"})
    pq.write_table(old, tmp_path / "accuracy.parquet")
    got = read_table(tmp_path / "accuracy.parquet", "accuracy")
    assert got["value"].to_pylist() == [0.5]
    assert got["protocol"].to_pylist() == [None]


def test_a_table_of_a_newer_version_is_not_guessed_at(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"metric": ["x"]}).replace_schema_metadata({"resight_version": "99"}), tmp_path / "accuracy.parquet"
    )
    with pytest.raises(WorkspaceError, match="newer"):
        read_table(tmp_path / "accuracy.parquet", "accuracy")


def test_a_run_is_there_whole_or_not_at_all(workspace: Workspace) -> None:
    def broken_run() -> None:
        with staging(workspace) as stage:
            stage.write("accuracy", conform("accuracy", [ACCURACY], "r1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_run()
    assert list(workspace.runs.iterdir()) == []
    with staging(workspace) as stage:
        stage.write("accuracy", conform("accuracy", [ACCURACY], "r1"))
        stage.commit("r1")
    assert [p.name for p in workspace.runs.iterdir()] == ["r1"]


def test_current_is_the_promoted_run_and_a_reader_keeps_the_file_it_opened(workspace: Workspace) -> None:
    for run_id, value in (("r1", 0.5), ("r2", 0.75)):
        with staging(workspace) as stage:
            stage.write("accuracy", conform("accuracy", [ACCURACY | {"value": value}], run_id))
            stage.commit(run_id)
    publish_generation(workspace, run_id="r1", accuracy_run_id="r1")
    with (workspace.current / "accuracy.parquet").open("rb") as opened:
        publish_generation(workspace, run_id="r2", accuracy_run_id="r2")
        assert read_current(workspace, "accuracy")["value"].to_pylist() == [0.75]
        assert pq.read_table(opened)["value"].to_pylist() == [0.5]
    assert read_table(workspace.runs / "r1" / "accuracy.parquet", "accuracy")["run_id"].to_pylist() == ["r1"]


def test_duckdb_reads_what_is_written(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    write_table(tmp_path, "accuracy", conform("accuracy", [ACCURACY], "r1"))
    rows = duckdb.connect().execute(f"select metric, value from '{tmp_path / 'accuracy.parquet'}'").fetchall()
    assert rows == [("top1_photo", 0.5)]
