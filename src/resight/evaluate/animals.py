"""Which animals a training may see and which judge it: dealt once, by a hash of their names, and kept in a file."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Iterable
from enum import StrEnum
from pathlib import Path

from resight.errors import SettingsError
from resight.store.parts import write_bytes

COLUMNS = ("individual_id", "part")
TRAINING_SHARE = 200 / 262


class Part(StrEnum):
    """What an animal is there for."""

    TRAINING = "training"
    VALIDATION = "validation"
    UNTOUCHED = "untouched"


def part_of(individual_id: str, share: float = TRAINING_SHARE) -> Part:
    """Training where the first eight hex digits of the SHA-256 of the name, as a share of 2^32, lie below ``share``; else
    validation. The same for ever, whatever other animals there are."""
    return Part.TRAINING if _place(individual_id) < share else Part.VALIDATION


def _place(individual_id: str) -> float:
    return int(hashlib.sha256(individual_id.encode()).hexdigest()[:8], 16) / 2**32


def deal(
    animals: Iterable[str], untouched: Collection[str] = (), share: float = TRAINING_SHARE, fewest: int = 0
) -> dict[str, Part]:
    """Part by animal, sorted by name.

    Args:
        animals: Names.
        untouched: Those that neither train nor choose, so that they can measure.
        share: Of the others, about this share trains.
        fewest: Where the hash leaves fewer of them to validate, those with the highest places do too.

    Raises:
        SettingsError: An untouched one is not among them.
    """
    names = sorted(set(animals))
    missing = sorted(set(untouched) - set(names))
    if missing:
        raise SettingsError(f"There is no animal '{missing[0]}' to leave out; correct the name.")
    parts = {name: Part.UNTOUCHED if name in untouched else part_of(name, share) for name in names}
    for name in sorted((n for n in names if n not in untouched), key=_place)[-fewest:] if fewest else ():
        parts[name] = Part.VALIDATION
    return parts


def write_parts(path: Path, parts: dict[str, Part]) -> None:
    """A CSV file with the columns ``individual_id, part``."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((name, part.value) for name, part in parts.items())
    write_bytes(path, text.getvalue().encode())


def read_animals(path: Path, part: Part) -> frozenset[str]:
    """The animals of a file: of a CSV file with a column ``part`` those of that part, otherwise all of ``individual_id``.

    Raises:
        SettingsError: The file is missing, is no such file, or names nobody of that part.
    """
    rows = _rows(path, f"give a CSV file with the columns {' and '.join(COLUMNS)}, as `resight train split` writes it")
    names = frozenset(_name(r) for r in rows if COLUMNS[1] not in r or (r[COLUMNS[1]] or "").strip() == part) - {""}
    if not names:
        raise SettingsError(f"{path} names no animal for {part.value}; `resight train split` writes such a file.")
    return names


def named_animals(folder: Path) -> list[str]:
    """Everybody whom the ``metadata.csv`` of a labelled folder names, sorted.

    Raises:
        SettingsError: There is no such file, or it names nobody.
    """
    path = folder / "metadata.csv"
    names = {_name(row) for row in _rows(path, "give a folder whose metadata.csv names the animals")} - {""}
    if not names:
        raise SettingsError(f"{path} names no animal; fill its column {COLUMNS[0]}.")
    return sorted(names)


def _rows(path: Path, cure: str) -> list[dict[str, str | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[dict[str, str | None]] = list(csv.DictReader(file))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror or error}); {cure}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path} is no CSV file ({error}); {cure}.") from None
    if rows and COLUMNS[0] not in rows[0]:
        raise SettingsError(f"{path} has no column {COLUMNS[0]}; {cure}.")
    return rows


def _name(row: dict[str, str | None]) -> str:
    return (row[COLUMNS[0]] or "").strip()
