"""Which files of runs can be put back from the generation that is current, and doing so."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from resight.errors import DamagedError
from resight.store import sealed
from resight.store.damage import set_aside
from resight.store.digests import digest_of
from resight.store.durable import copy_whole, make_folder
from resight.store.generations import OF_ACCURACY, Generation
from resight.store.listing import matching
from resight.store.selective import opened
from resight.store.table_files import ENDING, named_files, parts_in, table_of

Identity = tuple[int, int]


def copies_of_run(generation: Generation | None) -> dict[Identity | Path, Path]:
    """By file of the run that is current, the copy that is current, if that is whole. Runs that share the file share its copy."""
    found: dict[Identity | Path, Path] = {}
    if generation is None or generation.folder.parent == generation.workspace.runs:
        return found
    divided_otherwise = _divided_otherwise(generation)
    for name, copy in named_files(generation.folder).items():
        run_id = generation.accuracy_run_id if name in OF_ACCURACY else generation.run_id
        file = generation.workspace.runs / str(run_id) / name
        table = table_of(name)
        if run_id and table and table not in divided_otherwise and _is_of(generation, name, run_id):
            found[file] = found[identity(file) or file] = copy
    return found


def _divided_otherwise(generation: Generation) -> set[str]:
    """Tables whose parts have other rows in the run than those of the same names here: it was made again since they became current."""
    run, found = generation.workspace.runs / str(generation.run_id), set[str]()
    for table in (table for table in matching(run, f"[!.]*{ENDING}") if table.is_dir()):
        for file in parts_in(table)[0]:
            with suppress(DamagedError, FileNotFoundError):  # a run beside this one may have put it elsewhere
                if sealed.check(file) and generation.files.get(f"{table.name}/{file.name}") != digest_of(file):
                    found.add(table_of(table.name))
    return found


def identity(file: Path) -> Identity | None:
    """What the names of one file share; None where it has one alone, or is not there."""
    try:
        state = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (state.st_dev, state.st_ino) if state.st_nlink > 1 else None


def copy_again(copy: Path, damage: DamagedError) -> None:
    """Put a file of a run back from its copy, and what was there into the quarantine."""
    set_aside(damage, "it was copied again from current/")
    make_folder(damage.path.parent)
    copy_whole(copy, damage.path, read_only=True)


def _is_of(generation: Generation, name: str, run_id: str) -> bool:
    """Whether a current file is whole, and what this run has of that name."""
    file, digest = generation.folder / name, generation.files.get(name)
    try:
        if digest is not None:
            return digest_of(file) == digest
        return sealed.check(file) and run_id in opened(file).read(["run_id"])["run_id"].to_pylist()[:1]
    except (DamagedError, FileNotFoundError, KeyError):
        return False
