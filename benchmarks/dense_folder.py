"""A folder for `resight compare` at the density of a catalogue, out of a large labelled folder of head crops.

    resight train split heads --leave-out t001 … --out animals.csv
    python benchmarks/dense_folder.py --data heads --animals animals.csv --out build/dense

Comparing every photo of thousands takes days for the slow methods, so a few stand for all: of each animal the earlier half of its days is the
gallery, with the first ``--gallery-photos`` of each side; of the animals of one part of the list the first ``--photos`` of each later encounter
ask. First is meant in the order of digests of the files' names, so that nobody chooses. ``--sides left right`` leaves out photos of other sides, which are
compared with more of the gallery. ``--small 12`` makes a small folder instead, of twelve of the animals that ask and nobody else; ``--skip 12`` of the
next twelve. Photos are not copied: the folder holds links to them, and a metadata.csv that says which is what.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date
from pathlib import Path, PurePosixPath

import pyarrow as pa

from resight.errors import ResightError, SettingsError
from resight.evaluate.animals import Part, read_animals
from resight.evaluate.protocol import TIME_AWARE, split
from resight.wording import counted

COLUMNS = ("file", "individual_id", "taken_at", "encounter_id", "viewpoint")
METHODS = (
    "sift-nearest-magsac",
    "sift-lnbnn",
    "sift-lightglue-turtle",
    "sift-lightglue-turtle-2",
    "resight",
    "resight-fused",
    "embedding",
)
FIRST_DAY = "1970-01-01"  # photos without a date take no part in the split, and are no fault
LEAST = {"gallery_photos": 1, "photos": 1, "small": 0, "skip": 0}
Row = dict[str, str]


def chosen(
    rows: Sequence[Row], asking: Collection[str], gallery_photos: int, photos: int, sides: Collection[str] = ()
) -> list[Row]:
    """The rows that take part, with their ``role``; in the order of their files.

    Args:
        rows: With `COLUMNS`.
        asking: Animals whose later encounters ask.
        gallery_photos: Of each animal and side.
        photos: Of each encounter that asks.
        sides: Photos of other sides take no part; all do if there are none.
    """
    parts = split(_as_photos(rows), protocol=TIME_AWARE)
    shown = [r for r in rows if not sides or r["viewpoint"] in sides]
    known = [r for r in shown if r["encounter_id"] in parts.gallery_encounters]
    later = [r for r in shown if r["encounter_id"] in parts.query_encounters and r["individual_id"] in asking]
    gallery = _first(known, lambda r: (r["individual_id"], r["viewpoint"]), gallery_photos)
    queries = _first(later, lambda r: (r["encounter_id"],), photos)
    taking_part = [r | {"role": role} for role, some in (("gallery", gallery), ("query", queries)) for r in some]
    return sorted(taking_part, key=lambda r: r["file"])


def of_few(rows: Sequence[Row], asking: Collection[str], n: int, skip: int) -> list[Row]:
    """The rows of ``n`` animals that ask and were met again, in the order of digests of their names, without the first ``skip``.

    Raises:
        SettingsError: There are not so many.
    """
    again = split(_as_photos(rows), protocol=TIME_AWARE).query_encounters
    names = sorted(
        {r["individual_id"] for r in rows if r["encounter_id"] in again and r["individual_id"] in asking}, key=_digest
    )
    if len(names) < skip + n:
        raise SettingsError(f"{counted(len(names), 'animal')} can ask; give a smaller --small or --skip.")
    some = {*names[skip : skip + n]}
    return [r for r in rows if r["individual_id"] in some]


def read_rows(data: Path) -> list[Row]:
    """The labelled rows of ``metadata.csv``.

    Raises:
        SettingsError: There is none, or it lacks a column.
    """
    file = data / "metadata.csv"
    if not file.is_file():
        raise SettingsError(f"There is no {file}; give a labelled folder with --data.")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from None
    with io.StringIO(text, newline="") as lines:
        table = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise SettingsError(f"{file} has no column {' and no column '.join(missing)}; add it.")
        rows = [{name: (r[name] or "").strip() for name in COLUMNS} for r in table]
    for number, row in enumerate(rows, 2):
        _check(row, f"{file}, line {number}")
    named = [row for row in rows if row["individual_id"]]
    twice = [name for name, n in Counter(row["file"] for row in named).items() if n > 1]
    if twice:
        raise SettingsError(f"{file} has several rows for {twice[0]}; leave one for each photo.")
    return named


def _check(row: Row, where: str) -> None:
    """Whether a named row can be used.

    Raises:
        SettingsError: It cannot; says why.
    """
    if not row["individual_id"]:
        return
    path = PurePosixPath(row["file"])
    if not row["file"] or path.is_absolute() or ".." in path.parts:
        raise SettingsError(f"{where}: {row['file']!r} is no photo inside the folder; write its path from there.")
    if not row["encounter_id"]:
        raise SettingsError(f"{where}: {row['file']} has no encounter_id; say which photos were taken together.")
    try:
        date.fromisoformat(row["taken_at"][:10] or FIRST_DAY)
    except ValueError:
        raise SettingsError(f"{where}: {row['taken_at']!r} is no date; write it as 2010-07-02.") from None


def write_folder(out: Path, data: Path, rows: Iterable[Row]) -> None:
    """Links to the photos under the paths that they have in ``data``, and their ``metadata.csv``.

    Raises:
        SettingsError: Something is there already, or a photo is missing.
    """
    if out.exists() and any(out.iterdir()):
        raise SettingsError(f"{out} is not empty; remove it, or give another folder with --out.")
    rows = list(rows)
    gone = [r["file"] for r in rows if not (data / r["file"]).is_file()]
    if gone:
        raise SettingsError(
            f"{len(gone)} photos of {data / 'metadata.csv'} are not there (first: {gone[0]}); correct its column file."
        )
    for row in rows:
        link = out / row["file"]
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((data / row["file"]).resolve())
    with (out / "metadata.csv").open("w", encoding="utf-8", newline="") as lines:
        table = csv.DictWriter(lines, (*COLUMNS, "role"), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def about(rows: Sequence[Row]) -> str:
    """How many photos of how many animals are there, and how many that ask can be right at all."""
    gallery, queries = ([r for r in rows if r["role"] == role] for role in ("gallery", "query"))
    shown = {(r["individual_id"], r["viewpoint"]) for r in gallery}
    fitting = sum((r["individual_id"], r["viewpoint"]) in shown for r in queries)
    return (
        f"{counted(len(gallery), 'gallery photo')} of {_animals(gallery)}; {counted(len(queries), 'photo')} of {_animals(queries)} ask, "
        f"{fitting} of them from a side that the gallery shows of their animal."
    )


def _animals(rows: Iterable[Row]) -> str:
    return counted(len({r["individual_id"] for r in rows}), "animal")


def _first(rows: Iterable[Row], of: Callable[[Row], tuple[str, ...]], most: int) -> list[Row]:
    """The first few of each group, by digests of the files' names."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda r: _digest(r["file"])):
        groups.setdefault(of(row), []).append(row)
    return [row for group in groups.values() for row in group[:most]]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _as_photos(rows: Sequence[Row]) -> pa.Table:
    """What `protocol.split` reads."""
    columns = {name: [r[name] for r in rows] for name in ("encounter_id", "individual_id")}
    days = [date.fromisoformat(r["taken_at"][:10]) if r["taken_at"] else None for r in rows]
    fixed = {"role": pa.nulls(len(rows), pa.string()), "status": ["ok"] * len(rows)}
    return pa.table(
        {"photo_id": [r["file"] for r in rows], "taken_on": pa.array(days, pa.date32()), **columns, **fixed}
    )


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "animals", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--part", choices=[p.value for p in Part], default=Part.VALIDATION.value, help="who asks")
    parser.add_argument("--gallery-photos", type=int, default=1, help="of each animal and side in the gallery")
    parser.add_argument("--photos", type=int, default=1, help="of each encounter that asks")
    parser.add_argument("--sides", nargs="+", default=(), help="as metadata.csv says them; all if not given")
    parser.add_argument(
        "--small", type=int, default=0, metavar="N", help="the folder holds so many animals that ask, and nobody else"
    )
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="animals that --small passes over")
    return parser


