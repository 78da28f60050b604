"""The files of a table: one, or a folder of parts that together hold its rows.

``pairs.parquet/part-1-of-3.parquet``: each name says how many parts there are, so that no reader takes some for all, and the folder
has the table's name, so that whoever reads "pairs.parquet" with a tool that knows folders of Parquet files reads all of it.
`store.table_parts` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Set
from pathlib import Path

from resight.errors import DamagedError
from resight.store import sealed
from resight.store.damage import MISSING
from resight.store.listing import matching

PART = re.compile(r"part-([1-9]\d*)-of-([1-9]\d*)\.parquet")
ENDING = ".parquet"
NO_PART = "the folder's other files do not count it as a part"
MOVE_IT = "move it out of that folder"


def part_name(number: int, of: int) -> str:
    """Name of the file of a part, the first of which has the number 1."""
    return f"part-{number}-of-{of}{ENDING}"


def files_of(table: Path) -> list[Path]:
    """The files with a table's rows, in order: itself, whether it is there or not, or all parts of the folder of its name.

    Raises:
        DamagedError: A part is missing, or a file among them is none of them.
    """
    if not table.is_dir():
        return [table]
    parts, damages = parts_in(table)
    if damages:
        raise damages[0]
    return parts


def parts_in(folder: Path) -> tuple[list[Path], list[DamagedError]]:
    """The parts that are there, in order, and what is wrong: parts that are missing, and files that are none."""
    places: dict[Path, tuple[int, int]] = {}
    for file in matching(folder, f"[!.]*{ENDING}"):
        found = PART.fullmatch(file.name)
        places[file] = (int(found[1]), int(found[2])) if found else (0, 0)
    of = _number_of_parts({*places.values()})
    parts = sorted((number, file) for file, (number, total) in places.items() if total == of and 0 < number <= of)
    there = {number for number, _ in parts}
    gone = [folder / part_name(number, of) for number in range(1, of + 1) if number not in there]
    damages = [DamagedError(file, MISSING) for file in gone or ([] if of else [folder / part_name(1, 1)])]
    others = sorted(places.keys() - {file for _, file in parts})
    return [file for _, file in parts], [*damages, *(DamagedError(file, NO_PART, MOVE_IT) for file in others)]


def _number_of_parts(places: Set[tuple[int, int]]) -> int:
    """How many parts there are, by numbers of parts and totals in their names: the one total of which all are there, else the largest."""
    totals = {total for _, total in places if total}
    complete = [total for total in totals if all((number, total) in places for number in range(1, total + 1))]
    return complete[0] if len(complete) == 1 else max(totals, default=0)


def named_files(folder: Path) -> dict[str, Path]:
    """What lies in the folder of a run or of a generation, by name; parts of tables as ``pairs.parquet/part-1-of-3.parquet``."""
    return {file.relative_to(folder).as_posix(): file for file in _files(folder)}


def whole_files(folder: Path) -> dict[str, Path]:
    """`named_files` of a folder in which no table lacks a part, and all that prove that they are whole are.

    Raises:
        DamagedError: One is not, or a file among the parts of a table is none.
    """
    for table in matching(folder, f"[!.]*{ENDING}"):
        for file in files_of(table):
            sealed.check(file)
    return named_files(folder)


def strange_parts(folder: Path, known: Collection[str]) -> list[DamagedError]:
    """Files among the parts of tables that are not those ``known``: others would read their rows as rows of the table. None where nothing is known."""
    names = [name for name in named_files(folder) if "/" in name and name not in known] if known else []
    return [DamagedError(folder / name, NO_PART, MOVE_IT) for name in names]


def table_of(name: str) -> str:
    """Name of the table that a file of that name (see `named_files`) belongs to; of other files ''."""
    first = name.partition("/")[0]
    return first.removesuffix(ENDING) if first.endswith(ENDING) else ""


def _files(folder: Path) -> Iterator[Path]:
    for file in matching(folder, "[!.]*"):
        if file.is_file():
            yield file
        elif file.suffix == ENDING and file.is_dir():
            yield from (part for part in matching(file, f"[!.]*{ENDING}") if part.is_file())
