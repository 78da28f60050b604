"""Files of capture histories for MARK and RMark, secr, Rcapture and multimark.

MARK: one animal a line, ``/* name */ history frequency;``. secr: columns session, animal, occasion, detector, and detectors with
their places in metres (``read.capthist``). Rcapture: a matrix of 0 and 1, one row for each animal. multimark: codes 0 to 4 by side.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import WorkspaceError
from resight.export.base import Product, Source, csv_bytes, without
from resight.export.histories import (
    LEFT,
    RIGHT,
    Capture,
    Occasion,
    captures_of,
    checked_length,
    matrix_of,
    occasion_on,
    occasions_of,
    two_sided_matrix_of,
)
from resight.export.sightings import CONFIRMED, DECIDED, Row
from resight.store.runs import read_run, run_tables

EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG
NEW, OTHER = "(not in the gallery)", "(another animal of the gallery)"
CAPTURES = ("animal", "occasion", "certainty", "probability", "sides", "sighting_id", "taken_on", "site")
IDENTITIES = ("sighting_id", "occasion", "sides", "animal", "probability", "certainty")
README = """How to read these files. The histories hold {what}.

MARK        mark.inp as it is; in R: RMark::convert.inp("mark", use.comments = TRUE)
secr        secr::read.capthist("secr-captures.txt", "secr-detectors.txt", detector = "proximity", noccasions = {n})
Rcapture    X <- as.matrix(read.csv("rcapture.csv", row.names = 1)); Rcapture::closedp(X)
multimark   Enc.Mat <- as.matrix(read.csv("two-sided.csv", row.names = 1)); processdata(Enc.Mat, data.type = "sometimes")
            (with --by-side)

occasions.csv   the occasions and their days; periods without any photo are {gaps}. Unequal gaps between
                occasions need time intervals in MARK.
