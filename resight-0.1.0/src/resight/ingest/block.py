"""A block of files, hashed and (where the content is new) decoded on a worker; one part file comes out of it.

Part rows are facts about a file (this uri, size and version has this content) and, where ``decoded``, about the content.
They hold no labels: those are read afresh in every run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from resight.errors import machine_errors_at, one_line
from resight.ingest.addresses import opened
from resight.ingest.decode import Limits, Picture, examine
from resight.ingest.sources import PhotoFile
from resight.store.fingerprint import digest_ids
from resight.store.parts import write_part

Row = dict[str, Any]

PART_SCHEMA = pa.schema(
    [
        ("uri", pa.string()),
        ("size_bytes", pa.int64()),
        ("version", pa.string()),
        ("sha256", pa.string()),
        ("decoded", pa.bool_()),
        ("first_night", pa.string()),
        ("format", pa.string()),
        ("width_px", pa.int32()),
        ("height_px", pa.int32()),
        ("orientation", pa.int32()),
        ("taken_at", pa.timestamp("us")),
        ("utc_offset", pa.string()),
        ("latitude_deg", pa.float64()),
        ("longitude_deg", pa.float64()),
        ("camera", pa.string()),
        ("sharpness", pa.float64()),
        ("exposure", pa.float64()),
        ("contrast", pa.float64()),
        ("clipped_fraction", pa.float64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


@dataclass(frozen=True)
class Job:
    """A file to look at; ``decoded`` are the digests of decoded contents of the same size."""

    file: PhotoFile
    decoded: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """Everything that a worker has to know; small and picklable."""

    folder: Path
    limits: Limits
    night: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True)
class BlockResult:
    """What a block did.

    Attributes:
        n_decoded: Pictures opened.
        unreadable: Uris and why; not kept, so that the next run tries again.
        unversioned: Uris and digests of files whose version nobody can tell, so that only this run may rely on them.
    """

    n_decoded: int
    unreadable: tuple[tuple[str, str], ...]
    unversioned: tuple[tuple[str, str], ...]


def run_block(block: Block) -> BlockResult:
    """Look at all files of a block, then write its part file.

    Raises:
        MachineError: Full disk and the like, which is no photo's status.
    """
    with machine_errors_at(block.folder):
        return _run_block(block)


def _run_block(block: Block) -> BlockResult:
    rows: list[Row] = []
    unreadable: list[tuple[str, str]] = []
    seen: set[str] = set()
    for job in block.jobs:
        try:
            row = _look_at(job, seen, block)
        except Exception as error:  # one bad file must not take the others with it
            unreadable.append((job.file.uri, one_line(error, own=(PermissionError,))))
            continue
        seen.add(row["sha256"])
        rows.append(row)
    kept = [row for row in rows if row["decoded"] or row["version"]]
    if kept:
        write_part(block.folder, part_name(kept), pa.Table.from_pylist(kept, schema=PART_SCHEMA))
    unversioned = tuple((row["uri"], row["sha256"]) for row in rows if not row["version"])
    return BlockResult(sum(row["decoded"] for row in rows), tuple(unreadable), unversioned)


def _look_at(job: Job, seen: Iterable[str], block: Block) -> Row:
    file = job.file
    with opened(file.address) as stream:
        sha256 = _sha256(stream)
        row: Row = {
            "uri": file.uri,
            "size_bytes": file.size_bytes,
            "version": file.version,
            "sha256": sha256,
            "decoded": False,
        }
        if sha256 in job.decoded or sha256 in seen:
            return row
        stream.seek(0)
        return row | {"decoded": True, "first_night": block.night} | _facts(examine(stream, file.uri, block.limits))


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _facts(picture: Picture) -> Row:
    header = asdict(picture.header) if picture.header else {}
    quality = asdict(picture.quality) if picture.quality else {}
    return {**header, **asdict(picture.exif), **quality, "reason": picture.reason, "detail": picture.detail}


def part_name(rows: list[Row]) -> str:
    """Name of the part that holds these rows."""
    return digest_ids(f"{row['uri']}\t{row['size_bytes']}\t{row['version']}\t{row['sha256']}" for row in rows)
