"""A year of a site in an afternoon: drawn photos, and the commands that a server would run, night by night, with a clock that runs ahead.

    python benchmarks/bench_year.py --folder /tmp/year                        # 365 nights
    python benchmarks/bench_year.py --folder /tmp/year --nights 60 --sites 2  # two sites on one machine, by turns

Seasons, animals that nobody knows yet, a person who looks once a week (and errs, and corrects it a week later), a model update
that is accepted and one that is refused, nights that are killed, an inbox that is not mounted, nights that nobody starts, photos
that are cut off. Each night is the real command; all of them run in one process, so that a year is cheap and memory that is not
given back would show. `resight status --missing-after` asks every morning, and `[notify]` writes down whom it tells what. The clock
runs ahead by a small library (clock.c, Linux with cc); without it all nights happen today, and nothing is missed or pruned.

It leaves ``year.jsonl`` (a line per command) and ``year.html`` (growth, accuracy, alerts) in the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from space import space
from year_commands import Clock, Ended, kill_command, run_command
from year_page import write_page
from year_plan import KNOWN_BEFORE, Meeting, Night, draw, name_of, plan_year

from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.store.workspace import Workspace

HERE = Path(__file__).resolve().parent

SETTINGS = """site = "{site}"
[segment]
kind = "whole"
[crop]
head_side_px = 64
[extract]
kind = "sift"
max_keypoints = {keypoints}
[match]
kind = "nearest"
[score]
name = "snorm_inliers"
[dask]
mode = "inline"
[evaluate]
draws = 50
[report]
candidates = 1
[retention]
runs_days = 30
runs_kept = 10
stores_days = 30
[notify]
command = ["/bin/sh", "-c", "cat >> '{alerts}'; echo >> '{alerts}'"]
disk_free_gb = 0
years = 0.5
"""
KEYPOINTS = {"": 40, "better": 48, "worse": 5}
ERRS = 0.04  # share of a person's answers that name another animal
LOOKS = 0.9  # share of the open encounters that a person decides when they look
PARTS = ("store", "runs", "generations", "models", "decisions", "log")


class Site:
    """One site, its workspace, and what happens there."""

    def __init__(self, folder: Path, name: str, seed: int, record: Path) -> None:
        self.name, self.clock, self.record = name, Clock(), record
        self.place = Workspace(folder / name)
        self.alerts = folder / f"{name}.alerts.jsonl"
        self.rng = np.random.default_rng(seed)
        self.labels: dict[str, int] = {}  # animal by file
        self.wrong: list[tuple[str, int]] = []  # decisions that are corrected next time

    def begin(self, first: date) -> None:
        """A workspace with the animals that are known already."""
        self.settings("")
        rows = []
        for animal in range(1, KNOWN_BEFORE + 1):
            for look, days in ((1, 400), (2, 320)):
                file = f"before/{animal}-{look}.jpg"
                draw(self.place.root / "photos" / file, animal, look)
                rows.append(f"{file},{name_of(animal)},{first - timedelta(days=days + animal)},left,")
        self.write_labels(["file,individual_id,date,viewpoint,encounter_id", *rows])

    def write_labels(self, rows: Sequence[str], how: str = "w") -> None:
        with (self.place.root / "photos" / "metadata.csv").open(how, encoding="utf-8") as file:
            file.write("".join(f"{row}\n" for row in rows))

    def settings(self, model: str) -> None:
        self.place.root.mkdir(parents=True, exist_ok=True)
        text = SETTINGS.format(site=self.name, keypoints=KEYPOINTS[model], alerts=self.alerts)
        (self.place.root / "resight.toml").write_text(text, encoding="utf-8")

    def night(self, night: Night) -> None:
        """All that happens from one evening to the next morning."""
        self.bring(night.meetings, night)
        inbox, away = self.place.root / "photos", self.place.root / "photos that are not mounted"
        if night.trouble == "disk":
            inbox.rename(away)
            inbox.mkdir()
        if night.trouble != "missed":
            self.nightly(night)
        if night.trouble == "disk":
            inbox.rmdir()
            away.rename(inbox)
        if night.model:
            self.settings(night.model)
            self.run(night, 3, "rebuild", "--plain", "--night", str(night.day))
            self.settings("better")  # who reads that it was refused puts the file back
        if night.accuracy:
            self.run(night, 4, "accuracy", "--plain", "--night", str(night.day))
        self.run(night, 7, "status", "--missing-after", "26")
        if night.review:
            self.review(night)
            self.run(night, 12, "prune", "--remove")

    def bring(self, meetings: Sequence[Meeting], night: Night) -> None:
        rows = []
        for meeting in meetings:
            for file, look in zip(meeting.files, meeting.looks, strict=True):
                path = self.place.root / "photos" / file
                draw(path, meeting.animal, look)
                if night.trouble == "damaged":
                    path.write_bytes(path.read_bytes()[:300])
                rows.append(f"{file},,{night.day},left,{meeting.folder}")
                self.labels[file] = meeting.animal
        self.write_labels(rows, "a")

    def nightly(self, night: Night) -> None:
        arguments = ("nightly", "--plain", "--night", str(night.day))
        if night.killed_after_s:
            self.clock.set(night.day, 2)
            ended = kill_command(arguments, self.place.root, night.killed_after_s)
            self.write_down(night, 2, arguments, ended)
        self.run(night, 3 if night.killed_after_s else 2, *arguments)

    def run(self, night: Night, hour: int, *arguments: str) -> None:
        self.clock.set(night.day, hour)
        self.write_down(night, hour, arguments, run_command(arguments, self.place.root))

    def write_down(self, night: Night, hour: int, arguments: Sequence[str], ended: Ended) -> None:
        row = {
            "site": self.name, "night": str(night.day), "hour": hour, "command": arguments[0], "trouble": night.trouble,
            "code": ended.code, "cpu_s": round(ended.cpu_s, 3), "memory_mb": round(ended.memory / 1e6, 1),
            "said": ended.said if ended.code else "", "new_photos": sum(len(m.files) for m in night.meetings),
        }  # fmt: skip
        if arguments[0] in ("nightly", "rebuild", "accuracy", "prune"):
            row |= {"space": dict(self.space())}
        if arguments[0] in ("nightly", "accuracy") and ended.code == 0:
            row |= self.standing()
        with self.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def space(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Files and bytes of each part of the workspace."""
        for part in PARTS:
            yield part, space(self.place.root / part)

    def standing(self) -> dict[str, Any]:
        """How many verdicts are right, which only the year's plan knows, and the measured accuracy."""
        desk = Desk(self.place)
        tables, right, said = desk.tables, 0, 0
        for encounter, verdict in tables.verdicts.items():
            animal = self.animal_of(desk, encounter)
            if verdict["decision"] in ("known", "likely") and animal:
                said, right = said + 1, right + (verdict["individual_id"] == name_of(animal))
        measured = tables.generation.table("accuracy").to_pylist() if tables.generation.has("accuracy") else []
        top = [r for r in measured if r["metric"] == "top1_encounter" and r["stratum"] == "all"]
        accuracy = [top[0][name] for name in ("value", "ci_low", "ci_high", "n")] if top else None
        counts = {"named": said, "right": right, "open": len(tables.verdicts), "animals": len(desk.animals())}
        photos = {"photos": len(tables.photos), "pairs": tables.generation.table("pairs").num_rows}
        return counts | photos | {"accuracy": accuracy, "model": tables.generation.model}

    def animal_of(self, desk: Desk, encounter: str) -> int:
        rows = (desk.tables.photos[photo] for photo in desk.tables.encounters.get(encounter, ()))
        files = [str(row["uri"]).removeprefix("photos/") for row in rows]
        return next((self.labels[file] for file in files if file in self.labels), 0)

    def review(self, night: Night) -> None:
        """A person looks at what is open, errs now and then, and corrects what they have seen to be wrong."""
        desk, at = Desk(self.place), datetime(night.day.year, night.day.month, night.day.day, 9, tzinfo=UTC)
        wrong, self.wrong = self.wrong, []
        for decision, _ in wrong:
            self.say(desk, at, desk.entry(Kind.UNDO, "Ana", undoes=decision))
        for encounter in sorted(desk.tables.verdicts):
            animal = self.animal_of(desk, encounter)
            if not animal or self.rng.random() > LOOKS:
                continue
            other = int(self.rng.integers(1, KNOWN_BEFORE + 1)) if self.rng.random() < ERRS else animal
            photos = [str(photo) for photo in desk.encounters()[encounter]]
            entry = desk.entry(Kind.SAME_AS, "Ana", photos, individual_id=name_of(other))
            said = self.say(desk, at, entry)
            if other != animal:
                self.wrong.append((said, animal))

    def say(self, desk: Desk, at: datetime, entry: Any) -> str:
        number = len(desk.log.entries())
        moment = (at + timedelta(microseconds=number)).isoformat(timespec="microseconds")
        return str(desk.decide(replace(entry, at=moment), really_new=True).decision_id)


