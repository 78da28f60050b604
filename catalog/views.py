"""The views for DuckDB: one for each table that is current, and those of `views.sql` on top of them."""

from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from resight.catalog.schema import Table
from resight.catalog.tables import TABLES

SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.float32(): "FLOAT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}
HOME, LATEST = "{home}", "{latest}"


def views(root: Path) -> str:
    """The text of ``catalog.sql`` for the workspace in the folder ``root``."""
    text = files("resight.catalog").joinpath("views.sql").read_text(encoding="utf-8")
    return text.replace(HOME, home_line(root)).replace(LATEST, "\n\n".join(map(_latest, TABLES)))


def home_line(root: Path) -> str:
    """The line that says where the workspace lies; letters that would stand for others in DuckDB's patterns stand for themselves."""
    path = "".join(f"[{letter}]" if letter in "[*?" else letter for letter in root.absolute().as_posix())
    return "SET VARIABLE home = '{}';".format(path.replace("'", "''"))


def _latest(table: Table) -> str:
    """A view with the columns and types of the catalog, whichever version wrote the file; without rows where there is none."""
    file = f"getvariable('generation') || '/{table.name}.parquet'"
    there = f"list_contains(getvariable('files'), '{table.name}.parquet')"
    if table.in_parts:  # earlier versions wrote one file
        is_folder = f"list_contains(getvariable('folders'), '{table.name}.parquet')"
        file, there = f"if({is_folder}, {file} || '/*.parquet', {file})", f"({is_folder} OR {there})"
    typed = [(f'"{column.name}"', sql_type(column.type)) for column in table.columns]
    chosen = ", ".join(f"{name}::{kind} AS {name}" for name, kind in typed)
    empty = ", ".join(f"NULL::{kind} AS {name}" for name, kind in typed)
    return (
        f"-- A row is {table.row}.\n"
        f"CREATE OR REPLACE VIEW latest_{table.name} AS\nSELECT {chosen}\nFROM (\n    SELECT {empty} WHERE false\n    UNION ALL BY NAME\n"
        f"    SELECT * FROM read_parquet(if({there}, {file}, getvariable('generation') || '/runs.parquet')) WHERE {there}\n);"
    )


def sql_type(kind: pa.DataType) -> str:
    """DuckDB's name of an Arrow type of the catalog."""
    return f"{sql_type(kind.value_type)}[]" if pa.types.is_list(kind) else SQL_TYPES[kind]
