"""Publishing: the next generation is written whole, and becomes current in one step.

That step is the only commit: tables, the log of identities (table ``provisional``), the accepted model and the accuracy tables
change together or not at all. It is the rename that replaces the link ``current``, or where no links can be made the file
that names the generation.
"""

from __future__ import annotations

import errno
import math
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from resight.catalog import TABLES
from resight.errors import DamagedError
from resight.store import sealed
from resight.store.damage import MISSING, set_aside
from resight.store.digests import agrees, digest_of
from resight.store.durable import (
    copy_whole,
    link_or_copy,
    make_folder,
    protect_tree,
    put_in_place,
    remove_tree,
    sync_folder,
    sync_tree,
)
from resight.store.generations import (
    ACCURACY_FILE,
    MANIFEST,
    MEASURED,
    OF_ACCURACY,
    POINTER,
    Generation,
    current_generation,
    generation_folders,
    highest_number,
)
from resight.store.listing import matching
from resight.store.pages import copy_to_current, digest_as_current
from resight.store.sheets import is_sheet
from resight.store.table_files import named_files, table_of, whole_files
from resight.store.tables import empty_table, write_table
from resight.store.workspace import Workspace

STAGING, BEFORE, LINK = ".staging-", ".before-", ".link-"
KEPT_BEFORE = 2  # generations before the current one that stay whatever their age
KEPT_FOR_S = 3600.0  # how long any generation stays after it was replaced
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
OURS = {MANIFEST, "report.html", ACCURACY_FILE, *(f"{table.name}.parquet" for table in TABLES)}
LOST = "no run has a copy; put it back from a backup, or run `resight nightly` for tables of its own"


def _is_ours(name: str) -> bool:
    return name in OURS or is_sheet(name, "report")


def publish_generation(
    workspace: Workspace, *, run_id: str | None = None, accuracy_run_id: str | None = None, model: str | None = None
) -> Generation:
    """Make a run's tables, the accuracy tables of another one, or a model current; what is not given stays as it is.

    Call it with the workspace locked. Whoever is killed in it leaves what was current before or what is current now, and
    calling it again ends the same.

    Raises:
        DamagedError: A file of a run, or one that stays current, is not whole.
    """
    before = current_generation(workspace)
    wanted = _next(workspace, before, run_id, accuracy_run_id, model)
    sources = _identifications(wanted, before, run_id) | _accuracy(wanted, before, accuracy_run_id)
    is_current = before is not None and _is_the_same(before, wanted, sources)
    generation = before if before is not None and is_current else _write(wanted, sources, _copies(before))
    _switch(generation)
    _clear(generation)
    return generation


def _next(
    workspace: Workspace, before: Generation | None, run_id: str | None, accuracy: str | None, model: str | None
) -> Generation:
    """The generation to be written, still without its files."""
    number = highest_number(workspace) + 1
    folder, now = workspace.generations / f"{number:06d}", datetime.now(UTC).isoformat(timespec="seconds")
    if before is not None:
        run_id, accuracy, model = run_id or before.run_id, accuracy or before.accuracy_run_id, model or before.model
    return Generation(workspace, folder, number, run_id, accuracy, model, {}, now)


def _identifications(wanted: Generation, before: Generation | None, run_id: str | None) -> dict[str, Path | None]:
    """Where the tables and pages of the identifications are copied from, by name."""
    if run_id is not None:
        files = whole_files(wanted.workspace.runs / run_id)
        return {name: file for name, file in files.items() if name not in {*OF_ACCURACY, MANIFEST}}
    names = [name for name in _names(before) if name not in OF_ACCURACY]
    return {name: _whole_copy(before, name) for name in names} if before is not None else {}


def _accuracy(wanted: Generation, before: Generation | None, run_id: str | None) -> dict[str, Path | None]:
    """The same of the accuracy tables. One that the run lacks is empty, so that no reader joins it with an earlier run's."""
    if run_id is not None:
        empty: dict[str, Path | None] = {f"{name}.parquet": None for name in MEASURED}
        found = {n: file for n, file in _files(wanted.workspace.runs / run_id).items() if n in OF_ACCURACY}
        for name in filter(table_of, found):
            sealed.check(found[name])
        return empty | found
    sources: dict[str, Path | None] = {}
    for name in sorted(OF_ACCURACY.intersection(_names(before))):
        if before is not None:
            try:
                sources[name] = _whole_copy(before, name)
            except DamagedError as damage:
                was_empty = _has_no_rows(before, name)
                then = "it has no rows" if was_empty else "`resight accuracy` writes it again"
                set_aside(damage, then)
                sources |= {name: None} if was_empty else {}
    return sources


