"""Random histories of a season: photos come, go and get names, commands run, are killed, and run two at once.

A history and its number are one: the same number always gives the same steps. In the end the tables must be those of a
fresh workspace in which the same nights were run one after the other, undisturbed.
"""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from faulting import equal, fresh
from flow_helpers import TABLES
from warm import PHOTOS, SETTINGS, Commands, Ended, Fault, photo, tables

from resight.catalog import TABLES as CATALOG
from resight.store.generations import MEASURED
from resight.store.runs import read_current, read_run, run_record
from resight.store.workspace import Workspace

BEGIN = date(2026, 6, 4)
NAMES = ("Ada", "Bob", "Cleo")
AT_WORK = "Another run is at work"
Photo = tuple[int, int, str, str]  # animal, look, name, date
Night = tuple[str, str, tuple[tuple[str, Photo], ...]]  # command, night, photos


class Wrong(Exception):
    """Something that must hold does not."""


class Histories:
    """Runs histories, and remembers what undisturbed nights gave."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self.commands, self.folder = commands, folder.resolve()
        self._references: dict[tuple[Night, ...], Path] = {}

    def judge(self, number: int) -> tuple[str, str]:
        """How it ended in a word, and what is wrong with that ('' if nothing)."""
        history = History(self, number)
        try:
            history.go()
        except Wrong as wrong:
            return "wrong", f"{wrong}; steps: {'; '.join(history.steps)}"
        return ("as undisturbed, after kills" if history.n_disturbed else "as undisturbed"), ""

    def reference(self, nights: tuple[Night, ...]) -> Path:
        """A workspace after these nights; made from the one with a night less."""
        if nights not in self._references:
            before = self.reference(nights[:-1]) if len(nights) > 1 else None
            place = self.folder / f"reference {len(self._references)}"
            if before:
                fresh(before, place)
            else:
                place.mkdir(parents=True)
            command, night, photos = nights[-1]
            put_photos(place, dict(photos))
            ended = self.commands.run([command, "--plain", "--night", night, "--accept"], place)
            if ended.code != 0:
                raise Wrong(f"an undisturbed night ends with {ended.code}: {ended.err[-800:]}")
            self._references[nights] = place
        return self._references[nights]


class History:
    """One history."""

    def __init__(self, all_of_them: Histories, number: int) -> None:
        self.commands, self.others = all_of_them.commands, all_of_them
        self.rng = random.Random(number)
        self.place = all_of_them.folder / "work"
        self.photos: dict[str, Photo] = dict(PHOTOS)
        self.night = BEGIN
        self.nights: list[Night] = []
        self.events: list[dict[str, Any]] = []
        self.steps: list[str] = []
        self.n_disturbed = 0
        self.first_nights_tell = True

    def go(self) -> None:
        """All its steps, and what must hold after each night and in the end."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        put_photos(self.place, self.photos)
        self.run_night()
        steps: dict[Callable[[], None], int] = {
            self.add: 4, self.remove: 1, self.rename: 1, self.label: 2, self.run_night: 3, self.same_night: 1, self.accuracy: 1,
            self.rebuild: 1, self.disturbed_night: 5, self.two_at_once: 3, self.look: 1,
        }  # fmt: skip
        for step in self.rng.choices([*steps], [*steps.values()], k=self.rng.randint(3, 6)):
            step()
            put_photos(self.place, self.photos)
        self.run_night()
        self.check_end()

    def add(self) -> None:
        number = len(self.steps)
        animal = self.rng.randint(1, 4)
        name = self.rng.choice(("", "", NAMES[animal - 1] if animal < 4 else ""))
        self.photos[f"n{number}.png"] = (animal, 10 + number, name, "2026-06-0" + str(self.rng.randint(1, 3)))
        self.say(f"add n{number}.png {name}")

    def remove(self) -> None:
        name = self.rng.choice(sorted(self.photos))
        del self.photos[name]
        self.say(f"remove {name}")

    def rename(self) -> None:
        name = self.rng.choice(sorted(self.photos))
        self.photos[f"sub folder/{len(self.steps)} {Path(name).name}"] = self.photos.pop(name)
        self.say(f"rename {name}")

    def label(self) -> None:
        name = self.rng.choice(sorted(self.photos))
        animal, look, _, day = self.photos[name]
        self.photos[name] = (animal, look, self.rng.choice(("", *NAMES)), day)
        self.say(f"label {name} {self.photos[name][2]}")

    def run_night(self, command: str = "nightly") -> None:
        """A night of a new date."""
        put_photos(self.place, self.photos)
        self.night += timedelta(days=1)
        self.say(f"{command} {self.night}")
        self.finish(command)

    def same_night(self) -> None:
        """The last night again; with other photos that is another run."""
        self.say(f"nightly {self.night} again")
        put_photos(self.place, self.photos)
        self.finish("nightly")

    def rebuild(self) -> None:
        self.run_night("rebuild")

    def accuracy(self) -> None:
        put_photos(self.place, self.photos)
        self.say("accuracy")
        self.ended(self.run("accuracy", self.night + timedelta(days=1)))

    def look(self) -> None:
        """Reading commands; `identify` reads new photos as of today."""
        self.say("identify, report and verify")
        query = sorted(self.photos)[self.rng.randrange(len(self.photos))]
        self.first_nights_tell = False
        for arguments in (["identify", str(self.place / "photos" / query)], ["report"], ["verify"]):
            self.ended(self.commands.run(arguments, self.place), sentences=("knows no animal yet",))

    def disturbed_night(self) -> None:
        """A night that is killed, or whose disk is full, once or twice; the same command again finishes it."""
        put_photos(self.place, self.photos)
        self.night += timedelta(days=1)
        command = self.rng.choice(("nightly", "nightly", "nightly", "rebuild"))
        for _ in range(self.rng.randint(1, 2)):
            how = self.rng.choice(("kill before", "kill after", "fail"))
            number = self.rng.choice((errno.ENOSPC, errno.EIO)) if how == "fail" else 0
            fault = Fault(self.rng.randint(1, 1400), how, number, stays=bool(number) and self.rng.random() < 0.5)
            self.say(f"{command} {self.night} with {how} {errno.errorcode.get(number, '')} at operation {fault.at}")
            ended = self.run(command, self.night, fault)
            if ended.code == -9 and how != "fail":
                self.n_disturbed += 1
                continue
            self.n_disturbed += self.ended(ended, sentences=(str(self.place),)) != 0
        self.finish(command)

    def two_at_once(self) -> None:
        """A night and another command begin at the same time; one of them may be told that the other is at work."""
        put_photos(self.place, self.photos)
        self.night += timedelta(days=1)
        other = self.rng.choice(("nightly", "accuracy", "rebuild", "report", "verify"))
        self.say(f"nightly {self.night} and {other} at once")
        first = self.start("nightly", self.night)
        second = self.commands.start([other], self.place) if other in ("report", "verify") else self.start(other, self.night + timedelta(days=other == "rebuild"))  # fmt: skip
        codes = []
        for process in (first, second):
            ended = self.commands.wait(process, self.place)
            codes.append(self.ended(ended, sentences=(AT_WORK,)))
        if other == "rebuild" and codes[1] == 0:
            nights = [self.of("nightly", self.night)] if codes[0] == 0 else []
            self.night += timedelta(days=1)
            self.nights += [*nights, self.of("rebuild", self.night)]
            if nights and not self.in_this_order("nightly", "rebuild"):
                self.nights[-2:] = reversed(self.nights[-2:])
            self.check_log()
            return
        self.finish("nightly")

    def in_this_order(self, one: str, two: str) -> bool:
        """Whether the newest run of one flow ended before that of the other."""
        ends = {flow: [r["ended_at"] for r in self.records() if r["flow"] == flow] for flow in (one, two)}
        return bool(max(ends[one]) < max(ends[two]))

    def finish(self, command: str) -> None:
        """Run it to its end; a person says that lost photos are as they should be."""
        ended = self.run(command, self.night)
        if self.ended(ended) == 3:
            ended = self.run(command, self.night, more=["--accept"])
            if self.ended(ended) != 0:
                raise Wrong("--accept does not publish")
        night = self.of(command, self.night)
        if not self.nights or self.nights[-1] != night:
            self.nights.append(night)
        self.check_log()

    def start(self, command: str, night: date) -> int:
        return self.commands.start([command, "--plain", "--night", night.isoformat()], self.place)

    def run(self, command: str, night: date, fault: Fault | None = None, more: list[str] | None = None) -> Ended:
        return self.commands.run([command, "--plain", "--night", night.isoformat(), *(more or [])], self.place, fault)

    def ended(self, ended: Ended, sentences: tuple[str, ...] = ()) -> int:
        """The exit code of a command that ended as it may."""
        if "Traceback" in ended.err or ended.code not in (0, 1, 3):
            raise Wrong(f"code {ended.code}: {ended.err[-2500:]}")
        errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
        if ended.code == 1 and not (len(errors) == 1 and any(sentence in errors[0] for sentence in sentences)):
            raise Wrong(f"code 1: {ended.err[-1500:]} {ended.out[-500:]}")
        return int(ended.code)

    def of(self, command: str, night: date) -> Night:
        return command, night.isoformat(), tuple(sorted(self.photos.items()))

    def say(self, step: str) -> None:
        self.steps.append(step)

    def records(self) -> list[dict[str, Any]]:
        workspace = Workspace(self.place)
        return [run_record(read_run(workspace, folder.name, "runs")) for folder in sorted(workspace.runs.glob("[!.]*"))]

    def check_log(self) -> None:
        """Events of provisional names are only ever added."""
        log = read_current(Workspace(self.place), "provisional")
        now = log.drop_columns("run_id").to_pylist() if log is not None else []
        if now[: len(self.events)] != self.events:
            raise Wrong(f"the log of names has changed: was {self.events}, is {now}")
        self.events = now

    def check_end(self) -> None:
        """Equal tables, whole `current`, counts that agree."""
        workspace = Workspace(self.place)
        ids = set()
        for described in (table for table in CATALOG if table.name not in MEASURED and not table.in_parts):
            table = read_current(workspace, described.name)
            ids |= set(table["run_id"].to_pylist()) if table is not None else set()
        if len(ids) != 1:
            raise Wrong(f"current/ holds tables of {sorted(ids)}")
        for name in (table.name for table in CATALOG if table.in_parts):  # rows of earlier runs bear their names
            table = read_current(workspace, name)
            if table is not None and not table.equals(read_run(workspace, *ids, name)):
                raise Wrong(f"{name} in current/ is not that of the run")
        for record in self.records():
            for stage, counts in record["counts"].items():
                if counts["in"] != sum(counts["out"].values()):
                    raise Wrong(f"{record['flow']} {record['night']}: {stage} has {counts}")
        got, expected = tables(self.place, TABLES), tables(self.others.reference(tuple(self.nights)), TABLES)
        for name, table in expected.items():
            one, two = (self.comparable(name, value) for value in (got[name], table))
            if not equal(one, two):
                raise Wrong(f"{name} differs from that of undisturbed nights")
        self.ended(self.commands.run(["verify"], self.place))

    def comparable(self, name: str, table: Any) -> Any:
        if name == "photos" and not self.first_nights_tell and not isinstance(table, str) and table is not None:
            return table.drop_columns("first_night")
        return table


def put_photos(place: Path, photos: dict[str, Photo]) -> None:
    """Make the folder of photos hold these and no others, and say their names."""
    folder = place / "photos"
    (place / "resight.toml").write_text(SETTINGS)
    for file in [*folder.rglob("*.png")]:
        if file.relative_to(folder).as_posix() not in photos:
            file.unlink()
    for name, (animal, look, _, _) in photos.items():
        if not (folder / name).exists():
            photo(folder / name, animal, look)
    rows = [f"{name},{animal},{day},left" for name, (_, _, animal, day) in photos.items()]
    text = "\n".join(["file,individual_id,date,viewpoint", *rows, ""])
    if not (folder / "metadata.csv").exists() or (folder / "metadata.csv").read_text() != text:
        (folder / "metadata.csv").write_text(text)
