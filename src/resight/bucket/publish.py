"""Copying ``runs/`` and what is current to object storage, so that no reader ever mixes two runs.

```
runs/<run_id>/…              the files of a run, tables in parts as folders, and manifest.json, which is written when all of them are there and whole
generations/<n>-<digest>/…   the files that became current together
current.json                 which of those folders is current, and each file with its size and SHA-256; written last
```

An object store has neither links nor a rename of folders. Its one promise is that an object is there whole or not at all, so the
manifests are the commits: data first, under names that are written once, then the object that names them. Whoever is killed in
between leaves data that nobody is led to, and the next time only the rest is uploaded.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resight.bucket.objects import TRIES, BucketError, Content, Objects
from resight.errors import DamagedError, SettingsError, WorkspaceError
from resight.store import pages, sealed
from resight.store.damage import MISSING
from resight.store.digests import digest_of
from resight.store.generations import MANIFEST as GENERATION_FILE
from resight.store.generations import Generation, current_generation
from resight.store.listing import matching
from resight.store.table_files import named_files, strange_parts, table_of, whole_files
from resight.store.workspace import Workspace

FORMAT = 1
MANIFEST, CURRENT = "manifest.json", "current.json"
PUBLISHER = "publisher.json"
LOCK = ".publish"
REPAIR = "`resight verify --repair` copies it again from its run; then `resight publish`"
WAIT_S = 600.0
KEPT_BEFORE = 2
KEPT_FOR = timedelta(days=1)
FOLDER = re.compile(r"\d+-[0-9a-f]{12}")
Files = dict[str, Path]  # by name in their folder


def publish_to(
    workspace: Workspace, address: str, site: str = "", *, check: bool = False, take_over: bool = False
) -> dict[str, Any]:
    """Upload what is missing below ``address``, and then make readers there see what is current here.

    Args:
        check: Also compare every object that was published before with what is here.
        take_over: Publish although the address belongs to another workspace.

    Returns:
        ``address, runs`` (how many are there), ``new_runs``, ``uploaded`` (files), ``uploaded_bytes``, ``damaged`` (a sentence for each
        run that was left out), ``current`` (the folder that is current there, None before the first night).

    Raises:
        DamagedError: What is current is not whole.
        BucketError: It cannot be read or written; what readers find is what they found before.
        WorkspaceError: The address belongs to another workspace, or somebody else is publishing for too long.
    """
    if not address:
        raise SettingsError(
            "Nothing says where to publish; set publish.to in resight.toml, or name it: resight publish --to s3://BUCKET/PLACE."
        )
    with _alone(workspace):
        copy = _Copy(workspace, Objects(address), check)
        before = copy.objects.read_json([CURRENT]).get(CURRENT, {})
        own = _publisher(workspace)
        if before.get("publisher") not in (None, own) and not take_over:
            raise WorkspaceError(
                f"{address} holds the results of another workspace ({before.get('site') or 'without a site'}); set another place in publish.to, "
                "or say that this one follows it: resight publish --take-over."
            )
        runs = [file.parent.name for file in matching(workspace.runs, "[!.]*/runs.parquet")]
        new = copy.runs(runs)
        generation = current_generation(workspace)
        folder = None
        if generation is not None:
            folder = copy.generation(generation, before, {"publisher": own, "site": site})
            copy.clear(folder)
        done = {"address": address, "runs": len(runs) - len(copy.damaged), "new_runs": new, "current": folder}
        return done | {"uploaded": copy.uploaded, "uploaded_bytes": copy.uploaded_bytes, "damaged": copy.damaged}


class _Copy:
    """One publishing under way."""

    def __init__(self, workspace: Workspace, objects: Objects, check: bool) -> None:
        self.workspace, self.objects, self._check = workspace, objects, check
        self.uploaded = self.uploaded_bytes = 0
        self.damaged: list[str] = []
        self._there: dict[str, int] = {}
        self._of_runs: dict[str, str] = {}  # object of a run that is whole, by what it holds

    def runs(self, run_ids: list[str]) -> list[str]:
        """Bring all runs there; those that were not there before, or not whole."""
        self._there = self.objects.sizes("runs") | self.objects.sizes("generations")
        names = {run_id: f"runs/{run_id}/{MANIFEST}" for run_id in run_ids}
        manifests = self.objects.read_json([name for name in names.values() if name in self._there])
        new = []
        for run_id, name in names.items():
            try:
                new += [run_id] if self._run(run_id, manifests.get(name, {})) else []
            except DamagedError as damage:
                self.damaged.append(str(damage))
            except FileNotFoundError:
                if (self.workspace.runs / run_id).exists():  # else it was pruned meanwhile
                    raise
        return new

    def _run(self, run_id: str, manifest: Mapping[str, Any]) -> bool:
        place, files = f"runs/{run_id}", _files(self.workspace.runs / run_id)
        listed: Mapping[str, Any] = manifest.get("files", {})
        if not self._check and self._is_as_before(place, files, listed):
            self._of_runs |= {row["sha256"]: f"{place}/{name}" for name, row in listed.items()}
            return False
        whole_files(self.workspace.runs / run_id)
        wanted = _contents(files)
        differs = {name: row.get("sha256") for name, row in listed.items()} != {n: c.sha256 for n, c in wanted.items()}
        if listed and differs:  # a run that was made again: nobody is led to it until it is whole
            self.objects.remove(f"{place}/{MANIFEST}")
        self._clear_tables(place, wanted)
        self._bring(place, files, wanted)
        self._of_runs |= {content.sha256: f"{place}/{name}" for name, content in wanted.items()}
        if differs:
            rows = {
                n: {"bytes": c.bytes, "sha256": c.sha256, "changed_ns": _changed(files[n])} for n, c in wanted.items()
            }
            self.objects.put_json(f"{place}/{MANIFEST}", {"format": FORMAT, "run_id": run_id, "files": rows})
            return True
        return False

    def _clear_tables(self, place: str, wanted: Collection[str]) -> None:
        """Remove files of tables that the run does not have now: readers of a folder would take their rows for rows of the table."""
        for name in [name for name in self._there if name.startswith(f"{place}/")]:
            own = name.removeprefix(f"{place}/")
            if table_of(own) and own not in wanted:
                self.objects.remove(name)
                del self._there[name]

    def _is_as_before(self, place: str, files: Files, listed: Mapping[str, Any]) -> bool:
        """Whether size and time of change here, and sizes there, are those that the manifest was written with."""
        return listed.keys() == files.keys() and all(
            row["bytes"] == files[name].stat().st_size == self._there.get(f"{place}/{name}")
            and row["changed_ns"] == _changed(files[name])
            for name, row in listed.items()
        )

    def generation(self, generation: Generation, before: Mapping[str, Any], about: Mapping[str, Any]) -> str:
        """Bring what is current there, and then name it; its folder."""
        files = _files(generation.folder)
        wanted = _contents(files)
        for name, sha256 in generation.files.items():
            if name not in wanted or wanted[name].sha256 != sha256:
                raise DamagedError(generation.folder / name, sealed.DIFFERS if name in wanted else MISSING, REPAIR)
        for strange in strange_parts(generation.folder, generation.files):
            raise strange
        page = _page_of_run(self.workspace, generation)
        if page is not None:
            files[pages.PAGE], wanted[pages.PAGE] = page, *_contents({pages.PAGE: page}).values()
        digest = hashlib.sha256("".join(f"{n}\0{c.sha256}\n" for n, c in sorted(wanted.items())).encode()).hexdigest()
        place = f"generations/{generation.number:06d}-{digest[:12]}"
        sizes = {f"{place}/{name}": content.bytes for name, content in wanted.items()}
        if self._check or before.get("folder") != place or not sizes.items() <= self._there.items():
            self._bring(place, files, wanted)
        manifest = {
            "format": FORMAT, "folder": place, "number": generation.number, "run_id": generation.run_id,
            "accuracy_run_id": generation.accuracy_run_id, "model": generation.model, "created_at": generation.created_at, **about,
            "files": {name: {"path": f"{place}/{name}", **vars(content)} for name, content in wanted.items()},
        }  # fmt: skip
        if {k: v for k, v in before.items() if k != "published_at"} != manifest:
            self.objects.put_json(CURRENT, manifest | {"published_at": _now().isoformat(timespec="seconds")})
        return place

    def _bring(self, place: str, files: Files, wanted: Mapping[str, Content]) -> None:
        """Upload what is not there, and compare everything with what it must hold.

        Raises:
            BucketError: Something is not what was uploaded, twice.
        """
        paths = {f"{place}/{name}": file for name, file in files.items()}
        contents = {f"{place}/{name}": content for name, content in wanted.items()}
        missing = [name for name, content in contents.items() if self._there.get(name) != content.bytes]
        twins = {n: self._of_runs[contents[n].sha256] for n in missing if contents[n].sha256 in self._of_runs}
        self.objects.copy({old: new for new, old in twins.items()})
        differing = [name for name in missing if name not in twins]
        for _ in range(TRIES):
            self._upload({name: paths[name] for name in differing}, contents)
            differing = self.objects.differing(contents, paths)
            if not differing:
                return
        raise BucketError(
            f"{self.objects.address}/{differing[0]} does not hold what was uploaded, twice; readers find there what they found before. "
            "Run `resight publish` again, and look at the storage if that says the same."
        )

    def _upload(self, files: Mapping[str, Path], contents: Mapping[str, Content]) -> None:
        if files:
            self.objects.put(files)
            self.uploaded += len(files)
            self.uploaded_bytes += sum(contents[name].bytes for name in files)

    def clear(self, current: str) -> None:
        """Remove what was current long ago; the runs stay."""
        folders = sorted({"/".join(n.split("/")[:2]) for n in self._there if FOLDER.fullmatch(n.split("/")[1])})
        objects_of = {
            folder: [name for name in self._there if name.startswith(f"{folder}/")]
            for folder in folders
            if folder.startswith("generations/") and folder != current
        }
        # By when they came: numbers go back where a workspace was put back from a backup.
        earlier = sorted(objects_of, key=lambda folder: self.objects.changed_at(objects_of[folder][0]))
        for folder in earlier[: max(0, len(earlier) - KEPT_BEFORE)]:
            if all(_now() - self.objects.changed_at(name) > KEPT_FOR for name in objects_of[folder]):
                self.objects.remove(folder)


def _page_of_run(workspace: Workspace, generation: Generation) -> Path | None:
    """The page that was made for a folder as deep as those of generations are there; None where it is the same, or not whole here."""
    page, sha256 = workspace.runs / str(generation.run_id) / pages.PAGE, generation.files.get(pages.PAGE)
    moved = pages.as_current(page) if page.is_file() else None
    return page if moved is not None and hashlib.sha256(moved).hexdigest() == sha256 else None


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Nobody else of this workspace publishes meanwhile: an older state must not come last."""
    workspace.store.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.store / LOCK, timeout=WAIT_S)
    try:
        with lock:
            yield
    except Timeout:
        raise WorkspaceError(
            f"The results of {workspace.root} are being published by somebody else; wait until that has ended, then run `resight publish`."
        ) from None


def _publisher(workspace: Workspace) -> str:
    """The workspace's own name towards object storage, made up once; it moves with the workspace."""
    file = workspace.generations / PUBLISHER
    if not file.exists():
        sealed.write_json(file, {"publisher": uuid.uuid4().hex})
    return str(sealed.read_json(file)["publisher"])


def _files(folder: Path) -> Files:
    return {name: file for name, file in named_files(folder).items() if name != GENERATION_FILE}


def _contents(files: Files) -> dict[str, Content]:
    return {name: Content(file.stat().st_size, digest_of(file)) for name, file in files.items()}


def _changed(file: Path) -> int:
    return file.stat().st_mtime_ns


def _now() -> datetime:
    return datetime.now(UTC)