def _has_no_rows(before: Generation, name: str) -> bool:
    """Whether a table was written empty because the run that measured accuracy has none of that name."""
    folder = before.workspace.runs / (before.accuracy_run_id or "")
    return before.accuracy_run_id is not None and folder.is_dir() and not (folder / name).exists()


def _files(folder: Path) -> dict[str, Path]:
    return {name: file for name, file in named_files(folder).items() if name != MANIFEST}


def _names(before: Generation | None) -> list[str]:
    if before is None:
        return []
    return sorted(before.files or _files(before.folder))


def _whole_copy(before: Generation, name: str) -> Path:
    """A copy of what stays current, from the generation before or from its run, whichever is whole."""
    damage = DamagedError(before.folder / name, sealed.DIFFERS)
    for file in (before.folder / name, before.origin(name)):
        try:
            if file is not None and _is_what_was(file, before.files.get(name)):
                return file
        except FileNotFoundError:
            damage = DamagedError(before.folder / name, MISSING)
        except DamagedError as error:
            damage = error
    raise DamagedError(before.folder / name, damage.why, LOST)


def _is_what_was(file: Path, digest: str | None) -> bool:
    """Whether a file has that digest, or where none was written down, is whole."""
    if digest is None and file.suffix == ".parquet":
        sealed.check(file)
        sealed.read(file, pq.read_schema)
    return digest is None or _digest(file) == digest


def _is_the_same(before: Generation, wanted: Generation, sources: Mapping[str, Path | None]) -> bool:
    """Whether all that is wanted is current, whole."""
    alike = all(getattr(before, name) == getattr(wanted, name) for name in ("run_id", "accuracy_run_id", "model"))
    if not (alike and before.number and sources.keys() == before.files.keys()):
        return False
    here = {name: before.folder / name for name in before.files}
    return all(
        file.exists() and before.files[name] == digest_of(file) and _digest(sources[name] or file) == digest_of(file)
        for name, file in here.items()
    )


def _copies(before: Generation | None) -> dict[str, Path]:
    """Parts of tables in the generation before, by their digest."""
    if before is None or before.folder.parent != before.workspace.generations:
        return {}  # a run, of whose files this is to have copies, or what people may write to
    return {digest: before.folder / name for name, digest in before.files.items() if "/" in name}


def _write(wanted: Generation, sources: Mapping[str, Path | None], copies: Mapping[str, Path]) -> Generation:
    """Copy everything into a folder of its own, and put that in its place, whole and on the disk.

    Args:
        wanted: The generation, still without its files.
        sources: What to copy, by name.
        copies: Of which the generation before has copies: they are taken over, so that there are two of each for good, that of the
            runs and that of the generations.
    """
    make_folder(wanted.folder.parent)
    staging = wanted.folder.parent / f"{STAGING}{uuid.uuid4().hex[:12]}"
    staging.mkdir()
    try:
        for name, source in sources.items():
            (staging / name).parent.mkdir(exist_ok=True)
            if source is None:
                write_table(staging, name.removesuffix(".parquet"), empty_table(name.removesuffix(".parquet")))
            elif "/" not in name or not _taken_over(copies.get(digest_of(source)), staging / name, digest_of(source)):
                copy_to_current(source, staging / name)
        written = replace(wanted, files={name: digest_of(staging / name) for name in sorted(sources)})
        for name, source in sources.items():
            if source is not None and written.files[name] != _digest(source):
                raise DamagedError(source, "it was not copied as it is", "run the command again")
        sealed.write_json(staging / MANIFEST, written.manifest())
        sync_tree(staging)
        protect_tree(staging)
        put_in_place(staging, wanted.folder)
    finally:
        remove_tree(staging)
    return written


def _taken_over(copy: Path | None, target: Path, digest: str) -> bool:
    """Give a file of the generation before a second name in the next one, if it is what was written there."""
    if copy is None or not agrees(copy, digest):
        return False
    try:
        link_or_copy(copy, target)
    except FileNotFoundError:
        return False
    return True


def _digest(source: Path) -> str:
    """Of what a file is in a generation."""
    return digest_as_current(source, digest_of(source))


