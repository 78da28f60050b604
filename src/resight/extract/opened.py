"""Making, reading and writing a batch of features: a Zarr v3 group of one form, and no other.

Zarr's own code takes 30 ms for the seven arrays of a shard with three crops, nearly all of it to hand 150 small chunks from one
thread to another; this takes 2 ms. Every shard is one file: the chunks of its rows, zstd frames of little-endian numbers,
and behind them where each of them lies (Zarr v3, sharding codec 1.0). A row whose values are all zero has no chunk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

NO_CHUNK = 2**64 - 1
NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
ZSTD_LEVEL = 1
CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, reversed
CHECKSUM_BYTES = 4
# Anything else is a description that somebody has changed.
INNER_CODECS = ("bytes", "zstd")
INDEX_CODECS = ("bytes", "crc32c")


@dataclass(frozen=True)
class StoredArray:
    """An array of a batch.

    Attributes:
        folder: With its description and chunks.
        shape: (rows of the batch, ...).
        dtype: Little-endian.
        shard_rows: Rows in one shard.
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shard_rows: int

    @staticmethod
    def at(folder: Path) -> StoredArray:
        """The array in this folder.

        Raises:
            FileNotFoundError: It has no description.
            ValueError, LookupError, TypeError: The description is none, or not of an array of this form.
        """
        said = _json(folder / "zarr.json")
        shape, (codec,) = tuple(said["shape"]), said["codecs"]
        row, shard = shape[1:], tuple(said["chunk_grid"]["configuration"]["chunk_shape"])
        how = codec["configuration"]
        codecs = [tuple(one["name"] for one in how[kind]) for kind in ("codecs", "index_codecs")]
        as_made = (
            [said["zarr_format"], said["node_type"], said["fill_value"], said["chunk_grid"]["name"]],
            [codec["name"], *codecs, how["index_location"], tuple(how["chunk_shape"]), shard[1:]],
        )
        expected = (
            [3, "array", 0, "regular"],
            ["sharding_indexed", INNER_CODECS, INDEX_CODECS, "end", (1, *row), row],
        )
        if as_made != expected or said["chunk_key_encoding"]["name"] != "default":
            raise ValueError(f"{folder.name} is not stored as Resight stores it")
        return StoredArray(folder, shape, np.dtype(said["data_type"]).newbyteorder("<"), shard[0])

    def describe(self, about: Mapping[str, Any]) -> None:
        """Write what the array is, with ``about`` as its attributes (Zarr v3, core and sharding codec 1.0)."""
        row, little = list(self.shape[1:]), {"name": "bytes", "configuration": {"endian": "little"}}
        zstd = {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}
        sharding = {
            "chunk_shape": [1, *row],
            "codecs": [{"name": "bytes"} if self.dtype.itemsize == 1 else little, zstd],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        }
        self.folder.mkdir()
        _write_json(self.folder / "zarr.json", {
            "shape": list(self.shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [self.shard_rows, *row]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0.0 if self.dtype.kind == "f" else 0,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": dict(about),
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        })  # fmt: skip

    def shard_file(self, start: int) -> Path:
        """The file of the shard that begins with this row."""
        return self.folder.joinpath("c", str(start // self.shard_rows), *["0"] * (len(self.shape) - 1))

    def shard(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, ...) values of the shard that begins with row ``start``; what has no chunk is 0.

        Raises:
            ValueError: Chunks are not where the shard says, or hold something else than rows.
            OSError: The file cannot be read.
        """
        values = np.zeros((stop - start, *self.shape[1:]), self.dtype)
        try:
            data = memoryview(self.shard_file(start).read_bytes())
        except NO_FILE:
            return values
        self._fill(values, range(stop - start), len(data), lambda offset, size: data[offset : offset + size])
        return values

    def some(self, start: int, rows: Sequence[int]) -> np.ndarray:
        """(len(rows), ...) values of these rows, which lie in the shard that begins with row ``start``; nothing else of it is read.

        Errors as of `shard`.
        """
        values = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        try:
            file = self.shard_file(start).open("rb", buffering=0)
        except NO_FILE:
            return values
        with file:

            def read(offset: int, size: int) -> memoryview:
                file.seek(offset)
                return memoryview(file.read(size))

            self._fill(values, [row - start for row in rows], file.seek(0, os.SEEK_END), read)
        return values

    def _fill(
        self, values: np.ndarray, rows: Iterable[int], length: int, read: Callable[[int, int], memoryview]
    ) -> None:
        """Write what the chunks of these rows of a shard hold into ``values``; ``read(offset, size)`` gives a piece of its file."""
        end, n_index = length - CHECKSUM_BYTES, 16 * self.shard_rows
        index = np.frombuffer(read(max(0, end - n_index), min(end, n_index)), "<u8").reshape(self.shard_rows, 2)
        n_bytes, codec = prod(self.shape[1:]) * self.dtype.itemsize, pa.Codec("zstd")
        for place, row in enumerate(rows):
            offset, size = index[row].tolist()
            if offset == NO_CHUNK:
                continue
            if offset + size > end:
                raise ValueError(f"a chunk of {self.folder.name} lies behind the end of its file")
            values[place] = self._row(codec, read(offset, size), n_bytes)

    def packed(self, values: np.ndarray) -> bytes:
        """The file of a shard with these rows; b'' where all of them are zero, which is no file."""
        codec, place, frames, index = pa.Codec("zstd", ZSTD_LEVEL), 0, [], []
        for row in np.ascontiguousarray(values, self.dtype):
            content = row.tobytes()
            frame = codec.compress(content, asbytes=True) if any(content) else b""
            index += [place, len(frame)] if frame else [NO_CHUNK, NO_CHUNK]
            frames.append(frame)
            place += len(frame)
        if not place:
            return b""
        index += [NO_CHUNK, NO_CHUNK] * (self.shard_rows - len(values))
        where = np.array(index, "<u8").tobytes()
        return b"".join([*frames, where, crc32c(where).to_bytes(CHECKSUM_BYTES, "little")])

    def _row(self, codec: pa.Codec, frame: memoryview, n_bytes: int) -> np.ndarray:
        try:
            content = codec.decompress(frame, n_bytes)
        except OSError as error:  # what pyarrow calls a frame that is none
            raise ValueError(str(error)) from None
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])


@dataclass(frozen=True)
class Group:
    """A batch that is read.

    Attributes:
        folder: Of the group.
        attrs: What it says about itself.
        arrays: By name.
    """

    folder: Path
    attrs: Mapping[str, Any]
    arrays: Mapping[str, StoredArray]

    @staticmethod
    def at(folder: Path, names: Iterable[str]) -> Group:
        """The group in this folder with these arrays. Errors as of `StoredArray.at`."""
        return Group(folder, attributes_of(folder), {name: StoredArray.at(folder / name) for name in names})

    def describe(self, about: Mapping[str, str]) -> None:
        """Write what the group and its arrays are, ``about`` by the name of each array, into a new folder."""
        self.folder.mkdir(parents=True)
        _write_json(self.folder / "zarr.json", {"attributes": dict(self.attrs), "zarr_format": 3, "node_type": "group"})
        for name, array in self.arrays.items():
            array.describe({"description": about[name]})

    @property
    def shard_rows(self) -> int:
        """Rows in one shard."""
        return int(self.attrs["shard_rows"])

    def rows(self, start: int, stop: int, names: Iterable[str]) -> dict[str, np.ndarray]:
        """The arrays ``names`` of the shard with the rows from ``start`` to ``stop``. Errors as of `StoredArray.shard`."""
        return {name: self.arrays[name].shard(start, stop) for name in names}

    def some(self, start: int, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """All arrays of these rows of the shard that begins with row ``start``. Errors as of `StoredArray.shard`."""
        return {name: array.some(start, rows) for name, array in self.arrays.items()}


def crc32c(data: bytes) -> int:
    """The checksum behind the index of a shard (Castagnoli, RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (CASTAGNOLI if byte & 1 else 0)
    return byte


CRC_TABLE = [_crc_of(byte) for byte in range(256)]


def attributes_of(folder: Path) -> dict[str, Any]:
    """What a group says about itself. Errors as of `StoredArray.at`."""
    attributes: dict[str, Any] = _json(folder / "zarr.json")["attributes"]
    return attributes


def _json(file: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(file.read_bytes())
    return said


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")
