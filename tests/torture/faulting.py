"""Every operation on files of a small season fails once, or the process is killed at it; then the command runs again."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from warm import FIRST, SECOND, Commands, Ended, Fault, photo, tables

from resight.run.models import current_model
from resight.store.workspace import Workspace

JOBS = {
    "first night": ["nightly", "--plain", "--night", FIRST],
    "second night": ["nightly", "--plain", "--night", SECOND],
    "accuracy": ["accuracy", "--plain", "--night", FIRST],
    "rebuild": ["rebuild", "--plain", "--night", SECOND, "--accept-unmeasured"],
    "repair": ["verify", "--repair"],
    "identify": ["identify", "--json"],
}
SHARE = {"first night": 4, "second night": 5, "accuracy": 2, "rebuild": 1, "repair": 4, "identify": 4}
REJECTED, COMPARED = "one photo rejected", ("accuracy_differences", "changes")
CAN_BE_FORBIDDEN = (
    "open to write",
    "mkdir",
    "rename",
    "unlink",
    "chmod",
    "open to read",
    "open folder",
    "list",
    "stat",
)


@dataclass(frozen=True)
class Case:
    """A fault in one of the jobs."""

    job: str
    what: str
    path: str
    fault: Fault

    @property
    def name(self) -> str:
        """For people and for what was done already."""
        how = errno.errorcode[self.fault.number] if self.fault.number else self.fault.how
        return f"{self.job}, operation {self.fault.at}: {how}{' and stays' if self.fault.stays else ''}"


@dataclass
class Scene:
    """A job's workspace before it, and what it gives if nothing goes wrong."""

    before: Path
    expected: dict[str, Any]
    operations: list[tuple[str, bool, str]]


