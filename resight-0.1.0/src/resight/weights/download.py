"""Fetching a weights file: checked before it gets its name, never half there."""

from __future__ import annotations

import hashlib
import logging
import os
import urllib.request
import uuid
from http.client import HTTPException
from pathlib import Path

from resight.errors import MissingWeightsError, WeightsError
from resight.weights.registry import KnownFile

log = logging.getLogger("resight")
TIMEOUT_S = 60.0
CHUNK_BYTES = 1 << 20


def download(file: KnownFile, folder: Path) -> Path:
    """Fetch ``file`` into ``folder`` from the first address that gives the right bytes.

    Raises:
        WeightsError: No address did; quotes the answer of each.
    """
    problems = []
    for address in file.addresses:
        try:
            return _from(address, file, folder)
        except (OSError, HTTPException, WeightsError) as error:
            problems.append(f"{address}: {error}")
    raise MissingWeightsError(
        f"{file.file_name} could not be fetched ({'; '.join(problems)}); fetch it on a machine with internet and copy it "
        f"to {folder}."
    )


def _from(address: str, file: KnownFile, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target, partial = folder / file.file_name, folder / f".{file.file_name}.{uuid.uuid4().hex}.tmp"
    try:
        digest = _stream(address, partial, file.file_name)
        if file.sha256 not in (None, digest):
            raise WeightsError(f"the bytes have the SHA-256 {digest}, not {file.sha256}")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    log.info("fetched %s to %s", address, target)
    return target


def _stream(address: str, partial: Path, label: str) -> str:
    """Write what ``address`` gives to ``partial`` and return its SHA-256."""
    from resight.runner.progress import track

    digest, received = hashlib.sha256(), 0
    request = urllib.request.Request(address, headers={"User-Agent": "resight"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response, open(partial, "wb") as out:
        size = int(response.headers.get("Content-Length") or 0)
        with track(f"fetch {label}", "byte", size) as tracker:
            while chunk := response.read(CHUNK_BYTES):
                out.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                tracker.advance(len(chunk))
    if size and received != size:
        raise OSError(f"the connection ended after {received} of {size} bytes")
    return digest.hexdigest()
