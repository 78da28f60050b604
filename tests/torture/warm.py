"""Commands as forks of a warm process, the smallest season there can be, and what its tables are compared by."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from flow_helpers import BY_PLACE, TABLES
from PIL import Image

from resight.errors import DamagedError
from resight.store.generations import MEASURED
from resight.store.runs import read_current
from resight.store.workspace import Workspace

HERE = Path(__file__).parent
LIMIT_S = 120.0
SETTINGS = """[segment]
kind = "whole"
[crop]
head_side_px = 64
[extract]
max_keypoints = 32
[dask]
mode = "inline"
[evaluate]
draws = 20
[report]
candidates = 1
"""
FIRST, SECOND = "2026-06-04", "2026-06-05"


@dataclass(frozen=True)
class Ended:
    """How a command ended; ``code`` is None where it took too long, and negative where a signal ended it."""

    code: int | None
    out: str
    err: str
    memory: int
    hit: str
    cpu: float = 0.0


@dataclass(frozen=True)
class Fault:
    """What goes wrong at operation number ``at``; see faults.c."""

    at: int
    how: str
    number: int = 0
    stays: bool = False

    HOW = ("ok", "fail", "short", "kill before", "kill after")

    def plan(self) -> list[int]:
        """As faults_plan wants it."""
        return [self.at, self.HOW.index(self.how), self.number, int(self.stays)]


class Commands:
    """Runs `resight` commands, each in a fork of one warm process."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.number = 0
        self._outputs: dict[int, int] = {}
        env = os.environ | {
            "RESIGHT_WEIGHTS": "", "XDG_CACHE_HOME": str(folder / "no cache"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1",
            "COLUMNS": "200", "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0", "PREFECT_HOME": str(folder / "prefect"),
        }  # fmt: skip
        if library:
            env["LD_PRELOAD"] = str(library)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )

    def __enter__(self) -> Commands:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._outputs:  # those that nobody has waited for
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def warm(self, season: Path) -> None:
        """Have everything imported that these commands need, which are run once in a copy of the season."""
        place = self.folder / "warming"
        shutil.copytree(season, place)
        for arguments in (["nightly", "--plain", "--night", FIRST], ["accuracy", "--plain"], ["verify"]):
            process = self.start(arguments, place, modules=self.folder / "modules")
            ended = self.wait(process, place, seconds=600)
            assert ended.code == 0, ended.err
            self._ask(do="load", modules=str(self.folder / "modules"))
        shutil.rmtree(place)

    def start(
        self,
        arguments: list[str],
        place: Path,
        fault: Fault | None = None,
        trace: bool = False,
        modules: Path | None = None,
        journal: tuple[Path, Path] | None = None,
    ) -> int:
        """Begin a command in a workspace; ``journal`` is a file for its changes and a folder for what it removes."""
        self.number += 1
        request: dict[str, Any] = {
            "do": "start", "arguments": [*arguments, "-w", str(place)], "folder": str(place),
            "output": str(self.folder / f"{self.number}"), "fault": fault.plan() if fault else None,
        }  # fmt: skip
        if fault or trace:
            request["trace"] = str(self.folder / f"{self.number}.trace")
        if modules:
            request["modules"] = str(modules)
        if journal:
            request["journal"] = [str(part) for part in journal]
        process = int(self._ask(**request)["process"])
        self._outputs[process] = self.number
        return process

    def wait(self, process: int, place: Path, seconds: float = LIMIT_S) -> Ended:
        """How it ended."""
        answer = self._ask(do="wait", process=process, seconds=seconds)
        number = self._outputs.pop(process)
        texts = []
        for name in ("out", "err", "trace"):
            file = self.folder / f"{number}.{name}"
            texts.append(file.read_bytes().decode("utf-8", "replace") if file.exists() else "")
            file.unlink(missing_ok=True)
        return Ended(answer["code"], texts[0], texts[1], answer["memory"], texts[2], answer["cpu"])

    def run(
        self,
        arguments: list[str],
        place: Path,
        fault: Fault | None = None,
        trace: bool = False,
        journal: tuple[Path, Path] | None = None,
    ) -> Ended:
        """A command from its beginning to its end."""
        return self.wait(self.start(arguments, place, fault, trace, journal=journal), place)

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def compile_library(target: Path) -> str:
    """Build faults.c; the reason why that cannot be done here, or ''."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or not compiler:
        return "faults are injected by a library for Linux, which the compiler cc builds; one of the two is not here"
    done = subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", str(target), str(HERE / "faults.c"), "-ldl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else f"faults.c cannot be built here: {done.stderr}"


def photo(path: Path, animal: int, look: int) -> None:
    """96 x 72 px of blobs that belong to the animal, seen a little differently each time."""
    blobs = np.random.default_rng(animal).uniform(0, 1, (12, 4))
    rng = np.random.default_rng(1000 * animal + look)
    y, x = np.mgrid[:72, :96]
    grey = np.full((72, 96), 120.0)
    for cx, cy, size, shade in blobs:
        away = (x - 96 * cx - rng.uniform(-1, 1)) ** 2 + (y - 72 * cy - rng.uniform(-1, 1)) ** 2
        grey += (shade - 0.5) * 260 * np.exp(-away / (2 * (3 + 5 * size) ** 2))
    grey += rng.normal(0, 2, grey.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)).save(path)


PHOTOS = {
    "ada1.png": (1, 1, "Ada", "2025-05-01"), "ada2.png": (1, 2, "Ada", "2025-06-01"),
    "bob1.png": (2, 1, "Bob", "2025-05-02"), "bob2.png": (2, 2, "Bob", "2025-06-02"),
    "who1.png": (1, 3, "", "2026-06-03"), "who2.png": (3, 1, "", "2026-06-03"),
}  # fmt: skip


def make_season(folder: Path) -> None:
    """Settings, six photos of three animals, and names of two."""
    for name, (animal, look, _, _) in PHOTOS.items():
        photo(folder / "photos" / name, animal, look)
    rows = [f"{name},{animal},{date},left" for name, (_, _, animal, date) in PHOTOS.items()]
    (folder / "photos" / "metadata.csv").write_text("\n".join(["file,individual_id,date,viewpoint", *rows, ""]))
    (folder / "resight.toml").write_text(SETTINGS)


def tables(place: Path, names: tuple[str, ...] = (*TABLES, *MEASURED)) -> dict[str, pa.Table | str | None]:
    """Current tables without what says where something lies or which run wrote it, or how long it took."""
    result: dict[str, pa.Table | str | None] = {}
    for name in names:
        try:
            table = read_current(Workspace(place), name)
        except DamagedError as damage:
            result[name] = f"damaged: {damage}"
            continue
        if table is not None:
            apart = {"run_id", "against_run_id", *BY_PLACE.get(name, ())} & set(table.column_names)
            table = table.drop_columns(sorted(apart))
            if name == "accuracy":
                table = table.filter(pa.compute.invert(pa.compute.starts_with(table["metric"], "seconds")))
        result[name] = table
    return result
