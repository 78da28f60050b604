"""Readers get anything: outlines, metadata, photos, parts, sealed JSON, settings. They answer, or refuse in one sentence.

A case is a kind of input and a number; the same two always make the same bytes. `corpus/<kind>/` holds what was ever found.
"""

from __future__ import annotations

import io
import random
import resource
import signal
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from warm import SETTINGS

from resight.environment import Environment
from resight.errors import ResightError
from resight.ingest.files import ingest_fingerprint
from resight.ingest.params import EncounterParams, IngestParams
from resight.ingest.stage import IngestSetup, ingest
from resight.run.models import Model, current_model, promote
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.settings import load_settings
from resight.status import PhotoStatus
from resight.store import sealed
from resight.store.damage import fresh_records, watch
from resight.store.parts import read_parts, write_part
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

CORPUS = Path(__file__).parent / "corpus"
LIMIT_S, LIMIT_BYTES = 60, 1 << 30
KINDS = ("coco", "csv", "photo", "part", "json", "toml")
ODD_CELLS = ("", " ", "NA", "-", "x" * 9000, '"', '""', "'", "\0", "\ud7ff", "é", "=1+1", "../../ada1.png", "/etc/passwd", "C:\\ada1.png",
             "0001-01-01", "9999-12-31", "2026-13-40", "24.12.2025", "1e999", "-1", "inf", "nan", "left", "LEFT;right", "gallery", "query",
             "\n", "\r", ",", ";", "\t", "sep=,", "999999999999999999999999", "\u202e", "\ufeff", "ada1.png", "ada1.PNG", "photos/ada1.png")  # fmt: skip
HEADS = (
    "file",
    "individual_id",
    "date",
    "taken_at",
    "encounter_id",
    "viewpoint",
    "role",
    "latitude",
    "longitude",
    "File",
    "",
    "path",
    "x",
)
ODD_VALUES = ('""', "-1", "0", "1e308", "inf", "nan", "true", "[]", "{}", '"x"', "999999999999999999999999", "1979-05-27", '"\\u0000"', "[[]]", "0x10", "'/'")  # fmt: skip
SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string()), ("c", pa.list_(pa.float32()))])
PART = pa.table(
    {"a": list(range(40)), "b": [f"x{i % 7}" for i in range(40)], "c": [[0.5] * (i % 3) for i in range(40)]},
    schema=SCHEMA,
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to six changes of bytes: bits, numbers at their limits, pieces that are lost, doubled, or of elsewhere."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at, size = rng.randrange(len(out) + 1), rng.choice((1, 1, 2, 4, 8, 40, 400))
        change = rng.randrange(6)
        if change == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif change == 1:
            out[at : at + size] = rng.randbytes(size)
        elif change == 2:
            del out[at : at + size]
        elif change == 3:
            out[at:at] = out[at : at + size]
        elif change == 4:
            out[at : at + 4] = struct.pack(
                rng.choice("<>") + "I", rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000, 0x80000000))
            )
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def metadata(rng: random.Random) -> bytes:
    """A table of labels with anything in any cell, in some encoding."""
    delimiter = rng.choice(",,,;\t")
    heads = [h for h in HEADS if rng.random() < 0.7]
    rows = [[rng.choice(ODD_CELLS) if rng.random() < 0.4 else rng.choice(("ada1.png", "Ada", "2025-05-01", "left", "5.5")) for _ in range(rng.randint(0, len(heads) + 2))]
            for _ in range(rng.randint(0, 8))]  # fmt: skip
    text = "\n".join(delimiter.join(row) for row in [heads, *rows])
    if rng.random() < 0.2:
        text = f"sep={delimiter}\n{text}"
    data = text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")), "replace")
    return mutate(data, rng) if rng.random() < 0.4 else data


def picture(rng: random.Random) -> bytes:
    """A small photo of some format with EXIF, a few bytes changed, most of them near the beginning."""
    kind, mode = rng.choice(
        (
            ("JPEG", "RGB"),
            ("PNG", "RGB"),
            ("PNG", "P"),
            ("TIFF", "RGB"),
            ("WEBP", "RGB"),
            ("PNG", "I;16"),
            ("JPEG", "CMYK"),
        )
    )
    grey = np.random.default_rng(7).integers(0, 255, (80, 100), np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 256) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    exif = Image.Exif()
    exif[0x0112], exif[0x0132] = (
        rng.randint(0, 10),
        rng.choice(("2025:05:01 10:00:00", "0000:00:00 00:00:00", "x", "9999:99:99 99:99:99")),
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (12.0, 3.0, 4.5), 3: "E", 4: (1.0, 2.0, 3.0)})
    buffer = io.BytesIO()
    image.save(buffer, kind, **({} if mode == "I;16" else {"exif": exif}))
    data = buffer.getvalue()
    head = 400 if rng.random() < 0.7 else len(data)
    return mutate(data[:head], rng) + data[head:]


def outlines(rng: random.Random) -> bytes:
    """As the tests of COCO files make them, and with bytes changed."""
    from test_ingest_coco_fuzz import variant

    data: bytes = variant(rng.randrange(1 << 30))
    return mutate(data, rng) if rng.random() < 0.2 else data


def settings(rng: random.Random) -> bytes:
    """A settings file with odd values, keys and bytes."""
    lines = SETTINGS.splitlines()
    if rng.random() < 0.2:  # nothing wrong
        lines = [f"{line}  # {rng.choice(ODD_VALUES)}" for line in lines]
        return "\r\n".join(lines).replace("32", str(rng.randint(8, 4000))).encode()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        key = lines[at].partition("=")[0]
        lines[at] = rng.choice((f"{key} = {rng.choice(ODD_VALUES)}", f"[{rng.choice(ODD_VALUES)}]", lines[at][1:], f"{lines[at]}{lines[at]}", "a." * 400 + "b = 1",
                                "x = " + "[" * rng.choice((5, 5000)), "[[segment]]", key + " = " + "{a = " * 300, f"{key}x = 1"))  # fmt: skip
    data = "\n".join(lines).encode("utf-8", "replace")
    return mutate(data, rng) if rng.random() < 0.4 else data


