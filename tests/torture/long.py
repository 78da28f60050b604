"""`make torture`: the long run of what `test_torture.py` has a short selection of. It goes on where it was stopped.

Every case is a line in the file of results: its name, how it ended, and what is wrong with that. The last lines printed say
how many there were of each kind, and how they ended.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
from warm import Commands, compile_library, make_season  # noqa: E402

Judge = Callable[[Any], tuple[str, str]]
WORDS = {"inputs": "inputs fuzzed", "histories": "histories", "damaged": "files damaged", "faults": "faults injected"}


class Results:
    """What is known of each case, in a file that is only ever added to."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.rows: list[dict[str, str]] = [json.loads(line) for line in lines]
        self._done = {(row["kind"], row["case"]) for row in self.rows}
        self._file = file.open("a", encoding="utf-8")

    def add(self, kind: str, cases: Iterable[tuple[str, Any]], judge: Judge, say_every: int) -> None:
        """Judge those cases that are not there yet."""
        begun, cases = time.monotonic(), list(cases)
        for number, (name, case) in enumerate(cases, 1):
            if (kind, name) not in self._done:
                ending, wrong = judge(case)
                row = {"kind": kind, "case": name, "ending": ending, "wrong": wrong}
                self.rows.append(row)
                print(json.dumps(row), file=self._file, flush=True)
                if wrong:
                    print(f"WRONG {kind} {name}: {wrong[:3000]}", flush=True)
            if number % say_every == 0:
                print(f"{WORDS[kind]}: {number} of {len(cases)}, {time.monotonic() - begun:.0f} s", flush=True)

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
    """All four, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, n in (("faults", 2000), ("damaged", 500), ("inputs", 2000), ("histories", 200)):
        parser.add_argument(f"--{kind}", type=int, default=n)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/torture/results.jsonl"))
    chosen = parser.parse_args()
    os.environ["RESIGHT_WEIGHTS"] = ""
    results = Results(chosen.out)
    memory = Path("/dev/shm")  # syncing costs nothing there
    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=memory if memory.is_dir() else None))
    try:
        results.add("inputs", inputs(chosen.inputs), Fuzz(folder / "inputs").judge, 200)
        reason = compile_library(folder / "faults.so")
        make_season(folder / "season")
        with Commands(folder / "commands", None if reason else folder / "faults.so") as commands:
            commands.warm(folder / "season")
            _with_commands(results, commands, folder, chosen, reason)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(results.summary())
    return int(any(row["wrong"] for row in results.rows))


def _with_commands(results: Results, commands: Commands, folder: Path, chosen: argparse.Namespace, reason: str) -> None:
    seed = chosen.seed
    if reason:
        print(f"No faults and no histories: {reason}.")
    elif chosen.histories:
        several = Histories(commands, folder / "histories")
        results.add("histories", ((str(i), i) for i in range(seed, seed + chosen.histories)), several.judge, 10)
        shutil.rmtree(folder / "histories", ignore_errors=True)
    if chosen.damaged:
        damage = Damage(commands, folder / "season", folder / "damage")
        cases = damage.cases(chosen.damaged, seed)
        results.add("damaged", ((", ".join(case), case) for case in cases), damage.judge, 50)
    if chosen.faults and not reason:
        faults = Faults(commands, folder / "season", folder / "faults")
        results.add("faults", ((case.name, case) for case in faults.cases(chosen.faults, seed)), faults.judge, 50)


if __name__ == "__main__":
    sys.exit(main())
