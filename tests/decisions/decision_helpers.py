"""Rows of photos for tests of decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.decisions.entry import Entry

A, B, C = ("a" * 20, "b" * 20, "c" * 20)
SCHEMA = pa.schema([f for f in catalog_table("photos").schema if f.name != "run_id"])

MakeEntry = Callable[..., Entry]


def photo(photo_id: str, **columns: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    uri = f"photos/{photo_id[0]}.jpg"
    row |= {
        "photo_id": photo_id,
        "uri": uri,
        "uris": [uri],
        "n_files": 1,
        "status": "ok",
        "reason": "",
        "viewpoint": "left",
    }
    row |= {"encounter_id": f"photo-{photo_id}", "encounter_source": "photo", "taken_on": date(2026, 6, 4)}
    first = date(2026, 6, 4) if pa.types.is_date(SCHEMA.field("first_night").type) else "2026-06-04"
    return row | {"first_night": first} | columns


def photo_table(*rows: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict(r) for r in rows], schema=SCHEMA)
