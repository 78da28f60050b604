"""The views for DuckDB: one for each table that is current, and those of `views.sql` on top of them."""

import re
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
    return _text().replace(HOME, home_line(root)).replace(LATEST, "\n\n".join(map(_latest, TABLES)))


def _text() -> str:
    return files("resight.catalog").joinpath("views.sql").read_text(encoding="utf-8")


def with_parts(text: str) -> str:
    """The text of an earlier version, whose views know of no tables in parts, with views that do; all else in it stays as it is."""
    listing = re.compile(
        r"^SET VARIABLE files = .*?;\r?\n(SET VARIABLE folders = .*?^\);\n)?", re.DOTALL | re.MULTILINE
    )
    now = listing.search(_text())
    if "SET VARIABLE folders" in text or now is None or not listing.search(text):
        return text
    for table in (table for table in TABLES if table.in_parts):
        view = rf"^(-- [^\n]*\n)?CREATE OR REPLACE VIEW latest_{table.name} AS\r?\n.*?;\r?\n"
        text = _replaced(re.compile(view, re.DOTALL | re.MULTILINE), text, _latest(table) + "\n")
    return _replaced(listing, text, now[0])


def _replaced(pattern: re.Pattern[str], text: str, by: str) -> str:
    return pattern.sub(lambda _: by, text, count=1)


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