def with_clock(folder: Path) -> None:
    """Begin again with a clock that can go ahead, where that can be built."""
    library, compiler = folder / "clock.so", shutil.which("cc")
    if os.environ.get("LD_PRELOAD") or compiler is None or not sys.platform.startswith("linux"):
        return
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "clock.c"), "-ldl"]
    if subprocess.run(command, check=False).returncode == 0:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"LD_PRELOAD": str(library)})


def run_year(folder: Path, n_nights: int, per_night: float, seed: int, n_sites: int) -> None:
    """All nights of all sites by turns, and the page as it grows.

    Raises:
        SystemExit: A night of one site has changed a file of another one.
    """
    record, begin = folder / "year.jsonl", date.today() + timedelta(days=1)
    sites = [Site(folder, f"site-{k + 1}", seed + k, record) for k in range(n_sites)]
    plans = [plan_year(begin, n_nights, per_night, seed + k) for k in range(n_sites)]
    for site in sites:
        site.begin(begin)
    for k in range(n_nights):
        for site, plan in zip(sites, plans, strict=True):
            others = {other.name: files_of(other.place.root) for other in sites if other is not site}
            site.night(plan[k])
            touched = [
                other.name for other in sites if other is not site and files_of(other.place.root) != others[other.name]
            ]
            if touched:
                raise SystemExit(f"The night {plan[k].day} of {site.name} has changed files of {', '.join(touched)}.")
        if k % 10 == 9 or k == n_nights - 1:
            draw_page(folder)


