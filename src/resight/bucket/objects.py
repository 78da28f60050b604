"""Objects below an address: what is there, and putting files there that are then known to be whole."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from resight.errors import ResightError
from resight.ingest.addresses import filesystem
from resight.store.digests import digest_of

SETTING = "publish.to"
TRIES = 2


class BucketError(ResightError):
    """Object storage cannot be read or written; what was published there before is still what readers find."""


@dataclass(frozen=True)
class Content:
    """What an object must hold: its size and its SHA-256."""

    bytes: int
    sha256: str


class Objects:
    """The objects below one address.

    Args:
        address: Such as ``s3://bucket/place``.

    Raises:
        SettingsError: The driver is missing or the protocol unknown.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._fs, root = filesystem(address, SETTING)
        self._root = str(root).rstrip("/")

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of every object below ``folder``, by its name relative to the address."""
        with self._sentences("read"):
            self._fs.invalidate_cache()
            found = self._fs.find(self._at(folder), detail=True)
        return {self._name(path): int(info["size"]) for path, info in found.items()}

    def read_json(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Those of the objects that are there and hold a JSON object, by name."""
        with self._sentences("read"):
            told = self._fs.cat([self._at(name) for name in names], on_error="return") if names else {}
            for error in told.values():
                if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                    raise error
        objects = {self._name(path): _json(data) for path, data in told.items() if isinstance(data, bytes)}
        return {name: value for name, value in objects.items() if value is not None}

    def put_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON object in one request: readers see the one before or this one."""
        with self._sentences("written"):
            self._fs.pipe_file(self._at(name), json.dumps(value, indent=2, sort_keys=True).encode() + b"\n")

    def put(self, files: Mapping[str, Path]) -> None:
        """Upload files under these names."""
        with self._sentences("written"):
            self._fs.put([str(file) for file in files.values()], [self._at(name) for name in files])

    def copy(self, names: Mapping[str, str]) -> None:
        """Copy objects within the storage, new name by old name."""
        with self._sentences("written"):
            for old, new in names.items():
                self._fs.cp_file(self._at(old), self._at(new))

    def differing(self, wanted: Mapping[str, Content], files: Mapping[str, Path]) -> list[str]:
        """Which of the objects do not hold what they must. Those whose MD5 the storage does not tell are read.

        Args:
            wanted: By name.
            files: The file with that content on this machine, by name.
        """
        self._fs.invalidate_cache()
        unsure = [name for name, content in wanted.items() if not self._is_told(name, content, files[name])]
        return [name for name in unsure if self._digest(name) != wanted[name].sha256]

    def remove(self, folder: str) -> None:
        """Remove everything below ``folder``."""
        with self._sentences("written"):
            self._fs.rm(self._at(folder), recursive=True)

    def changed_at(self, name: str) -> datetime:
        """When an object was written."""
        with self._sentences("read"):
            changed: datetime = self._fs.modified(self._at(name))
        return changed

    def _is_told(self, name: str, content: Content, file: Path) -> bool:
        """Whether the storage itself says that the object has this content."""
        with self._sentences("read"):
            try:
                info = self._fs.info(self._at(name))
            except FileNotFoundError:
                return False
        md5 = _md5_of(info)
        if md5 is None or int(info["size"]) != content.bytes:
            return False
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5

    def _digest(self, name: str) -> str:
        with tempfile.TemporaryDirectory(prefix="resight-") as folder, self._sentences("read"):
            copy = Path(folder) / "object"
            try:
                self._fs.get_file(self._at(name), str(copy))
            except FileNotFoundError:
                return ""
            return digest_of(copy)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _name(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")

    @contextmanager
    def _sentences(self, done: str) -> Iterator[None]:
        """Errors of drivers, of which there are many, in one sentence."""
        try:
            yield
        except ResightError:
            raise
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise BucketError(
                f"{self.address} cannot be {done} ({why}); readers find there what they found before. Check the network, the bucket "
                "and the credentials, then run `resight publish`, which uploads the rest."
            ) from error


def _md5_of(info: Mapping[str, Any]) -> str | None:
    """MD5 as S3 (of one part, without a key of KMS) and Google tell it; another ETag only looks like one, and then differs."""
    if info.get("md5Hash"):
        return base64.b64decode(info["md5Hash"]).hex()
    etag = str(info.get("ETag", "")).strip('"')
    return etag if len(etag) == 32 and all(c in "0123456789abcdef" for c in etag) else None


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
