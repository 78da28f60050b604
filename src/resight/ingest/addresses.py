"""Where files lie: on this machine or behind an fsspec address, and how they are written down.

Three forms of one file: its *address* (absolute path with forward slashes, or the full remote address), its *uri* in the
tables (relative to the workspace where it lies inside, so that a moved workspace stays whole; otherwise the address),
and whatever the user typed.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from resight.errors import SettingsError

REMOTE_MARK = "://"
LOCAL_PROTOCOLS = ("file://", "local://")
SPOOL_BYTES = 64 << 20
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


def is_remote(address: str) -> bool:
    """Whether fsspec has to open it."""
    return REMOTE_MARK in address


def uri_of(address: str, root: Path) -> str:
    """How the tables name the file at ``address``."""
    inside = Path(os.path.abspath(root)).as_posix().rstrip("/") + "/"
    return address.removeprefix(inside)


def address_of(uri: str, root: Path | None) -> str:
    """Where the file of that name lies; the inverse of `uri_of`.

    Raises:
        ValueError: The uri is relative and there is no root.
    """
    if is_remote(uri) or Path(uri).is_absolute():
        return uri
    if root is None:
        raise ValueError(f"{uri} is relative to a workspace; say which one")
    return (Path(os.path.abspath(root)) / uri).as_posix()


def local_source(source: str, root: Path) -> Path:
    """Absolute path of a source on this machine, symbolic links kept."""
    for protocol in LOCAL_PROTOCOLS:
        source = source.removeprefix(protocol)
    return Path(os.path.abspath(root / Path(source).expanduser()))


def filesystem(source: str) -> tuple[Any, str]:
    """The fsspec file system of a remote source and the path in it.

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
            f"The source {source} needs a driver that is not installed; install it with: {cure}."
        ) from None
    except ValueError as error:
        raise SettingsError(f"The source {source} cannot be opened ({error}); correct it in ingest.sources.") from None


@contextmanager
def opened(address: str) -> Iterator[IO[bytes]]:
    """The file at ``address``, seekable. A remote one is fetched once, into memory if small and onto the disk if not.

    Raises:
        OSError: It cannot be read.
    """
    if not is_remote(address):
        with open(address, "rb") as file:
            yield file
        return
    fs, path = filesystem(address)
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as copy:
        with fs.open(path, "rb") as file:
            shutil.copyfileobj(file, copy, 1 << 20)
        copy.seek(0)
        yield copy


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
