"""A workbook for people: sightings, animals, photos, and what the columns mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from resight.catalog import SIGHTINGS
from resight.export.base import Product, Source, unconfirmed_sentence
from resight.export.sightings import CONFIRMED, Row
from resight.export.workbook import Sheet, workbook_bytes

ANIMALS = ("animal", "confirmed", "sightings", "unconfirmed_sightings", "first_seen", "last_seen", "sides", "photos")


def make(source: Source) -> Product:
    """One workbook with the sheets Sightings, Animals, Photos and About."""
    names = [column.name for column in SIGHTINGS.columns if column.name not in {"run_id", "photo_ids", "photos"}]
    place = names.index("individual_id") + 1
    columns = [*names[:place], "confirmed", *names[place:], "remark"]
    rows = [
        row | {"confirmed": "yes" if row["certainty"] == CONFIRMED else "no", "remark": unconfirmed_sentence(row)}
        for row in source.rows
    ]
    sheets = [
        Sheet("Sightings", columns, rows),
        Sheet("Animals", ANIMALS, animals(source.rows)),
        Sheet("Photos", ("photo", "photo_id", "sighting_id"), _photos(source.rows)),
        Sheet("About", ("what", "says"), _about(source, columns)),
    ]
    return Product({"sightings.xlsx": workbook_bytes(sheets)})


def animals(rows: Sequence[Row]) -> list[Row]:
    """One row for each animal; those that people have named come first, then the program's provisional ones."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["individual_id"]:
            groups[row["individual_id"]].append(row)
    listed = []
    for name, own in groups.items():
        days = sorted(row["taken_on"] for row in own if row["taken_on"])
        sure = sum(row["certainty"] == CONFIRMED for row in own)
        listed.append({
            "animal": name, "confirmed": "yes" if sure else "no", "sightings": sure, "unconfirmed_sightings": len(own) - sure,
            "first_seen": days[0] if days else None, "last_seen": days[-1] if days else None,
            "sides": sorted({side for row in own for side in row["viewpoints"]}), "photos": sum(row["n_photos"] for row in own),
        })  # fmt: skip
    return sorted(listed, key=lambda row: (row["confirmed"] != "yes", row["animal"]))


def _photos(rows: Sequence[Row]) -> list[Row]:
    return [
        {"photo": uri, "photo_id": photo_id, "sighting_id": row["sighting_id"]}
        for row in rows
        for photo_id, uri in zip(row["photo_ids"], row["photos"], strict=True)
    ]


def _about(source: Source, columns: Sequence[str]) -> list[Row]:
    """Where the figures come from, and the meaning of every column of the first sheet."""
    own = {
        "confirmed": "yes where a person has named the photos; everything else is an unconfirmed answer of the program",
        "remark": "what the program says, for sightings that no person has named",
    }
    meanings = {column.name: column.description for column in SIGHTINGS.columns} | own
    facts = {"run": source.run["run_id"], "night": source.run["night"], "made by": source.program}
    return [{"what": what, "says": says} for what, says in [*facts.items(), *((c, meanings[c]) for c in columns)]]