def _switch(generation: Generation) -> None:
    """Make it current, and then show it to people where that is not the same."""
    place = generation.workspace
    if generation.folder == place.current:
        return  # it is there itself, where copying a workspace has made a folder of the link
    link = place.generations / f"{LINK}{uuid.uuid4().hex[:12]}"
    if os.name == "nt" or not _linked(link, generation.folder.relative_to(place.root)):
        _point(generation)
        return
    if place.current.is_dir() and not place.current.is_symlink():
        _name(generation)  # the commit: no rename puts a link in the place of a folder
        put_in_place(place.current, place.generations / f"{BEFORE}{uuid.uuid4().hex[:12]}")
    put_in_place(link, place.current)


def _linked(link: Path, target: Path) -> bool:
    """Make a link; False where the file system has none."""
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        if error.errno not in NO_LINKS:
            error.filename = str(link)  # of the two it names the relative one
            raise
        return False
    return True


def _name(generation: Generation) -> None:
    """Write which generation is current into the pointer."""
    values = {"generation": generation.folder.name, "number": generation.number}
    sealed.write_json(generation.workspace.generations / POINTER, values)


def _point(generation: Generation) -> None:
    """Where there are no links: the pointer is the commit, and copies in ``current`` follow it one by one."""
    current = generation.workspace.current
    _name(generation)
    if current.is_symlink():
        current.unlink()
    make_folder(current)
    for left_over in [*matching(current, ".*.tmp"), *matching(current, "*/.*.tmp")]:  # of a copy that was killed
        left_over.unlink()
    for table in {name.partition("/")[0] for name in generation.files if "/" in name}:
        _follow(generation, table)
    for name in (MANIFEST, *(name for name in generation.files if "/" not in name)):
        if (current / name).is_dir():
            remove_tree(current / name)
        copy_whole(generation.folder / name, current / name)
    for name, file in _files(current).items():
        if _is_ours(name.partition("/")[0]) and name not in generation.files:
            file.unlink()
    sync_folder(current)


def _follow(generation: Generation, table: str) -> None:
    """Bring the copies of a table's parts in ``current`` to what the generation has; those that are there are not copied again."""
    folder = generation.workspace.current / table
    if folder.is_file():
        folder.unlink()
    make_folder(folder)
    wanted = {
        name.partition("/")[2]: digest for name, digest in generation.files.items() if name.startswith(f"{table}/")
    }
    there = {digest_of(file): file for file in matching(folder, "[!.]*") if file.is_file()}
    moved = {name: folder / f".{name}.{uuid.uuid4().hex}.tmp" for name, digest in wanted.items() if digest in there}
    for name, temporary in moved.items():
        there[wanted[name]].rename(temporary)
    for file in matching(folder, "[!.]*"):
        file.unlink()
    for name in wanted:
        if name in moved:
            put_in_place(moved[name], folder / name)
        else:
            copy_whole(generation.folder / table / name, folder / name)


def _clear(generation: Generation) -> None:
    """Remove what has no use any more: leftovers, the model's name of before, generations that nobody reads."""
    place = generation.workspace
    if generation.number and place.current.is_symlink():
        (place.generations / POINTER).unlink(missing_ok=True)
    if generation.number:
        (place.models / POINTER).unlink(missing_ok=True)
    for left_over in matching(place.generations, ".*"):
        with suppress(OSError):  # what is in use goes next time; the new generation is current already
            _clear_left_over(place, left_over)
    for folder in _without_use(generation):
        remove_tree(folder)


def _clear_left_over(place: Workspace, left_over: Path) -> None:
    if left_over.is_symlink() or left_over.is_file():
        left_over.unlink()
    elif left_over.name.startswith(BEFORE) and any(not _is_ours(file.name) for file in left_over.iterdir()):
        left_over.rename(place.root / f"current-until-{date.today()}-{left_over.name.removeprefix(BEFORE)}")
    else:
        remove_tree(left_over)


def _without_use(generation: Generation) -> list[Path]:
    """Generations that were replaced long ago, and those that a killed publication has left without making them current."""
    folders = generation_folders(generation.workspace)
    now = time.time()
    replaced = {old: (new / MANIFEST) for old, new in pairwise(folders)}
    old = [folder for folder in folders if int(folder.name) < generation.number][: -KEPT_BEFORE or None]
    gone = [folder for folder in old if _age(replaced[folder], now) > KEPT_FOR_S]
    return gone + [folder for folder in folders if int(folder.name) > generation.number]


def _age(file: Path, now: float) -> float:
    """Seconds since a file was written; without end where it is not there."""
    try:
        return now - file.stat().st_mtime
    except FileNotFoundError:
        return math.inf
