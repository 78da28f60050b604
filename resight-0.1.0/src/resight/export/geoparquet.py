"""Sightings as points: GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0/), WGS 84, longitude before latitude."""

from __future__ import annotations

import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq

from resight.catalog import SIGHTINGS
from resight.errors import WorkspaceError
from resight.export.base import Product, Source, without
from resight.export.sightings import CONFIRMED, Row

LITTLE_ENDIAN, POINT = 1, 1  # of well-known binary (OGC 06-103r4)
GEOMETRY = "geometry"


def make(source: Source) -> Product:
    """One Parquet file: the table ``sightings``, whether it is ``confirmed``, and a point where the position is known."""
    rows = list(source.rows)
    if all(_nowhere(row) for row in rows):
        raise WorkspaceError(
            "No sighting has a position; add the columns latitude and longitude to metadata.csv, or take photos with GPS."
        )
    table = pa.Table.from_pylist(rows, schema=SIGHTINGS.schema)
    table = table.append_column("confirmed", pa.array([row["certainty"] == CONFIRMED for row in rows]))
    table = table.append_column(GEOMETRY, pa.array([_point(row) for row in rows], pa.binary()))
    described = (table.schema.metadata or {}) | {b"geo": json.dumps(_description(rows)).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(described), sink, compression="zstd")
    positions = [row | {"position": None if _nowhere(row) else True} for row in rows]
    notes = without(positions, "position", "{n} sightings have no position ({items}); their geometry is empty.")
    return Product({"sightings.parquet": sink.getvalue().to_pybytes()}, notes=notes)


def _nowhere(row: Row) -> bool:
    return row["latitude_deg"] is None or row["longitude_deg"] is None


def _point(row: Row) -> bytes | None:
    if _nowhere(row):
        return None
    return struct.pack("<BIdd", LITTLE_ENDIAN, POINT, row["longitude_deg"], row["latitude_deg"])


def _description(rows: list[Row]) -> dict[str, object]:
    """The file's ``geo`` metadata. Without a ``crs``, coordinates are OGC:CRS84: WGS 84, longitude first."""
    x = [row["longitude_deg"] for row in rows if not _nowhere(row)]
    y = [row["latitude_deg"] for row in rows if not _nowhere(row)]
    column = {"encoding": "WKB", "geometry_types": ["Point"], "bbox": [min(x), min(y), max(x), max(y)]}
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