class Fuzz:
    """Feeds inputs to readers in one small workspace."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder.resolve())
        self.photos = folder / "photos"
        self.photos.mkdir(parents=True)
        grey = np.random.default_rng(1).integers(0, 255, (80, 100, 3), np.uint8)
        Image.fromarray(grey).save(self.photos / "ada1.png")
        Image.fromarray(grey[::-1]).save(self.photos / "a.png")
        watch(self.workspace.store)
        self.part = write_part(self.workspace.store / "match" / "name", "part", PART)
        promote(self.workspace, Model("0123456789abcdef", {"extract": {"kind": "sift"}}, {"x": "00"}))
        self.sealed = [
            *sorted(self.workspace.models.glob("*.json")),
            *sorted(self.workspace.generations.glob("*/*.json")),
        ]
        self.whole = {path: path.read_bytes() for path in (self.part, *self.sealed)}
        self.env = Environment(
            self.workspace, WeightStore(allow_download=False), Runner(DaskParams(mode="inline"), quiet=True)
        )
        self.readers: dict[str, Callable[[bytes], str]] = {
            "coco": lambda data: self._labels("annotations.coco.json", data), "csv": lambda data: self._labels("metadata.csv", data),
            "photo": self._photo, "part": self._part, "json": self._json, "toml": self._toml,
        }  # fmt: skip

    def data(self, kind: str, number: int) -> bytes:
        """The bytes of a case."""
        rng = random.Random(f"{kind} {number}")
        if kind == "part":
            return mutate(self.whole[self.part], rng)
        if kind == "json":
            return mutate(self.whole[self._sealed(number)], rng)
        made: bytes = {"coco": outlines, "csv": metadata, "photo": picture, "toml": settings}[kind](rng)
        return made

    def judge(self, case: tuple[str, int]) -> tuple[str, str]:
        """How it ended in a word, and what is wrong with that ('' if nothing)."""
        self.number = case[1]
        return self.judge_bytes(case[0], self.data(*case))

    def judge_bytes(self, kind: str, data: bytes) -> tuple[str, str]:
        """As `judge`, for given bytes."""
        before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(LIMIT_S)
        try:
            ending = self.readers[kind](data)
        except ResightError as error:
            ending, text = "one sentence", str(error)
            lines = text.strip().split("\n")  # a settings file may have several mistakes, a sentence each
            if not all(str(self.workspace.root) in line for line in lines) or (len(lines) > 1 and kind != "toml"):
                return ending, f"no sentence with a path: {text!r}"
        except TooLong as error:
            return "hangs", f"{error} for {data[:2000]!r}"
        except Exception as error:
            return "traceback", f"{type(error).__name__}: {error} for {data[:2000]!r}"
        finally:
            signal.alarm(0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        if grown > LIMIT_BYTES:
            return "memory", f"{grown >> 20} MB after {time.monotonic() - begun:.1f} s for {data[:2000]!r}"
        return ending, ""

    def _labels(self, name: str, data: bytes) -> str:
        (self.photos / name).write_bytes(data)
        try:
            return self._ingest()
        finally:
            (self.photos / name).unlink()

    def _photo(self, data: bytes) -> str:
        (self.photos / "odd.jpg").write_bytes(data)
        try:
            return self._ingest()
        finally:
            (self.photos / "odd.jpg").unlink()

    def _ingest(self) -> str:
        setup = IngestSetup(IngestParams(), EncounterParams())
        result = ingest(self.env, setup, ingest_fingerprint(setup.params), ["photos"], "2026-06-04")
        rows = {row["uri"]: row for row in result.photos.to_pylist()}
        assert rows["photos/ada1.png"]["status"] == PhotoStatus.OK, "the good photo is lost"
        for note in result.notes:
            assert "\n" not in note and len(note) < 4000, note
        odd = rows.get("photos/odd.jpg", {"status": "ok"})
        return "a note" if result.notes else "read" if odd["status"] == PhotoStatus.OK else "a row with a reason"

    def _part(self, data: bytes) -> str:
        self.part.unlink(missing_ok=True)
        self.part.write_bytes(data)
        sealed.forget()
        got = read_parts(self.part.parent, SCHEMA)
        if got.equals(PART):
            return "read"
        assert not got.num_rows, "rows that nobody wrote"
        assert not self.part.exists(), "a damaged part stays"
        return "set aside"

    def _json(self, data: bytes) -> str:
        for path, whole in self.whole.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # it may be for reading only
            path.write_bytes(whole)
        file = self._sealed(self.number)
        file.unlink()
        file.write_bytes(data)
        model = current_model(self.workspace)
        if model is None:  # the manifest named it, and there is no run that could tell it
            assert any(record.path.endswith(file.name) for record in fresh_records(self.workspace.store))
            return "set aside"
        assert model.fingerprint == "0123456789abcdef" and model.weights == {"x": "00"}, model
        return "read"

    def _sealed(self, number: int) -> Path:
        file: Path = self.sealed[number % len(self.sealed)]
        return file

    def _toml(self, data: bytes) -> str:
        (self.workspace.root / "resight.toml").write_bytes(data)
        load_settings(self.workspace.root, environ={})
        return "read"

    number = 1


class TooLong(BaseException):
    """No answer in time; no reader may take it for an error of its own."""


def _too_long(*_: Any) -> None:
    raise TooLong(f"no answer in {LIMIT_S} s")
