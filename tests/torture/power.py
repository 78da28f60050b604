"""The power goes at some operation of a command: what was written but not synced is gone. Then the command runs again.

`faults.c` keeps a journal of every change and every sync. From it a file system in memory knows, for each folder, which
names have reached the disk, and for each file, whether its contents have. The contents of a file are there when it was
synced after the last write to it; a name is there when its folder was synced after it was made, changed or removed. What
is not there may be lost, all of it or a part: within a folder, changes reach the disk in their order.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from faulting import JOBS, SHARE, Faults, fresh
from warm import Ended, Fault

LOSSES = ("names", "contents", "by a coin")


@dataclass(eq=False)
class File:
    """An inode: its number, and whether it was written to since it was synced."""

    inode: int
    dirty: bool = False


@dataclass(eq=False)
class Link:
    """A symbolic link."""

    target: str


@dataclass(eq=False)
class Folder:
    """Names as programs see them, names on the disk, and the changes between the two."""

    names: dict[str, Node] = field(default_factory=dict)
    on_disk: dict[str, Node] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)


Node = File | Link | Folder


@dataclass(eq=False)
class Change:
    """What one operation did to names; of a rename both names change at once."""

    number: int
    parts: list[tuple[Folder, str, Node | None]]


class Disk:
    """A folder as it was before a command, and what the journal says became of it."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._files: dict[int, File] = {}
        self._numbers = count()
        self.tree = self._read(root)

    def _read(self, place: Path) -> Folder:
        folder = Folder()
        for entry in os.scandir(place):
            if entry.is_symlink():
                folder.names[entry.name] = Link(os.readlink(entry.path))
            elif entry.is_dir():
                folder.names[entry.name] = self._read(Path(entry.path))
            else:
                folder.names[entry.name] = self._file(entry.inode())
        folder.on_disk = dict(folder.names)
        return folder

    def _file(self, inode: int) -> File:
        return self._files.setdefault(inode, File(inode))

    def replay(self, lines: list[str]) -> None:
        """Follow the journal of a command to its last line."""
        for line in lines:
            what, inode, one, two = line.split("\t")
            if what == "sync":
                self._sync(int(inode), one)
            elif what == "rename":
                self._change((one, None), (two, self._at(one)))
            elif what == "link":
                self._change((two, self._at(one)))
            elif what == "symlink":
                self._change((two, Link(one)))
            elif what == "mkdir":
                self._change((one, Folder()))
            elif what == "unlink":
                self._change((one, None))
            elif what != "chmod":  # open, write, truncate, copy
                self._written(int(inode), one if what == "open" else "")

    def _written(self, inode: int, path: str) -> None:
        file = self._file(inode)
        file.dirty = True
        if path and self._at(path) is not file:
            self._change((path, file))

    def _sync(self, inode: int, path: str) -> None:
        if inode in self._files:
            self._files[inode].dirty = False
            return
        folder = self._at(path)
        assert isinstance(folder, Folder), path
        self.commit(folder)

    def commit(self, folder: Folder, upto: int | None = None) -> None:
        """Changes of a folder reach the disk, and with them all before them in the folders that they touch."""
        while folder.pending and (upto is None or folder.pending[0].number <= upto):
            change = folder.pending[0]
            for other, name, node in change.parts:
                if change in other.pending:
                    other.pending.remove(change)
                self.commit(other, change.number)
                if node is None:
                    other.on_disk.pop(name, None)
                else:
                    other.on_disk[name] = node

    def _change(self, *parts: tuple[str, Node | None]) -> None:
        change = Change(next(self._numbers), [(*self._parent(path), node) for path, node in parts])
        for folder, name, node in change.parts:
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node
            if change not in folder.pending:
                folder.pending.append(change)

    def _parent(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rstrip("/").rpartition("/")
        folder = self._at(above)
        assert isinstance(folder, Folder), path
        return folder, name

    def _at(self, path: str) -> Node | None:
        assert path == self._root or path.startswith(self._root + "/"), path
        node: Node | None = self.tree
        parts = [part for part in path[len(self._root) :].split("/") if part]
        for i, part in enumerate(parts):
            if not isinstance(node, Folder):
                return None
            node = node.names.get(part)
            if isinstance(node, Link) and i < len(parts) - 1:  # all links here lead to a name beside them
                above = "/".join((self._root, *parts[:i]))
                node = self._at(os.path.normpath(os.path.join(above, node.target)))
        return node

    def folders(self, folder: Folder | None = None) -> Iterator[Folder]:
        """All that programs can see, from the top."""
        folder = folder or self.tree
        yield folder
        for node in folder.names.values():
            if isinstance(node, Folder):
                yield from self.folders(node)

    def lose(self, how: str, rng: random.Random) -> set[int]:
        """Settle what reaches the disk of what was not synced; inodes whose contents are lost."""
        if how == "contents":
            for folder in self.folders():
                self.commit(folder)
        if how == "by a coin":
            for folder in list(self.folders()):
                if folder.pending:
                    self.commit(folder, rng.choice([-1, *(change.number for change in folder.pending)]))
        dirty = sorted(inode for inode, file in self._files.items() if file.dirty)
        return {inode for inode in dirty if how != "by a coin" or rng.random() < 0.5}

    def write(self, target: Path, sources: dict[int, Path], lost: set[int]) -> None:
        """Make a folder of what is on the disk."""
        written: dict[int, Path] = {}
        self._write(self.tree, target, sources, lost, written)

    def _write(self, folder: Folder, target: Path, sources: dict[int, Path], lost: set[int], written: dict[int, Path]) -> None:  # fmt: skip
        target.mkdir()
        for name, node in folder.on_disk.items():
            path = target / name
            if isinstance(node, Folder):
                self._write(node, path, sources, lost, written)
            elif isinstance(node, Link):
                path.symlink_to(node.target)
            elif node.inode in written:
                os.link(written[node.inode], path)
            elif node.inode in lost:
                path.touch()
            else:
                shutil.copy2(sources[node.inode], path)
            if isinstance(node, File):
                written.setdefault(node.inode, path)


@dataclass(frozen=True)
class Loss:
    """The power goes right after an operation of a job, or after its end (``at`` 0)."""

    job: str
    at: int
    how: str
    seed: int = 0

    @property
    def name(self) -> str:
        """For people and for what was done already."""
        when = f"operation {self.at}" if self.at else "the end"
        return f"{self.job}, {when}: {self.how} {self.seed}"


class Power(Faults):
    """Lists losses of power, and judges each."""

    def losses(self, count: int, seed: int = 0) -> list[Loss]:
        """So many, spread over the jobs and the operations that write; a tenth after the end of the job."""
        rng = random.Random(seed)
        jobs = [job for job in JOBS if job != "identify" for _ in range(SHARE[job])]
        rng.shuffle(jobs)
        chosen: dict[str, Loss] = {}
        for number in range(20 * count):
            job, how = jobs[number % len(jobs)], LOSSES[number % len(LOSSES)]
            writing = [i for i, (_, writes, _) in enumerate(self.scene(job).operations, 1) if writes]
            loss = Loss(job, 0 if number % 10 == 9 else rng.choice(writing), how, number if how == "by a coin" else 0)
            chosen.setdefault(loss.name, loss)
            if len(chosen) == count:
                break
        return list(chosen.values())

    def judge_loss(self, loss: Loss) -> tuple[str, str]:
        """How it ended in a word, and what is wrong with that ('' if nothing)."""
        before = self.scene(loss.job).before
        ended = self._lost(loss, before)
        if loss.at and ended.code != -9:
            return "not reached", ""
        if not loss.at and (ended.code or (wrong := self.differs(loss.job))):
            return (
                "the end",
                f"the command ended with {ended.code}, and after the power went {wrong}: {ended.err[-600:]}",
            )
        again = self.commands.run(self._arguments(loss.job), self.work)
        if again.code:
            return "power lost", f"the command after it ends with {again.code}: {again.err[-1500:]}"
        return "power lost" if loss.at else "the end", self.differs(loss.job) or self._left(loss.job)

    def lines(self, journal: Path) -> list[str]:
        """What the command did; a test leaves syncs out."""
        return journal.read_bytes().decode("utf-8", "surrogateescape").split("\n")[:-1]

    def _lost(self, loss: Loss, before: Path) -> Ended:
        """Run the job until the power goes, and put on the disk what is left of the workspace."""
        fresh(before, self.work)
        attic, journal = self.folder / "attic", self.folder / "journal"
        shutil.rmtree(attic, ignore_errors=True)
        attic.mkdir()
        disk = Disk(self.work)
        fault = Fault(loss.at, "kill after") if loss.at else None
        ended = self.commands.run(self._arguments(loss.job), self.work, fault, journal=(journal, attic))
        disk.replay(self.lines(journal))
        lost = disk.lose(loss.how, random.Random(loss.seed))
        sources = {int(path.name): path for path in attic.iterdir()}
        sources |= {p.lstat().st_ino: p for p in self.work.rglob("*") if p.is_file() and not p.is_symlink()}
        shutil.rmtree(self.folder / "left", ignore_errors=True)
        disk.write(self.folder / "left", sources, lost)
        shutil.rmtree(self.work)
        (self.folder / "left").rename(self.work)
        return ended
