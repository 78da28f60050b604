"""What takes the space of a workspace, and what each piece of it is used by."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from resight.errors import DamagedError, ResightError
from resight.run.calibration import STAGE, used_by
from resight.run.learned import refers_to
from resight.run.models import Model, current_model, list_models, weights_of, with_model
from resight.run.names import stage_names
from resight.settings import Settings, settings_from
from resight.store.fingerprint import canonical_json
from resight.store.generations import Generation, current_generation, generation_folders, open_manifest, told_by_tables
from resight.store.listing import matching
from resight.store.runs import read_run, run_record
from resight.store.tables import read_table
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

# Stages whose folders are named after settings and weights, so that it can be told who uses them. What lies there can be
# computed again. First nights of photos, which cannot, lie in `ingest`.
NAMED_STAGES = ("segment", "extract", "embed", "match", "calibration", "halving", "evidence", "shortlist", "background")
NAME_COLUMNS = {
    "segment": ("crops", "segment_fingerprint"),
    "extract": ("features", "extract_fingerprint"),
    "match": ("pairs", "match_fingerprint"),
}
Place = tuple[str, str]


@dataclass(frozen=True)
class Item:
    """A piece of a workspace that stays or goes as a whole.

    Attributes:
        where: ``store``, ``runs``, ``generations``, ``models`` or ``quarantine``.
        stage: Folder under ``store``; the flow of a run; '' elsewhere.
        name: Of the folder.
        path: Where it lies.
        files: How many; after `counted_once` without those that another piece counts.
        bytes: Their sizes together; the same.
        linked: Sizes of those that have other names, maybe in other pieces: runs share the parts of tables that they have in common.
        written: When the newest of them was written, in seconds since 1970.
        used_by: Models and runs that need it.
    """

    where: str
    stage: str
    name: str
    path: Path
    files: int
    bytes: int
    written: float
    used_by: tuple[str, ...] = ()
    linked: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def row(self, workspace: Workspace) -> dict[str, Any]:
        """For people and programs."""
        place = {"where": self.where, "stage": self.stage, "name": self.name, "path": workspace.relative(self.path)}
        return place | {"files": self.files, "bytes": self.bytes, "used_by": list(self.used_by)}


@dataclass
class Users:
    """Who needs which folder of the store.

    Attributes:
        of: By stage and name.
        unknown: Sentences for models and runs of which that cannot be told.
    """

    of: dict[Place, set[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def add(self, user: str, places: Iterable[Place]) -> None:
        """Note that ``user`` needs these folders."""
        for place in places:
            self.of.setdefault(place, set()).add(user)


@dataclass(frozen=True)
class RecordedWeights:
    """Digests of weights as a model or a run has written them down, whether the files are still there or not."""

    known: Mapping[str, str]
    others: WeightStore

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """SHA-256 by name; of one that was not written down, that of the file as it is now.

        Raises:
            WeightsError: There is none.
        """
        asked = list(names)
        return {n: self.known[n] if n in self.known else self.others.digests([n])[n] for n in asked}


def places_of(settings: Settings, weights: Any) -> set[Place]:
    """Folders of the store that a run with these settings and weights uses, by stage and name."""
    names = stage_names(settings, weights)
    places = {("segment", names.segment), ("extract", names.extract), ("background", names.background)}
    places |= {("embed", names.embed)} if names.embed else set()
    places |= {(stage, names.match) for stage in ("match", "halving", "evidence")}
    for voting in (names.voting, names.voting_unknown):
        places |= {("extract", voting.features), ("shortlist", voting.index), ("shortlist", voting.exact_index)}
    return places


def users_of(
    workspace: Workspace, settings: Settings, models: Iterable[Model], records: Iterable[Mapping[str, Any]]
) -> Users:
    """Who of these models and runs needs which folder, and what the settings as they are would use.

    Args:
        workspace: Whose store it is.
        settings: As they are now.
        models: Which are kept.
        records: Of runs that are kept, from `run_record`, with ``run_id``.
    """
    users, seen, store = Users(), dict[str, set[Place]](), weights_of(workspace, settings)
    with suppress(ResightError):  # weights that are not there have computed nothing here
        users.add("settings", places_of(settings, store))
    for model in models:
        try:
            users.add(
                f"model {model.fingerprint}",
                places_of(with_model(settings, model), RecordedWeights(model.weights, store)),
            )
        except ResightError as error:
            users.unknown.append(f"It cannot be told what model {model.fingerprint} uses ({error}).")
    for record in records:
        for user in (f"run {record['run_id']}", f"model {record['model_fingerprint']}"):
            users.add(user, _calibrating(workspace, record))
        key = canonical_json([record["settings"], record["weights"]])
        try:
            if key not in seen:
                then = settings_from(record["settings"], f"run {record['run_id']}", stored=True)
                seen[key] = places_of(then, RecordedWeights(record["weights"], store))
            users.add(f"run {record['run_id']}", seen[key])
        except ResightError as error:
            users.unknown.append(f"It cannot be told what run {record['run_id']} uses ({error}).")
    for generation in generations_of(workspace):
        name = generation.folder.name
        try:
            users.add(f"generation {name}", list(_places_in_tables(generation)))
        except ResightError as error:
            users.unknown.append(f"It cannot be told what generation {name} uses ({error}).")
    return users


def generations_of(workspace: Workspace) -> list[Generation]:
    """The current generation and those that are kept beside it; where a manifest is damaged or gone, as its tables tell it."""
    found = {}
    for folder in generation_folders(workspace):
        try:
            found[folder] = open_manifest(workspace, folder)
        except (DamagedError, FileNotFoundError):
            found[folder] = told_by_tables(workspace, folder)
    now = current_generation(workspace)
    return [*found.values(), *([now] if now is not None and now.folder not in found else [])]


def records_of(workspace: Workspace) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What each run says about itself, by run, and the runs that say nothing because their record is damaged or gone."""
    records, silent = {}, []
    for folder in matching(workspace.runs, "[!.]*"):
        try:
            records[folder.name] = run_record(read_run(workspace, folder.name, "runs")) | {"run_id": folder.name}
        except (ResightError, IndexError):
            silent.append(folder.name)
    return records, silent


