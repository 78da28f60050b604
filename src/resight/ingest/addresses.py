"""Where files lie: on this machine or behind an fsspec address, and how they are written down.

Three forms of one file: its *address* (absolute path with forward slashes, or the full remote address), its *uri* in the
tables (relative to the workspace where it lies inside, so that a moved workspace stays whole; otherwise the address),
and whatever the user typed.

All three are text. File names need not be: on Linux they are bytes, and old archives hold names in Latin-1. A byte that
is not UTF-8 is written as the replacement character and two hex digits, so ``caf\\xe9.jpg`` is ``caf\ufffdE9.jpg`` in every
table, report and message; `path_of` gives the name on the disk back, and label files and sources may use that form.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from resight.errors import MachineError, SettingsError

REMOTE_MARK = "://"
LOCAL_PROTOCOLS = ("file://", "local://")
REPLACEMENT = "\ufffd"
SURROGATE_BASE = 0xDC00  # Python's stand-in for an undecodable byte is U+DC00 plus the byte (PEP 383)
SPOOL_BYTES = 64 << 20
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


def text_of(path: str) -> str:
    """A path as text that every table, page and terminal can hold; the inverse of `path_of`."""
    marked = re.sub(
        f"{REPLACEMENT}(?=[89A-F][0-9A-F])", "".join(f"{REPLACEMENT}{b:02X}" for b in REPLACEMENT.encode()), path
    )
    return re.sub("[\udc80-\udcff]", lambda byte: f"{REPLACEMENT}{ord(byte[0]) - SURROGATE_BASE:02X}", marked)


def path_of(text: str) -> str:
    """The path that `text_of` has written down, as Python hands it to the system."""
    path = re.sub(f"{REPLACEMENT}([89A-F][0-9A-F])", lambda byte: chr(SURROGATE_BASE + int(byte[1], 16)), text)
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def is_remote(address: str) -> bool:
    """Whether fsspec has to open it."""
    return REMOTE_MARK in address


def uri_of(address: str, root: Path) -> str:
    """How the tables name the file at ``address``."""
    return address.removeprefix(_text_of_root(root).rstrip("/") + "/")


def address_of(uri: str, root: Path | None) -> str:
    """Where the file of that name lies; the inverse of `uri_of`.

    Raises:
        ValueError: The uri is relative and there is no root.
    """
    if is_remote(uri) or Path(uri).is_absolute():
        return uri
    if root is None:
        raise ValueError(f"{uri} is relative to a workspace; say which one")
    return posixpath.join(_text_of_root(root), uri)


def _text_of_root(root: Path) -> str:
    return _as_posix(os.path.abspath(root))


@lru_cache(maxsize=8)
def _as_posix(path: str) -> str:
    """Once and not for each of 100,000 photos."""
    return text_of(Path(path).as_posix())


def local_source(source: str, root: Path) -> Path:
    """Absolute path of a source on this machine, symbolic links kept."""
    for protocol in LOCAL_PROTOCOLS:
        source = source.removeprefix(protocol)
    return Path(os.path.abspath(root / Path(path_of(source)).expanduser()))


def filesystem(source: str, setting: str = "ingest.sources") -> tuple[Any, str]:
    """The fsspec file system of a remote source, or of another address, and the path in it.

    Args:
        source: The address.
        setting: Where it was set.

    Raises:
        SettingsError: The driver is missing or the protocol unknown.
    """
    import fsspec

    protocol = source.partition(REMOTE_MARK)[0]
    if "::" in source:
        raise SettingsError(
            f"The source {source} is a chain of addresses ('::'), which is not read; unpack it into a folder first."
        )
    try:
        return fsspec.core.url_to_fs(source)
    except ImportError as error:
        cure = (
            f"pip install 'resight[{EXTRAS[protocol]}]'"
            if protocol in EXTRAS
            else f"the driver that fsspec asks for ({error})"
        )
        raise SettingsError(
            f"{_named(source, setting)} needs a driver that is not installed; install it with: {cure}."
        ) from None
    except ValueError as error:
        raise SettingsError(f"{_named(source, setting)} cannot be opened ({error}); correct it in {setting}.") from None


def _named(source: str, setting: str) -> str:
    return f"The source {source}" if setting == "ingest.sources" else f"{setting} = '{source}'"


@contextmanager
def opened(address: str) -> Iterator[IO[bytes]]:
    """The file at ``address``, seekable. A remote one is fetched once, into memory if small and onto the disk if not.

    Raises:
        OSError: It cannot be read.
        MachineError: Its whole folder went away, as where a disk is no longer mounted.
    """
    if not is_remote(address):
        try:
            mode = os.stat(path_of(address)).st_mode
        except FileNotFoundError as error:
            raise _went_away(address) or error from None
        if not stat.S_ISREG(mode):  # to open a pipe would wait without end
            raise OSError(f"{address} is no file")
        with open(path_of(address), "rb") as file:
            yield file
        return
    fs, path = filesystem(address)
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as copy:
        with fs.open(path, "rb") as file:
            shutil.copyfileobj(file, copy, 1 << 20)
        copy.seek(0)
        yield copy


def _went_away(address: str) -> MachineError | None:
    """Where a listed file is missing: the folder is missing too, or empty as a place is where nothing is mounted."""
    folder = folder_of(address)
    try:
        with os.scandir(path_of(folder)) as entries:
            return None if any(entries) else MachineError(errno.ESTALE, folder)
    except FileNotFoundError:
        return MachineError(errno.ESTALE, folder)


def read_bytes(address: str) -> bytes:
    """The whole content of a small file.

    Raises:
        OSError: It cannot be read.
    """
    with opened(address) as file:
        return file.read()


def folder_of(address: str) -> str:
    """Address of the folder that holds the file."""
    return posixpath.dirname(address)


def name_of(address: str) -> str:
    """Last part of an address."""
    return posixpath.basename(address)
