"""`make torture`: the long run of what `test_torture.py` has a short selection of. It goes on where it was stopped.

Every case is a line in the file of results: its name, how it ended, and what is wrong with that. The last lines printed say
how many there were of each kind, and how they ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / name) for name in ("flows", "ingest"))]

from damaging import Damage  # noqa: E402
from faulting import Faults  # noqa: E402
from fuzzing import KINDS, Fuzz  # noqa: E402
from histories import Histories  # noqa: E402
from power import Power  # noqa: E402
from warm import Commands, compile_library, make_season  # noqa: E402

Judge = Callable[[Any], tuple[str, str]]
TURNS = 20
WORDS = {
    "inputs": "inputs fuzzed",
    "histories": "histories",
    "damaged": "files damaged",
    "faults": "faults injected",
    "losses": "losses of power",
}


class Results:
    """What is known of each case, in a file that is only ever added to."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.rows: list[dict[str, str]] = [json.loads(line) for line in lines]
        self._done = {(row["kind"], row["case"]) for row in self.rows}
        self._file = file.open("a", encoding="utf-8")

    def add(self, kind: str, cases: Iterable[tuple[str, Any]], judge: Judge) -> None:
        """Judge those cases that are not there yet."""
        for name, case in cases:
            if (kind, name) in self._done:
                continue
            ending, wrong = judge(case)
            row = {"kind": kind, "case": name, "ending": ending, "wrong": wrong}
            self.rows.append(row)
            self._done.add((kind, name))
            print(json.dumps(row), file=self._file, flush=True)
            if wrong:
                print(f"WRONG {kind} {name}: {wrong[:3000]}", flush=True)

    def in_turns(self, work: list[tuple[str, list[tuple[str, Any]], Judge]]) -> None:
        """Some of each kind in turn, so that whoever stops it has seen something of all."""
        begun = time.monotonic()
        for turn in range(TURNS):
            for kind, cases, judge in work:
                self.add(kind, cases[len(cases) * turn // TURNS : len(cases) * (turn + 1) // TURNS], judge)
            counts = Counter(row["kind"] for row in self.rows)
            done = ", ".join(f"{counts[kind]} {words}" for kind, words in WORDS.items())
            print(f"{done}; {time.monotonic() - begun:.0f} s", flush=True)

    def summary(self) -> str:
        """How many of each kind, how they ended, and how many are wrong."""
        lines = []
        for kind, words in WORDS.items():
            rows = [row for row in self.rows if row["kind"] == kind]
            endings = Counter(row["ending"] for row in rows)
            how = ", ".join(f"{n} {ending}" for ending, n in endings.most_common())
            lines.append(f"{len(rows):>6} {words}: {how or 'none'}; {sum(bool(row['wrong']) for row in rows)} wrong")
        return "\n".join(lines)


def inputs(n: int) -> Iterator[tuple[str, tuple[str, int]]]:
    """So many cases, of each kind as many."""
    return ((f"{KINDS[i % len(KINDS)]} {i // len(KINDS)}", (KINDS[i % len(KINDS)], i // len(KINDS))) for i in range(n))


def main() -> int:
    """All five, some of each in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, n in (("faults", 2000), ("damaged", 500), ("inputs", 2000), ("histories", 200), ("losses", 500)):
        parser.add_argument(f"--{kind}", type=int, default=n)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/torture/results.jsonl"))
    chosen = parser.parse_args()
    os.environ["RESIGHT_WEIGHTS"] = ""
    results = Results(chosen.out)
    memory = Path("/dev/shm")  # syncing costs nothing there
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=memory if memory.is_dir() else None))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _all(results, folder, chosen)
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        print(results.summary())
    return int(any(row["wrong"] for row in results.rows))


def _all(results: Results, folder: Path, chosen: argparse.Namespace) -> None:
    seed, reason = chosen.seed, compile_library(folder / "faults.so")
    make_season(folder / "season")
    if reason:
        print(f"No faults, no histories and no losses of power: {reason}.")
        chosen.faults = chosen.histories = chosen.losses = 0
    work: list[tuple[str, list[tuple[str, Any]], Judge]] = [
        ("inputs", list(inputs(chosen.inputs)), Fuzz(folder / "inputs").judge)
    ]
    with Commands(folder / "commands", None if reason else folder / "faults.so") as commands:
        commands.warm(folder / "season")
        several = Histories(commands, folder / "histories")
        work.append(("histories", [(str(i), i) for i in range(seed, seed + chosen.histories)], several.judge))
        if chosen.damaged:
            damage = Damage(commands, folder / "season", folder / "damage")
            cases = [(", ".join(case), case) for case in damage.cases(chosen.damaged, seed)]
            work.append(("damaged", cases, damage.judge))
        if chosen.faults:
            faults = Faults(commands, folder / "season", folder / "faults")
            work.append(("faults", [(case.name, case) for case in faults.cases(chosen.faults, seed)], faults.judge))
        if chosen.losses:
            power = Power(commands, folder / "season", folder / "power")
            work.append(("losses", [(loss.name, loss) for loss in power.losses(chosen.losses, seed)], power.judge_loss))
        results.in_turns(work)


if __name__ == "__main__":
    sys.exit(main())
