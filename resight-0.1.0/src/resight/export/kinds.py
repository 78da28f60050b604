"""All kinds of exports. A new one is a function of a `Source` in a file of its own, and a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from resight.export import camtrap, capture_history, dwca, geoparquet, package, spreadsheet, wildbook
from resight.export.base import Product, Source


@dataclass(frozen=True)
class Kind:
    """A kind of export.

    Attributes:
        summary: What it is, for the help.
        make: What makes it.
        out: Where it goes if the user does not say, relative to the workspace.
        heeds: Fields of `Wishes` that it heeds.
        one_file: Whether it is a file of that name, and no folder.
        movable: Whether the user may say where it goes.
    """

    summary: str
    make: Callable[[Source], Product]
    out: str
    heeds: frozenset[str] = frozenset()
    one_file: bool = True
    movable: bool = True


def _heeds(*names: str) -> frozenset[str]:
    return frozenset(names)


KINDS = {
    "wildbook": Kind("sheets for Wildbook's bulk import", wildbook.make, "exports/wildbook",
                     _heeds("species", "with_photos"), one_file=False),
    "dwca": Kind("Darwin Core Archive of occurrences, for GBIF and OBIS", dwca.make, "exports/dwca.zip",
                 _heeds("species", "time_zone", "publisher")),
    "camtrap-dp": Kind("Camtrap DP 1.0: deployments, media and observations", camtrap.make, "exports/camtrap-dp",
                       _heeds("species", "time_zone", "publisher"), one_file=False),
    "capture-history": Kind("capture histories for MARK and RMark, secr, Rcapture and multimark", capture_history.make,
                            "exports/capture-history", _heeds("occasion", "by_side", "with_unconfirmed", "all_periods"),
                            one_file=False),
    "xlsx": Kind("a workbook of sightings, animals and photos", spreadsheet.make, "exports/sightings.xlsx",
                 _heeds("species", "time_zone")),
    "geoparquet": Kind("sightings as points, GeoParquet 1.1", geoparquet.make, "exports/sightings.parquet",
                       _heeds("species", "time_zone")),
    "datapackage": Kind("datapackage.json that describes the tables in current/", package.make, "datapackage.json",
                        movable=False),
}  # fmt: skip
