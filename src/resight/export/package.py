"""``datapackage.json`` over the tables in ``current/``: a Frictionless Data Package (https://specs.frictionlessdata.io), version 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from resight.catalog import TABLES, Table
from resight.errors import WorkspaceError
from resight.export.base import Product, Source
from resight.store.table_files import files_of

UNCONFIRMED = " What it says about who an animal is are unconfirmed answers of the program."
MACHINE = {"identifications", "novelty", "provisional"}


def make(source: Source) -> Product:
    """One file in the workspace, whose paths lead into ``current/``; it stays right until a night has other tables or columns."""
    current = source.workspace.current
    tables = [table for table in TABLES if (current / f"{table.name}.parquet").exists()]
    if not tables:
        raise WorkspaceError(f"{current} holds no tables; start with `resight nightly`.")
    package = {
        "profile": "data-package",
        "name": "resight-current",
        "title": f"Tables of {source.workspace.root.name}",
        "description": "Names in the table photos are as confirmed by people; what the program says by itself is unconfirmed.",
        "sources": [{"title": source.program}],
        "resources": [_resource(table, current / f"{table.name}.parquet") for table in tables],
    }
    text = json.dumps(package, indent=2, ensure_ascii=False)
    return Product({"datapackage.json": text.encode() + b"\n"})


def _resource(table: Table, place: Path) -> dict[str, Any]:
    files = files_of(place)
    paths = [f"current/{file.relative_to(place.parent).as_posix()}" for file in files]
    return {
        "name": table.name,
        "path": paths if place.is_dir() else paths[0],  # several files of one schema are one resource
        "profile": "data-resource",
        "format": "parquet",
        "mediatype": "application/vnd.apache.parquet",
        "description": f"One row is {table.row}." + (UNCONFIRMED if table.name in MACHINE else ""),
        "schema": _schema(table, pq.read_schema(files[0])),
    }


def _schema(table: Table, written: pa.Schema) -> dict[str, Any]:
    """A Table Schema of the columns that the file has, as the catalog describes them; units stand in the description."""
    described = {column.name: column for column in table.columns}
    fields = []
    for name, kind in zip(written.names, written.types, strict=True):
        field: dict[str, Any] = {"name": name, "type": type_name(kind)}
        column = described.get(name)
        if column:
            field["description"] = column.description + (f" (in {column.unit})" if column.unit else "")
            if name in table.key or not column.nullable:
                field["constraints"] = {"required": True}
        fields.append(field)
    return {"fields": fields, "primaryKey": list(table.key)}


def type_name(kind: pa.DataType) -> str:
    """The Table Schema's name of an Arrow type."""
    for test, name in (
        (pa.types.is_string, "string"), (pa.types.is_boolean, "boolean"), (pa.types.is_integer, "integer"),
        (pa.types.is_floating, "number"), (pa.types.is_timestamp, "datetime"), (pa.types.is_date, "date"), (pa.types.is_list, "array"),
    ):  # fmt: skip
        if test(kind):
            return name
    raise TypeError(f"no Table Schema type for {kind}")
