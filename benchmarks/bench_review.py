"""What an evening's review costs: keys for each encounter, and how soon each screen is there.

Real head crops (`heads/` of the shared data): animals outside the Zakynthos folder (`lightglue-sift-turtle` has seen none of them), each with two earlier
encounters that are named and one or two later ones whose names are hidden, and animals that nobody has named. After one night
somebody who knows the truth decides on every encounter in Chromium, by keyboard alone: Enter where the first candidate is the right
one, its number and Enter where another one is, N and Enter for a new animal, and `/`, the name and Enter twice for one that is not
among the candidates. A screen is ready when the page is loaded and every picture in sight is there.

    python benchmarks/bench_review.py prepare WORKSPACE     # photos and one night; some CPU minutes, once
    python benchmarks/bench_review.py review WORKSPACE      # decides in a copy, and prints what it took
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from review_server import served

SHARED = Path(os.environ.get("RESIGHT_SHARED", "../shared")) / "data"
SETTINGS = {
    "segment": {"kind": "whole"},
    "extract": {"max_keypoints": 384},
    "dask": {"mode": "inline"},
}
N_MET_AGAIN, N_NEW, PHOTOS = 26, 4, 2  # animals with two hidden encounters each; animals in one; photos of an encounter
NIGHT = "2022-01-01"
READY = """document.readyState === 'complete' && [...document.querySelectorAll('main img')].filter((i) => i.matches('.pane img')
|| (i.getBoundingClientRect().top < innerHeight && i.checkVisibility())).every((i) => i.complete && i.naturalWidth > 0)"""
# Looked at every frame by the page itself: asking it from outside takes tens of milliseconds. A screen is another one when its <main> is.
WATCH = f"""(() => {{ const look = () => {{ const main = document.querySelector('main');
if (main && main !== window.readyMain && {READY}) {{ window.readyMain = main; window.readyAt = performance.timeOrigin + performance.now(); }}
requestAnimationFrame(look) }}; look() }})()"""
NOT_SEEN_S = 0.35  # the page keeps no decision that comes sooner after another encounter has appeared (0.3 s)
Row = dict[str, str]


def choose() -> tuple[dict[str, list[list[Row]]], dict[str, list[list[Row]]]]:
    """Named and hidden encounters by animal, photos of the sides left and right alone."""
    with (SHARED / "zakynthos" / "metadata.csv").open() as file:
        used = {row["individual_id"] for row in csv.DictReader(file)}  # these trained or chose the matcher
    found: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    with (SHARED / "heads" / "metadata.csv").open() as file:
        for row in csv.DictReader(file):
            if row["individual_id"] not in used and row["viewpoint"] in ("left", "right") and row["taken_at"]:
                found[row["individual_id"]][row["taken_at"][:10]].append(row)
    days = {a: [_photos(rows) for _, rows in sorted(of.items())] for a, of in sorted(found.items())}
    days = {a: [photos for photos in of if len(photos) == PHOTOS] for a, of in days.items()}
    often = [a for a, of in days.items() if len(of) >= 4][:N_MET_AGAIN]
    once = [a for a, of in days.items() if len(of) == 1][:N_NEW]
    named = {a: days[a][:2] for a in often}
    return named, {a: days[a][2:4] for a in often} | {a: days[a] for a in once}


def _photos(rows: list[Row]) -> list[Row]:
    """One of each side where there are both, else the first."""
    first = {row["viewpoint"]: row for row in reversed(rows)}
    rest = [row for row in rows if row not in first.values()]
    return [*first.values(), *rest][:PHOTOS]


def prepare(workspace: Path) -> None:
    """A workspace after one night, and who each hidden encounter really is."""
    from resight.flows.nightly import run_nightly
    from resight.settings.init import init_workspace
    from resight.weights.store import WeightStore

    named, hidden = choose()
    init_workspace(workspace, WeightStore(allow_download=False))
    lines, truth, number = ["file,individual_id,taken_at,encounter_id,viewpoint"], {}, 0
    for animals, is_named in ((named, True), (hidden, False)):
        for animal, encounters in animals.items():
            for rows in encounters:
                number += 1
                encounter = f"{animal}-{rows[0]['taken_at'][:10]}" if is_named else f"dive {number}"
                truth |= {} if is_named else {encounter: animal}
                for k, row in enumerate(rows, 1):
                    name = f"{encounter}/{k}.webp"
                    (workspace / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(SHARED / "heads" / row["file"], workspace / "photos" / name)
                    lines.append(
                        f"{name},{animal if is_named else ''},{row['taken_at']},{encounter},{row['viewpoint']}"
                    )
    (workspace / "photos" / "metadata.csv").write_text("\n".join(lines) + "\n")
    begun = time.process_time()
    result = run_nightly(workspace, NIGHT, SETTINGS, quiet=True)
    facts = {"truth": truth, "known": sorted(named), "night_cpu_s": round(time.process_time() - begun, 1)}
    (workspace / "bench.json").write_text(json.dumps(facts))
    print(json.dumps({"decisions": result["decisions"], "night_cpu_s": facts["night_cpu_s"], "work": result["work"]}))


class Reviewer:
    """Somebody who knows the truth, at a keyboard."""

    def __init__(self, page: Any, facts: dict[str, Any], pid: int, look_s: float) -> None:
        self.page, self.facts, self.pid, self.look_s = page, facts, pid, look_s
        self.keys: list[int] = []
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.last: list[str] = []

    def press(self, *keys: str) -> None:
        """Keys that stay on the page, and a last one after which a screen is shown; that is timed."""
        for key in keys[:-1]:
            self.page.keyboard.press(key)
        old, before = self.page.evaluate("window.readyAt"), _cpu(self.pid)
        begun = time.time()
        self.page.keyboard.press(keys[-1])
        ready = self.page.wait_for_function(f"window.readyAt !== {old} && window.readyAt", polling=10)
        self.seconds.append(float(ready.json_value()) / 1000 - begun)
        self.last.append(keys[-1])
        self.cpu.append(_cpu(self.pid) - before)

    def decide(self, encounter: str) -> None:
        """One encounter; the keys that it took are counted."""
        self.page.wait_for_timeout(1000 * max(self.look_s, NOT_SEEN_S))
        right = self.facts["truth"][encounter]
        names = [
            re.sub(r"^\d+\s+", "", text.strip()) for text in self.page.locator(".candidates .name").all_inner_texts()
        ]
        place = names.index(right) + 1 if right in names[:5] else 0
        if place == 1:
            self.press("Enter")
            self.keys.append(1)
        elif place:
            self.press(str(place))
            self.press("Enter")
            self.keys.append(2)
        elif right not in self.facts["known"]:
            self.press("n", "Enter")
            self.keys.append(2)
        else:
            self.press("/", *right, "Enter")
            self.press("Enter")
            self.keys.append(len(right) + 3)


def _cpu(pid: int) -> float:
    """CPU seconds of a process with all its threads."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def review(workspace: Path, most: int, look_s: float) -> None:
    """Decide on every open encounter of a copy of the workspace."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        copy = Path(folder) / "workspace"
        shutil.copytree(workspace, copy, symlinks=True)
        facts = json.loads((copy / "bench.json").read_text())
        own = started.chromium.executable_path
        browser = started.chromium.launch(
            executable_path=own if Path(own).exists() else shutil.which("chromium"), args=["--no-sandbox"]
        )
        with closing(browser), served(copy) as (address, server):
            page = browser.new_page(
                viewport={"width": 1440, "height": 900}, bypass_csp=True
            )  # else nobody may ask it whether it is ready
            page.add_init_script(WATCH)
            page.goto(address)
            page.locator(".item").first.click()
            page.wait_for_function(READY)
            reviewer = Reviewer(page, facts, server.pid, look_s)
            while page.locator("[data-encounter]").count() and len(reviewer.keys) < most:
                reviewer.decide(page.locator("[data-encounter]").get_attribute("data-encounter"))
    told(reviewer)


def told(reviewer: Reviewer) -> None:
    """What it took."""
    keys, wall, cpu = reviewer.keys, sorted(reviewer.seconds), sorted(reviewer.cpu)
    summary = {
        "encounters": len(keys),
        "keys_per_encounter": round(statistics.mean(keys), 3),
        "encounters_by_keys": {n: keys.count(n) for n in sorted(set(keys))},
        "screens": len(wall),
        "screen_s_median": round(statistics.median(wall), 3),
        "screen_s_95": round(wall[int(0.95 * (len(wall) - 1))], 3),
        "screen_s_most": round(wall[-1], 3),
        "screens_within_0.3_s": sum(s <= 0.3 for s in wall),
        "slowest": sorted(zip(reviewer.seconds, reviewer.last, reviewer.cpu, strict=True))[-8:],
        "server_cpu_s_mean": round(statistics.mean(cpu), 4),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["prepare", "review"])
    parser.add_argument("workspace", type=Path)
    parser.add_argument(
        "--look",
        type=float,
        default=1.0,
        help="seconds that a person looks at an encounter before deciding, 0.35 or more",
    )
    parser.add_argument("--most", type=int, default=1000, help="encounters to decide on at most")
    asked = parser.parse_args()
    prepare(asked.workspace) if asked.what == "prepare" else review(asked.workspace, asked.most, asked.look)