def files_of(root: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder: mode, size and time of change by path."""
    states = {str(path): path.lstat() for path in root.rglob("*")}
    return {path: (state.st_mode, state.st_size, state.st_mtime_ns) for path, state in states.items()}


def draw_page(folder: Path) -> None:
    """The page of what has been written down so far."""
    rows = [json.loads(line) for line in (folder / "year.jsonl").read_text(encoding="utf-8").splitlines()]
    alerts = {}
    for site in sorted({row["site"] for row in rows}):
        file = folder / f"{site}.alerts.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        alerts[site] = [json.loads(line) for line in lines if line]
    write_page(folder / "year.html", rows, alerts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where workspaces, lines and page go; must be empty")
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--per-night", type=float, default=0.6, help="encounters of a night in the mean over the year")
    parser.add_argument("--sites", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.folder.exists() and any(f.name != "clock.so" for f in given.folder.iterdir()):
        parser.error(f"{given.folder} is not empty; name another folder.")
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with_clock(folder)
    os.environ |= {"RESIGHT_WEIGHTS": "", "XDG_CACHE_HOME": str(folder / "no cache"), "COLUMNS": "200"}
    run_year(folder, given.nights, given.per_night, given.seed, given.sites)
    print(f"Page: {given.folder / 'year.html'}")


if __name__ == "__main__":
    main()