def _check_numbers(how: argparse.Namespace, rows: Iterable[Row]) -> None:
    """Whether numbers and sides can be meant.

    Raises:
        SettingsError: One cannot; says which.
    """
    for name, least in LEAST.items():
        if getattr(how, name) < least:
            raise SettingsError(f"--{name.replace('_', '-')} is {getattr(how, name)}; give at least {least}.")
    if how.skip and not how.small:
        raise SettingsError("--skip passes over animals of a small folder; give --small too.")
    sides = {row["viewpoint"] for row in rows}
    unknown = [side for side in how.sides if side not in sides]
    if unknown:
        raise SettingsError(
            f"{how.data / 'metadata.csv'} has no viewpoint {unknown[0]!r}; it has {', '.join(sorted(sides))}."
        )


def main(given: Sequence[str] | None = None) -> None:
    how = _arguments().parse_args(given)
    try:
        asking = read_animals(how.animals, Part(how.part))
        rows = read_rows(how.data)
        _check_numbers(how, rows)
        rows = of_few(rows, asking, how.small, how.skip) if how.small else rows
        rows = chosen(rows, asking, how.gallery_photos, how.photos, how.sides)
        if not any(r["role"] == "query" for r in rows):
            raise SettingsError(
                f"No animal of the part {how.part} of {how.animals} was met again in {how.data}; give another --part."
            )
        write_folder(how.out, how.data, rows)
    except (ResightError, ValueError) as error:
        raise SystemExit(str(error)) from None
    print(about(rows))
    workspace = how.out.with_name(f"{how.out.name}-workspace")
    command = [
        "resight",
        "compare",
        how.out,
        "--workspace",
        workspace,
        "--set",
        "segment.kind=whole",
        "--methods",
        ",".join(METHODS),
    ]
    print(f"Next: mkdir -p {shlex.quote(str(workspace))} && {shlex.join(map(str, command))}")


if __name__ == "__main__":
    main()