class Faults:
    """Makes the scenes, lists the faults, and judges each."""

    def __init__(self, commands: Commands, season: Path, folder: Path) -> None:
        self.commands, self.folder = commands, folder.resolve()
        self.work = self.folder / "work"
        self.scenes: dict[str, Scene] = {}
        self.queries = [self.folder / "query.png"]
        self.folder.mkdir(parents=True, exist_ok=True)
        photo(self.queries[0], 2, 9)
        self._season = season

    def scene(self, job: str) -> Scene:
        """Made when it is first asked for."""
        if job not in self.scenes:
            before = self.folder / f"before {job}"
            fresh(self._season if job == "first night" else self.scene("first night").before, before)
            if job != "first night":
                done = self.commands.run(JOBS["first night"], before)
                assert done.code == 0, done.err
            if job == "second night":
                photo(before / "photos" / "who3.png", 2, 5)
            if job == "rebuild":
                settings = before / "resight.toml"
                settings.write_text(settings.read_text().replace("max_keypoints = 32", "max_keypoints = 28"))
            if job == "repair":
                for pattern in ("store/ingest/*/*.parquet", "store/match/*/*.parquet", "current/pairs.parquet/*"):
                    damaged = sorted(before.glob(pattern))[0]
                    data = damaged.read_bytes()[:200]
                    damaged.unlink()  # the file may be for reading only
                    damaged.write_bytes(data)
            fresh(before, self.work)
            ended = self.commands.run(self._arguments(job), self.work, trace=True)
            assert ended.code == 0, ended.err
            lines = [line.split("\t", 3) for line in ended.hit.splitlines()]
            operations = [(what, writes == "1", path) for _, what, writes, path in lines]
            self.scenes[job] = Scene(before, self._outcome(job), operations)
        return self.scenes[job]

    def cases(self, count: int, seed: int = 0, jobs: Sequence[str] = tuple(SHARE)) -> list[Case]:
        """So many faults, spread over the jobs, the operations, the kinds of files and the ways to fail."""
        rng = random.Random(seed)
        chosen = []
        total = sum(SHARE[job] for job in jobs)
        for job in jobs:
            groups: dict[tuple[str, ...], list[Case]] = defaultdict(list)
            for number, (what, writes, path) in enumerate(self.scene(job).operations, 1):
                for fault in _ways(number, what, writes):
                    case = Case(job, what, path.removeprefix(str(self.work)), fault)
                    groups[(what, case.name.partition(": ")[2], _kind(case.path))].append(case)
            for group in groups.values():
                rng.shuffle(group)
            order = sorted(groups)
            rng.shuffle(order)
            rounds = [groups[key][turn] for turn in range(max(map(len, groups.values()))) for key in order if turn < len(groups[key])]  # fmt: skip
            chosen.append(rounds[: -(-count * SHARE[job] // total)])
        in_turn = (case for turn in zip_longest(*chosen) for case in turn if case)
        return list(islice(in_turn, count))

    def judge(self, case: Case) -> tuple[str, str]:
        """How it ended in a word, and what is wrong with that ('' if nothing)."""
        scene = self.scene(case.job)
        fresh(scene.before, self.work)
        first = self.commands.run(self._arguments(case.job), self.work, case.fault)
        if not first.hit:
            return "not reached", ""
        ending, wrong = self._ending(case, first)
        if wrong:
            return ending, wrong
        again = self.commands.run(self._arguments(case.job), self.work)
        if again.code != 0:
            return ending, f"the command after it ends with {again.code}: {again.err[-1500:]}"
        beside = COMPARED if _forbidden_photo(case) else ()  # accuracy was measured before, without that photo
        return ending, self.differs(case.job, beside) or self._left(case.job)

    def _ending(self, case: Case, ended: Ended) -> tuple[str, str]:
        if ended.code == -9 and case.fault.how.startswith("kill"):
            return "killed", ""
        if "Traceback" in ended.err or "Traceback" in ended.out:
            return "traceback", f"{case.what} {case.path}: {ended.err[-3000:]}"
        if ended.code == 0:
            differs = self.differs(case.job)
            if differs and _forbidden_photo(case):
                return REJECTED, ""
            return "absorbed", differs and f"exit 0 and {differs} after {case.what} {case.path}: {ended.err[-600:]}"
        sentences = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
        if ended.code == 1 and len(sentences) == 1:
            names = any(name in sentences[0] for name in (str(self.work), str(self.folder), case.path.lstrip("/")))
            return "one sentence", "" if names else f"names no path: {sentences[0]} after {case.what} {case.path}"
        if ended.code == 3 and case.path in ("/photos", "/photos/metadata.csv") and not sentences:
            return "kept aside", ""
        if ended.code == 1 and case.job == "repair" and not sentences:
            return "reported", ""
        return "other", f"code {ended.code} after {case.what} {case.path}: {ended.err[-1500:]} {ended.out[-500:]}"

    def _arguments(self, job: str) -> list[str]:
        return [*JOBS[job], *(map(str, self.queries) if job == "identify" else ())]

    def _outcome(self, job: str) -> dict[str, Any]:
        model = current_model(Workspace(self.work))
        return tables(self.work) | {"model": model and model.fingerprint}

    def differs(self, job: str, beside: Sequence[str] = ()) -> str:
        """Names of the tables that are not what they should be."""
        got, expected = (
            _events(tables) if beside else tables for tables in (self._outcome(job), self.scene(job).expected)
        )
        wrong = [name for name, value in expected.items() if name not in beside and not equal(got[name], value)]
        return f"{', '.join(wrong)} differ" if wrong else ""

    def _left(self, job: str) -> str:
        left = [
            str(p.relative_to(self.work))
            for p in self.work.rglob("*")
            if ".staging" in p.name or (p.parent.name == "quarantine" and p.suffix != ".jsonl")
        ]
        return f"left over: {left[:3]}" if left and job != "repair" else ""


def _ways(number: int, what: str, writes: bool) -> list[Fault]:
    ways = [Fault(number, "fail", errno.EIO)]
    if writes:
        ways += [Fault(number, "fail", errno.ENOSPC), Fault(number, "fail", errno.ENOSPC, stays=True)]
        ways += [Fault(number, "kill before"), Fault(number, "kill after")]
    if what in CAN_BE_FORBIDDEN:
        ways.append(Fault(number, "fail", errno.EACCES))
    if what in ("write", "read", "copy"):
        ways.append(Fault(number, "short"))
    return ways


def _kind(path: str) -> str:
    """Files that are written and read alike."""
    parts = path.strip("/").split("/")
    return "/".join(
        [
            *parts[:2],
            parts[-1].split(".")[-1] if "." in parts[-1] else parts[-1][:8] if len(parts) < 4 else "",
            str(min(len(parts), 6)),
        ]
    )


def _events(tables: dict[str, Any]) -> dict[str, Any]:
    """Names as they are in the end: that of a photo that was rejected for once was withdrawn, and given again."""
    if tables["provisional"] is None:
        return tables
    names: dict[str, str] = {}
    for row in tables["provisional"].sort_by("event_no").to_pylist():
        names[row["encounter_id"]] = "" if row["event"] == "withdrawn" else row["provisional_individual_id"]
    return tables | {"provisional": names}


def _forbidden_photo(case: Case) -> bool:
    """A photo that may not be read is a row with that reason."""
    return case.fault.number == errno.EACCES and case.path.startswith("/photos/") and case.path.endswith(".png")


def equal(one: Any, two: Any) -> bool:
    return bool(one.equals(two)) if hasattr(one, "equals") else one == two


def fresh(source: Path, target: Path) -> None:
    """Copy a workspace in the place of another one; files that share their contents do so there, too."""
    copies: dict[int, str] = {}

    def copy(one: str, two: str) -> None:
        state = os.stat(one)
        if state.st_nlink > 1 and state.st_ino in copies:
            os.link(copies[state.st_ino], two)
        else:
            shutil.copy2(one, two)
            copies[state.st_ino] = two

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True, copy_function=copy)
