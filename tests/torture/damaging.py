"""Every file of a finished season is damaged, in every way; then each command gives what is right or says what is wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faulting import equal, fresh
from warm import FIRST, SECOND, Commands, Ended, photo, tables

from resight.run.models import current_model
from resight.store.workspace import Workspace


def first_bit(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:] if data else b"x"


def middle_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :] if data else b"x"


def last_bit(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 0x80]) if data else b"x"


def zero(data: bytes) -> bytes:
    return bytes(len(data))


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def empty(_: bytes) -> bytes:
    return b""


def longer(data: bytes) -> bytes:
    return data + b"\0" * 100


def gone(_: bytes) -> bytes | None:
    return None


WAYS: tuple[Callable[[bytes], bytes | None], ...] = (first_bit, middle_bit, last_bit, zero, cut, empty, longer, gone)
NIGHT = ["nightly", "--plain", "--night", "2026-06-06"]
COMMANDS = {
    "nightly": NIGHT,
    "verify": ["verify"],
    "repair": ["verify", "--repair"],
    "identify": ["identify", "--json"],
    "accuracy": ["accuracy", "--plain", "--night", FIRST],
    "report": ["report"],
}
Case = tuple[str, str, str]  # file, way, command


class Damage:
    """Makes the season, lists the cases, and judges each."""

    def __init__(self, commands: Commands, season: Path, folder: Path) -> None:
        self.commands, self.folder = commands, folder.resolve()
        self.before, self.work = self.folder / "before", self.folder / "work"
        self.query = self.folder / "query.png"
        self.folder.mkdir(parents=True, exist_ok=True)
        photo(self.query, 2, 9)
        fresh(season, self.before)
        for arguments in (
            ["nightly", "--plain", "--night", FIRST],
            ["nightly", "--plain", "--night", SECOND],
            COMMANDS["accuracy"],
        ):
            if SECOND in arguments:  # a photo more: its run shares files with the one before
                photo(self.before / "photos" / "who4.png", 1, 7)
            done = commands.run(arguments, self.before)
            assert done.code == 0, done.err
        self.expected: dict[str, Any] = {}
        for name in ("identify", "report", "accuracy", "nightly"):
            fresh(self.before, self.work)
            ended = self._run(name)
            assert ended.code == 0, ended.err
            self.expected[name] = self._outcome(name, ended)

    def cases(self, count: int, seed: int = 0) -> list[Case]:
        """So many, spread over kinds of files and ways; a file that is damaged in two ways is two damaged files."""
        rng = random.Random(seed)
        files = sorted(
            path.relative_to(self.before).as_posix()
            for room in ("store", "runs", "models", "generations")
            for path in (self.before / room).rglob("*")
            if path.is_file() and path.name not in {".lock", ".queue"}
        )
        cases = [(file, way.__name__, "") for file in files for way in WAYS]
        cases += [(link, gone.__name__, "") for link in ("current",) if (self.before / link).is_symlink()]
        rng.shuffle(cases)
        return [(file, way, [*COMMANDS][number % len(COMMANDS)]) for number, (file, way, _) in enumerate(cases)][:count]

    def judge(self, case: Case) -> tuple[str, str]:
        """How it ended in a word, and what is wrong with that ('' if nothing)."""
        file, way, name = case
        fresh(self.before, self.work)
        self._damage(self.work / file, way)
        ended = self._run(name)
        ending, wrong = self._ending(file, name, ended)
        if wrong:
            return ending, wrong
        again = self._run("nightly")
        if again.code != 0 or "Traceback" in again.err:
            return ending, f"the next night ends with {again.code}: {again.err[-1500:]}"
        return ending, self._differs("nightly", again)

    def _damage(self, path: Path, way: str) -> None:
        """In its place, so that all names of the file have the damage."""
        changed = None if way == gone.__name__ else next(w for w in WAYS if w.__name__ == way)(path.read_bytes())
        if changed is None:
            path.unlink()
            return
        path.chmod(0o644)  # it may be for reading only
        path.write_bytes(changed)

    def _ending(self, file: str, name: str, ended: Ended) -> tuple[str, str]:
        if "Traceback" in ended.err or "Traceback" in ended.out:
            return "traceback", ended.err[-3000:]
        if ended.code == 0:
            if name == "repair":
                return "repaired or whole", ""
            if name == "verify":
                return "whole", ""
            differs = self._differs(name, ended)
            if differs and name == "report" and file.endswith(".png"):
                return (
                    "a picture less, and said",
                    ""
                    if "is without their pictures" in " ".join(ended.err.split())
                    else "a picture is missing in silence",
                )
            return "right", differs and f"exit 0 and {differs}: {ended.err[-600:]}"
        sentences = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
        if ended.code == 1 and name in ("verify", "repair") and not sentences:
            return "reported", ""
        if ended.code == 1 and len(sentences) == 1 and (str(self.work) in sentences[0]):
            return "one sentence", ""
        return "other", f"code {ended.code}: {ended.err[-1500:]} {ended.out[-500:]}"

    def _run(self, name: str) -> Ended:
        if name == "nightly":
            photo(self.work / "photos" / "who3.png", 2, 5)
        arguments = [*COMMANDS[name], *([str(self.query)] if name == "identify" else [])]
        return self.commands.run(arguments, self.work)

    def _outcome(self, name: str, ended: Ended) -> dict[str, Any]:
        if name == "identify":
            return {"queries": json.loads(ended.out)["queries"]}
        if name == "report":
            page = next(self.work.glob("report-*.html")).read_text(encoding="utf-8")
            return {"page": page}
        model = current_model(Workspace(self.work))
        return tables(self.work) | {"model": model and model.fingerprint}

    def _differs(self, name: str, ended: Ended) -> str:
        got, expected = self._outcome(name, ended), self.expected[name]
        wrong = [key for key, value in expected.items() if not equal(got[key], value)]
        return f"{', '.join(wrong)} differ" if wrong else ""