captures.csv    every capture behind the histories, and how certain it is.
{identities}"""
IDENTITIES_LINE = (
    "identities.csv  for every sighting how probable each animal is; the probabilities of a sighting sum to 1.\n"
)


def make(source: Source) -> Product:
    """A folder of histories, ``occasions.csv``, ``captures.csv`` and ``README.txt``; on request also by side and with probabilities."""
    wishes, dated = source.wishes, [row for row in source.rows if row["taken_on"]]
    occasions = occasions_of(
        [row["taken_on"] for row in dated], checked_length(wishes.occasion or "day"), wishes.all_periods
    )
    counted = [row for row in dated if row["certainty"] == CONFIRMED or wishes.with_unconfirmed]
    captures = captures_of(counted, occasions)
    if not captures:
        raise WorkspaceError(
            "No animal with a confirmed name has a dated photo; confirm some, or add --with-unconfirmed."
        )
    product = Product(notes=_notes(source.rows, counted))
    product.files |= _histories(captures, len(occasions))
    if wishes.by_side:
        for side in (LEFT, RIGHT):
            product.files |= _histories(captures, len(occasions), side)
        product.files["two-sided.csv"] = _matrix_csv(two_sided_matrix_of(captures, len(occasions)), len(occasions))
    product.files |= _secr(captures, dated, product.notes)
    product.files["occasions.csv"] = _occasions_csv(occasions)
    product.files["captures.csv"] = csv_bytes(CAPTURES, [_capture_row(capture) for capture in captures])
    if wishes.with_unconfirmed:
        product.files["identities.csv"] = csv_bytes(IDENTITIES, _identities(source, dated, occasions))
    product.files["README.txt"] = _readme(source, len(occasions))
    return product


def _histories(captures: Sequence[Capture], n_occasions: int, side: str | None = None) -> dict[str, bytes]:
    matrix = matrix_of(captures, n_occasions, side)
    ending = f"-{side}" if side else ""
    lines = [f"/* {_comment(animal)} */ {''.join(map(str, history))} 1;\n" for animal, history in matrix.items()]
    return {f"mark{ending}.inp": "".join(lines).encode(), f"rcapture{ending}.csv": _matrix_csv(matrix, n_occasions)}


def _comment(animal: str) -> str:
    """A name that cannot end the comment that it stands in."""
    return " ".join(animal.replace("*/", "* /").split())


def _matrix_csv(matrix: Mapping[str, Sequence[int]], n_occasions: int) -> bytes:
    columns = ["animal", *(f"o{number}" for number in range(1, n_occasions + 1))]
    return csv_bytes(columns, [dict(zip(columns, [animal, *row], strict=True)) for animal, row in matrix.items()])


def _secr(captures: Sequence[Capture], rows: Sequence[Row], notes: list[str]) -> dict[str, bytes]:
    """Captures and detectors. A detector is a site with photos, also of animals without a name, or a position where there is no site.

    Nothing where no capture has a position.
    """
    placed = [capture for capture in captures if capture.row["latitude_deg"] is not None]
    if len(placed) < len(captures):
        notes.append(
            f"{len(captures) - len(placed)} of {len(captures)} captures have no position and are not in the files for secr."
        )
    if not placed:
        return {}
    places: dict[str, list[Row]] = {}
    for row in rows:
        if row["latitude_deg"] is not None:
            places.setdefault(_place(row), []).append(row)
    detector_of = {place: f"D{number}" for number, place in enumerate(sorted(places), 1)}
    animals = _identifiers(sorted({capture.animal for capture in placed}))
    detections = {
        (animals[c.animal], c.occasion, detector_of[_place(c.row)]) for c in placed
    }  # one for each animal and place
    lines = [f"1 {animal} {occasion} {detector}" for animal, occasion, detector in sorted(detections)]
    return {
        "secr-captures.txt": "\n".join(["# Session ID Occasion Detector", *lines, ""]).encode(),
        "secr-detectors.txt": _detectors(places, detector_of),
    }


def _place(row: Row) -> str:
    return row["site"] or f"{row['latitude_deg']:.4f} {row['longitude_deg']:.4f}"


def _detectors(places: Mapping[str, Sequence[Row]], detector_of: Mapping[str, str]) -> bytes:
    """Mean positions in metres east and north of the mean of all, on a plane that touches the globe there (equirectangular)."""
    means = {place: (_mean(rows, "latitude_deg"), _mean(rows, "longitude_deg")) for place, rows in places.items()}
    middle_latitude, middle_longitude = (sum(mean[k] for mean in means.values()) / len(means) for k in (0, 1))
    metres_per_degree = math.radians(1) * EARTH_RADIUS_M
    lines = ["# Detector X Y"]
    for place, (latitude, longitude) in sorted(means.items()):
        x = (longitude - middle_longitude) * metres_per_degree * math.cos(math.radians(middle_latitude))
        y = (latitude - middle_latitude) * metres_per_degree
        lines += [f"# {' '.join(place.split())}", f"{detector_of[place]} {x:.1f} {y:.1f}"]
    return "\n".join([*lines, ""]).encode()


def _mean(rows: Sequence[Row], column: str) -> float:
    return sum(float(row[column]) for row in rows) / len(rows)


def _identifiers(animals: Sequence[str]) -> dict[str, str]:
    """Names without spaces, commas and other signs, all different."""
    given: dict[str, str] = {}  # animal by identifier
    for animal in animals:
        plain = re.sub(r"[^\w.-]+", "-", animal).strip("-") or "animal"
        number, name = 2, plain
        while name in given:
            number, name = number + 1, f"{plain}-{number}"
        given[name] = animal
    return {animal: name for name, animal in given.items()}


def _occasions_csv(occasions: Sequence[Occasion]) -> bytes:
    columns = ("occasion", "start", "end", "sightings")
    return csv_bytes(
        columns, [dict(zip(columns, (o.number, o.start, o.end, o.n_sightings), strict=True)) for o in occasions]
    )


def _capture_row(capture: Capture) -> Row:
    sides = " ".join(capture.row["viewpoints"])
    return capture.row | {"animal": capture.animal, "occasion": capture.occasion, "sides": sides}


def _identities(source: Source, rows: Sequence[Row], occasions: Sequence[Occasion]) -> list[Row]:
    """Every candidate of every dated sighting; the names that people have given have probability 1."""
    candidates: dict[str, list[Row]] = {}
    run_id = source.run["run_id"]
    tables = run_tables(source.workspace, run_id)
    if "identifications" in tables:
        ranked = read_run(source.workspace, run_id, "identifications")
        for one in ranked.filter(pc.equal(ranked["level"], pa.scalar("encounter"))).to_pylist():
            candidates.setdefault(one["encounter_id"], []).append(one)
    listed = []
    for row in rows:
        occasion = occasion_on(row["taken_on"], occasions)
        shared = {
            "sighting_id": row["sighting_id"],
            "occasion": occasion,
            "sides": " ".join(row["viewpoints"]),
            "certainty": row["certainty"],
        }
        listed += [shared | identity for identity in _shares(row, candidates.get(row["encounter_id"], []))]
    return listed


def _shares(row: Row, candidates: Sequence[Row]) -> list[Row]:
    """Who a sighting may be, summing to 1; nothing where the program gave no probabilities."""
    if row["certainty"] == CONFIRMED:
        return [{"animal": row["individual_id"], "probability": 1.0}]
    if row["p_new"] is None or any(one["probability"] is None for one in candidates):
        return []
    shares = [{"animal": one["individual_id"], "probability": one["probability"]} for one in candidates]
    other = 1.0 - row["p_new"] - sum(share["probability"] for share in shares)
    return [*shares, {"animal": NEW, "probability": row["p_new"]}, {"animal": OTHER, "probability": max(other, 0.0)}]


def _readme(source: Source, n_occasions: int) -> bytes:
    wishes = source.wishes
    both = "names that people have confirmed, and unconfirmed answers of the program: they hold some wrong animals"
    text = README.format(
        what=both if wishes.with_unconfirmed else "only names that people have confirmed",
        n=n_occasions, gaps="occasions, too" if wishes.all_periods else "no occasions",
        identities=IDENTITIES_LINE if wishes.with_unconfirmed else "",
    )  # fmt: skip
    return text.encode()


def _notes(every: Sequence[Row], counted: Sequence[Row]) -> list[str]:
    notes = without(every, "taken_on", "{n} sightings have no date and are left out ({items}).")
    unsure = sum(row["certainty"] != CONFIRMED for row in every)
    if any(row["certainty"] != CONFIRMED for row in counted):
        decided = sum(row["certainty"] == DECIDED for row in counted)
        notes.append(
            f"The histories hold unconfirmed answers of the program ({decided} decided); captures.csv says which."
        )
    elif unsure:
        notes.append(f"{unsure} sightings that no person has confirmed are left out; --with-unconfirmed takes them in.")
    return notes
