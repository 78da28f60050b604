"""`resight verify`: reads everything that a workspace keeps, and says what is whole, what is damaged and what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.errors import DamagedError, WorkspaceError
from resight.extract import damage as shards
from resight.extract import store as features
from resight.run.copies import copies_of_run, copy_again, identity
from resight.run.looks import (
    Look,
    look_at_crop,
    look_at_current,
    look_at_index,
    look_at_json,
    look_at_parts,
    look_at_table,
    missing,
    raising,
)
from resight.run.models import current_model, load_again
from resight.run.usage import missing_calibration
from resight.runner.progress import track
from resight.segment.rows import PART_SCHEMA
from resight.shortlist.store import INDEX_FILE
from resight.store import digests, sealed
from resight.store.damage import MISSING, QUARANTINE, set_aside
from resight.store.generations import OF_ACCURACY, POINTER, Generation, broken_manifest, current_generation
from resight.store.listing import matching
from resight.store.selective import read_columns
from resight.store.table_files import NO_PART, PART, named_files, parts_in, strange_parts, table_of
from resight.store.workspace import Workspace

AGAIN, LOST = "again", "lost"
THEN = {
    "ingest": "the photos are read again; first nights come from the newest accepted run",
    "segment": "it is cut again",
    "extract": "its features are computed again",
    "embed": "its crops are embedded again",
    "match": "its pairs are matched again",
    "calibration": "the next night with the same gallery makes it again; until then runs that used it lack their calibration pairs",
    "shortlist": "it is built anew",
    "current": "it is copied again from its run",
    "current run": "it is copied from current/",
    "no part": "it is moved out of that folder",
    "manifest": "it is made again from the tables beside it",
}
OF_WHAT = "parts of two tables lie in that folder; move those of the other one out of it"
LOST_OF_RUN = "this table of the run is lost for good; a backup may have it"


@dataclass(frozen=True)
class Item:
    """Something to look at.

    Attributes:
        stage: Folder under ``store``, or ``runs``, ``current``, ``models``.
        path: File or folder.
        look: True where it proves that it is whole, False where it was read without a digest; raises `DamagedError`.
        repair: Moves it out of the way or puts it back; False where the next run makes it again and nothing is to be
            done before. None where nothing can.
        then: What follows from damage.
    """

    stage: str
    path: Path
    look: Look
    repair: Callable[[DamagedError], object] | None
    then: str


def verify(workspace: Workspace, *, repair: bool = False, quiet: bool = True) -> dict[str, Any]:
    """Read all parts, shards, crops, runs, current tables and models.

    Args:
        repair: Set aside what can be computed again, and copy back what lies elsewhere; takes the workspace's lock.
        quiet: Show no progress.

    Returns:
        ``ok`` (nothing is damaged or lost, or all of it was repaired), ``stages`` (counts by stage), ``damaged`` (``path``,
        ``stage``, ``why``, ``fate``: ``again`` or ``lost``, ``then``), ``repaired``, how many, and ``repair`` as given.

    Raises:
        WorkspaceError: Another run is at work, where something is to be repaired.
    """
    if repair:
        with workspace.lock():
            return _verify(workspace, True, quiet)
    return _verify(workspace, False, quiet)


def _verify(workspace: Workspace, repair: bool, quiet: bool) -> dict[str, Any]:
    sealed.forget()
    digests.forget()
    shards.forget()
    items = list(_items(workspace))
    stages: dict[str, dict[str, int]] = {}
    damaged: list[dict[str, Any]] = []
    with track("verify", "files", len(items), quiet) as tracker:
        for item in items:
            counts = stages.setdefault(item.stage, {"whole": 0, "without_digest": 0, "damaged": 0, "missing": 0})
            try:
                counts["whole" if item.look() else "without_digest"] += 1
            except DamagedError as damage:
                counts["missing" if damage.why == MISSING else "damaged"] += 1
                damaged.append(_row(workspace, item, damage, repair))
            except FileNotFoundError:
                pass  # a run beside this one has put it elsewhere since it was listed
            tracker.advance(1)
    n_repaired = sum(row["repaired"] for row in damaged)
    wrong = any(not row["repaired"] and (row["why"] != MISSING or row["fate"] == LOST) for row in damaged)
    return {"ok": not wrong, "stages": stages, "damaged": damaged, "repaired": n_repaired, "repair": repair}


def _row(workspace: Workspace, item: Item, damage: DamagedError, repair: bool) -> dict[str, Any]:
    repaired = lost = False
    if repair and item.repair:
        try:
            repaired = item.repair(damage) is not False
        except DamagedError:  # what it would be made again from is damaged too
            lost = True
    return {
        "path": workspace.relative(damage.path),
        "stage": item.stage,
        "why": damage.why,
        "fate": AGAIN if item.repair and not lost else LOST,
        "then": item.then,
        "repaired": repaired,
    }


def _items(workspace: Workspace) -> Iterator[Item]:
    broken = broken_manifest(workspace)
    if broken:  # what it names is looked at when it is whole again
        yield Item("current", broken.path, raising(broken), lambda _: _manifest_again(workspace), THEN["manifest"])
    generation = None if broken else current_generation(workspace)
    yield from _models(workspace)
    yield from _runs(workspace, generation)
    yield from _current(generation)
    for folder in (workspace.store, workspace.runs, workspace.models, workspace.generations):
        if folder.is_file():
            yield _no_folder(folder.name, folder, None, "move that file away, and put the folder back from a backup")
    for folder in matching(workspace.store, "[!.]*"):
        if folder.is_file() and (then := THEN.get(folder.name)):
            yield _no_folder(folder.name, folder, _aside(then), then)
        elif folder.is_dir() and folder.name != QUARANTINE:
            yield from _stage(workspace, folder)
    for path in missing_calibration(workspace):
        yield Item("calibration", path, missing(path), _aside(THEN["calibration"]), THEN["calibration"])


def _no_folder(stage: str, path: Path, repair: Callable[[DamagedError], object] | None, then: str) -> Item:
    return Item(stage, path, raising(DamagedError(path, "it is a file where a folder was")), repair, then)


def _stage(workspace: Workspace, folder: Path) -> Iterator[Item]:
    """Parts, JSON files, crops, batches of features and indexes of one stage."""
    stage, then = folder.name, THEN.get(folder.name, "it is computed again")
    indexes = {file.parent for file in matching(folder, f"*/*/{INDEX_FILE}")}
    for path in matching(folder, "*/*.zarr"):
        yield from _batch(path)
    for path in sorted(folder.rglob("[!.]*")):
        inside = path.parent in indexes or any(parent.suffix in (".zarr", ".marks") for parent in path.parents)
        if inside or not path.is_file():
            continue
        if path.suffix == ".parquet":
            yield Item(stage, path, look_at_table(path), _aside(then), then)
            if stage == "segment":
                yield from _missing_crops(workspace, path)
        elif path.suffix == ".json":
            yield Item(stage, path, look_at_json(path), _aside(then), then)
        elif path.suffix == ".png":
            yield Item(stage, path, look_at_crop(path), _aside(then), then)
    for path in sorted(indexes):
        yield Item(stage, path, look_at_index(path), _aside(then, path), then)


def _batch(folder: Path) -> Iterator[Item]:
    """The shards of a batch; of one that waits to be finished, nothing."""
    if not features.is_complete(folder):
        return
    then = THEN["extract"]

    def opened() -> bool:
        features.open_complete(folder)
        return True

    yield Item("extract", folder, opened, _aside(then, folder), then)
    try:
        group = features.open_complete(folder)
        places = features.layout_of(group).shards()
    except WorkspaceError:
        return
    for start, stop in places:

        def look(start: int = start, stop: int = stop) -> bool:
            if features.is_complete(folder):
                _, damaged = shards.look_at_shard(folder, group, start, stop)
                for name, why in damaged.items():
                    raise DamagedError(features.chunk_path(folder, name, start), why)
            return True

        def reopen(_: DamagedError, start: int = start, stop: int = stop) -> None:
            with suppress(DamagedError):
                shards.read_shard(folder, shards.open_whole(folder), start, stop)

        yield Item("extract", folder, look, reopen, then)


def _missing_crops(workspace: Workspace, part: Path) -> Iterator[Item]:
    """Crops that a part names and that are not there."""
    with suppress(DamagedError, FileNotFoundError):
        for path in read_columns(part, pa.schema([PART_SCHEMA.field("path")]))["path"].to_pylist():
            file = workspace.root / path if path else None
            if file and not file.exists():
                yield Item("segment", file, missing(file), _aside(THEN["segment"]), THEN["segment"])


def _runs(workspace: Workspace, generation: Generation | None) -> Iterator[Item]:
    """Tables of runs. A file that is damaged comes back from the generation that holds a copy of it; else it is lost."""
    copies = copies_of_run(generation)
    for folder in matching(workspace.runs, "[!.]*"):
        if not (folder / "runs.parquet").exists():
            yield Item(
                "runs", folder / "runs.parquet", missing(folder / "runs.parquet"), None, "the run is lost for good"
            )
        for table in matching(folder, "*.parquet"):
            files, damages = parts_in(table) if table.is_dir() else ([table], [])
            looks: list[tuple[Path, Look]] = [(file, look_at_table(file)) for file in files]
            looks += [(damage.path, raising(damage)) for damage in damages]
            strange = {damage.path for damage in damages if damage.why == NO_PART}
            for file, look in looks:
                copy = copies.get(identity(file) or file)
                repair: Callable[[DamagedError], object] | None = partial(copy_again, copy) if copy else None
                then = THEN["current run"] if copy else LOST_OF_RUN
                if file in strange:
                    is_part = PART.fullmatch(file.name) is not None  # but of what? Only people know
                    repair, then = (None, OF_WHAT) if is_part else (_aside(THEN["no part"]), THEN["no part"])
                yield Item("runs", file, look, repair, then)
            if table.is_dir() and not damages:
                yield Item("runs", table, look_at_parts(table), None, LOST_OF_RUN)


def _current(generation: Generation | None) -> Iterator[Item]:
    """Files of the current generation, which come back from their runs; its manifest is made again from its tables."""
    if generation is None or generation.folder.parent == generation.workspace.runs:
        return
    names = set(generation.files) or {f"{name}.parquet" for name in generation.tables}
    if not generation.files:  # of before: what the run has and ``current`` lacks
        run = generation.workspace.runs / (generation.run_id or "")
        names |= {name for name in named_files(run) if table_of(name)} if generation.run_id else set()
    for name in sorted(names):
        there, remade = generation.origin(name) is not None, name in OF_ACCURACY
        then = THEN["current"] if there else "`resight accuracy` writes it again" if remade else "it is lost"
        repair = generation.repair if there else _aside(then) if remade else None
        yield Item("current", generation.folder / name, look_at_current(generation, name), repair, then)
    for strange in strange_parts(generation.folder, generation.files):
        yield Item("current", strange.path, raising(strange), _aside(THEN["no part"]), THEN["no part"])


def _manifest_again(workspace: Workspace) -> None:
    current_generation(workspace)


def _models(workspace: Workspace) -> Iterator[Item]:
    """Registered models and fusions; a model comes back from a run that was made with it."""
    if not workspace.models.exists():
        return
    for file in sorted(workspace.models.rglob("*.json")):
        if file.parent != workspace.models:
            yield Item(
                "models",
                file,
                look_at_json(file),
                None,
                "what was accepted is lost for good; put it back from a backup",
            )
            continue

        def again(damage: DamagedError) -> None:
            set_aside(damage, "it is made again from a run, where one was made with it")
            load_again(workspace, damage.path.stem)
            current_model(workspace)

        if file.name != POINTER:
            yield Item("models", file, look_at_json(file), again, "it is made again from the newest run with it")


def _aside(then: str, path: Path | None = None) -> Callable[[DamagedError], bool]:
    """Moves a file away, or the folder ``path`` that it belongs to; False where there is nothing to move."""

    def move(damage: DamagedError) -> bool:
        whole = path or damage.path
        if not whole.exists():
            return False
        why = damage.why if whole == damage.path else f"{damage.path.relative_to(whole)}: {damage.why}"
        set_aside(DamagedError(whole, why), then)
        return True

    return move
