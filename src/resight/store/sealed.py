"""Files that prove that they are whole: a SHA-256 lies in each of them, and is compared when a process first reads it.

A Parquet file has one for each of its column chunks, see `store.chunks`; `store.selective` reads some of them. Earlier versions
wrote a single one for the whole file, also between the last page and the footer. In JSON it is the key ``sha256``. Files
without a digest, which still earlier versions wrote, are read as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from resight.errors import DamagedError
from resight.store import chunks
from resight.store.chunks import DIFFERS as DIFFERS
from resight.store.chunks import DIGEST_BYTES, TAIL_BYTES, Footer, footer_start
from resight.store.durable import errors_naming, write_bytes
from resight.store.fingerprint import canonical_json

T = TypeVar("T")

SEAL = b"resight:sha256:"
KEY = "sha256"

_seen: dict[str, tuple[int, int]] = {}  # size and time of change of the files that were compared in this process


def write_table(path: Path, table: pa.Table, **options: Any) -> None:
    """Write ``table`` with the digests of its chunks, in one rename."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=3, **options)
    written = memoryview(sink.getvalue())
    pieces = chunks.sealed(written)
    if pieces is None:  # another version of PyArrow may lay chunks out otherwise
        head, foot = written[: footer_start(written)], written[footer_start(written) :]
        digest = hashlib.sha256(head)
        digest.update(foot)
        pieces = [head, SEAL + digest.digest(), foot]
    write_bytes(path, pieces)


def read(file: Path, read_it: Callable[[Path], T]) -> T:
    """What ``read_it`` reads from a Parquet file that is whole.

    Raises:
        DamagedError: It is not.
        OSError: It is not there, may not be read, or the disk fails.
    """
    whole = check(file)
    return naming_damage(file, lambda: read_it(file), whole)


def naming_damage(file: Path, work: Callable[[], T], whole: bool = False) -> T:
    """Do some reading of a file; what the reader of the format says against it becomes `DamagedError`.

    Args:
        file: What is read.
        work: Reads it.
        whole: It was compared with its digest before.
    """
    try:
        with errors_naming(file):
            return work()
    except OSError as error:
        if error.errno is not None:  # the machine says so, not the reader of the format
            raise
        raise DamagedError(file, _why(error)) from None
    except (pa.ArrowException, ValueError, LookupError, MemoryError, OverflowError) as error:
        if whole and isinstance(error, MemoryError):  # of the machine: the file is what was written
            raise
        raise DamagedError(file, _why(error)) from None


def check(file: Path) -> bool:
    """Compare a whole Parquet file with its digests, once in a process unless it changes; False where it has none.

    Raises:
        DamagedError: They differ.
    """
    state = file.stat()
    key, now = str(file), (state.st_size, state.st_mtime_ns)
    if _seen.get(key) == now:
        return True
    with errors_naming(file):
        data = memoryview(file.read_bytes())
    if len(data) < TAIL_BYTES + 4 or bytes(data[:4]) != b"PAR1" or bytes(data[-4:]) != b"PAR1":
        raise DamagedError(file, "it is empty" if not len(data) else "it is no whole Parquet file")
    footer = footer_of(file)
    if footer is not None:
        footer.compare_all(data)
        _seen[key] = now
        return True
    foot = footer_start(data)
    end = foot - DIGEST_BYTES
    if end < len(SEAL) or bytes(data[end - len(SEAL) : end]) != SEAL:
        return False
    digest = hashlib.sha256(data[: end - len(SEAL)])
    digest.update(data[foot:])
    if digest.digest() != bytes(data[end:foot]):
        raise DamagedError(file, DIFFERS)
    _seen[key] = now
    return True


def check_or_read(file: Path) -> bool:
    """`check`, and what has no digest is read as a whole, as far as that tells; whether it has one.

    Raises:
        DamagedError: It is not what was written, or no table.
    """
    has_digest = check(file)
    if not has_digest:
        read(file, partial(pq.read_table, partitioning=None))
    return has_digest


def is_seen(file: Path) -> bool:
    """Whether it was compared whole in this process, and has not changed since."""
    state = file.stat()
    return _seen.get(str(file)) == (state.st_size, state.st_mtime_ns)


def footer_of(file: Path) -> Footer | None:
    """`chunks.read_footer`; a footer that cannot be read is damage.

    Raises:
        DamagedError: It is not what was written.
    """
    return naming_damage(file, lambda: chunks.read_footer(file))


def forget() -> None:
    """Compare files again that were compared before: a disk may lose bits of a file without another time of change."""
    _seen.clear()


def write_json(path: Path, value: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write a JSON object with its digest, in one rename."""
    whole = {**value, KEY: _json_digest(value)}
    write_bytes(path, json.dumps(whole, indent=indent, sort_keys=True).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, without its digest.

    Raises:
        DamagedError: It is no JSON object, or not the one that was written.
        FileNotFoundError: There is no such file.
    """
    try:
        with errors_naming(path):
            value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, _why(error)) from None
    if not isinstance(value, dict):
        raise DamagedError(path, "it is no JSON object")
    digest = value.pop(KEY, None)
    if digest not in (None, _json_digest(value)):
        raise DamagedError(path, DIFFERS)
    return value


def _json_digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(json.loads(json.dumps(value))).encode()).hexdigest()


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