def missing_calibration(workspace: Workspace) -> list[Path]:
    """Files of calibration pairs that a run names, or that such ones refer to, and that are not there."""
    records, _ = records_of(workspace)
    used = {kept.name: kept for record in records.values() if (kept := used_by(workspace, record))}
    return sorted({file for kept in used.values() for file in kept.needed if not file.exists()})


def inventory(workspace: Workspace, users: Users, flows: Mapping[str, str]) -> list[Item]:
    """Everything that a workspace keeps, with what it is used by; ``flows`` names the flow of each run."""
    items = []
    for stage in _folders(workspace.store):
        if stage.name == "quarantine":
            items.append(_item("quarantine", "", stage))
            continue
        items += [_item("store", stage.name, f, users.of.get((stage.name, f.name), ())) for f in _folders(stage)]
    named = {run for g in generations_of(workspace) for run in (g.run_id, g.accuracy_run_id) if run}
    items += [
        _item("runs", flows.get(f.name, ""), f, ["current"] if f.name in named else ())
        for f in _folders(workspace.runs)
    ]
    items += [_item("generations", "", folder) for folder in _folders(workspace.generations)]
    return [*items, _item("models", "", workspace.models)] if workspace.models.is_dir() else items


def counted_once(items: Iterable[Item]) -> list[Item]:
    """The same, where a file that lies in several of them counts for the first one only."""
    seen, found = set[tuple[int, int]](), []
    for item in items:
        again = [size for file, size in item.linked.items() if file in seen]
        seen.update(item.linked)
        found.append(replace(item, files=item.files - len(again), bytes=item.bytes - sum(again)))
    return found


def usage(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """What takes the space.

    Returns:
        ``files``, ``bytes``, ``items`` (largest first, see `Item`; what runs share counts for the newest of them), ``by_stage`` and
        ``by_model`` (bytes; what two models use counts for both), ``notes``.
    """
    models, (records, silent) = list_models(workspace), records_of(workspace)
    users = users_of(workspace, settings, models, records.values())
    flows = {run: str(record["flow"]) for run, record in records.items()}
    items = counted_once(reversed(inventory(workspace, users, flows)))[::-1]
    by_stage: dict[str, int] = {}
    by_model = {model.fingerprint: 0 for model in models}
    for item in items:
        by_stage[item.stage if item.where == "store" else item.where] = (
            by_stage.get(item.stage if item.where == "store" else item.where, 0) + item.bytes
        )
        for model in by_model:
            by_model[model] += item.bytes if f"model {model}" in item.used_by else 0
    accepted = current_model(workspace)
    return {
        "files": sum(item.files for item in items),
        "bytes": sum(item.bytes for item in items),
        "items": [item.row(workspace) for item in sorted(items, key=lambda item: -item.bytes)],
        "by_stage": dict(sorted(by_stage.items(), key=lambda pair: -pair[1])),
        "by_model": by_model,
        "accepted": accepted.fingerprint if accepted else None,
        "notes": [
            *users.unknown,
            *(f"runs/{name} has no record of itself; `resight verify` says why." for name in silent),
        ],
    }


def _calibrating(workspace: Workspace, record: Mapping[str, Any]) -> list[Place]:
    """Where the calibration pairs of a run lie, if they are not among its own: their set, and those that it or what was learned refers to."""
    kept = used_by(workspace, record)
    if kept is None:
        return []
    with suppress(DamagedError, FileNotFoundError):  # then it is learned again
        upon = refers_to(workspace.store / STAGE / str(record["fingerprints"][STAGE]))
        return [(STAGE, name) for name in (*kept.sets, upon.partition("/")[0]) if name]
    return [(STAGE, name) for name in kept.sets]


def _places_in_tables(generation: Generation) -> Iterator[Place]:
    """Folders that the tables of a generation name, whatever the settings would be called now."""
    record = generation.folder / "runs.parquet"
    if record.exists():
        yield from _calibrating(generation.workspace, run_record(read_table(record, "runs")))
    for stage, (table, column) in NAME_COLUMNS.items():
        file = generation.folder / f"{table}.parquet"
        if file.exists():
            names = pc.unique(read_table(file, table, [column])[column]).to_pylist()
            yield from ((stage, name) for name in names if name)
            if stage == "match":
                yield from ((other, name) for other in ("halving", "evidence") for name in names if name)


def _folders(parent: Path) -> list[Path]:
    return [f for f in matching(parent, "[!.]*") if f.is_dir() and not f.is_symlink()]


def _item(where: str, stage: str, folder: Path, used_by: Iterable[str] = ()) -> Item:
    files, size, written, linked = 0, 0, folder.stat().st_mtime, dict[tuple[int, int], int]()
    for here, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a run beside this one has put it elsewhere
                state = (Path(here) / name).lstat()
                written = max(written, state.st_mtime)
                if state.st_nlink > 1:
                    linked[state.st_dev, state.st_ino] = state.st_size
                else:
                    files, size = files + 1, size + state.st_size
    files, size = files + len(linked), size + sum(linked.values())
    return Item(where, stage, folder.name, folder, files, size, written, tuple(sorted(used_by)), linked)
