"""Parquet files whose column chunks each have a digest, so that whoever reads a few of them reads nothing unchecked.

The digests stand between the last page and the footer, where no reader looks: pages are found by their offset from the
start and the footer by its length from the end. In order: the SHA-256 of each column chunk (row group by row group, in each
the columns in their order), that of everything else before (the first four bytes and the page index), that of these digests
with their number and the footer, the number, and `MAGIC`. A reader takes the footer and the digests first, compares them,
and then compares every chunk that it takes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from resight.errors import DamagedError
from resight.store.durable import errors_naming

MAGIC = b"resight:chunks:1"
DIGEST_BYTES, NUMBER_BYTES = 32, 4
TAIL_BYTES = 8  # length of the footer, and PAR1
START_BYTES = 4  # PAR1
DIFFERS = "its contents do not agree with their digest"

Range = tuple[int, int]


@dataclass(frozen=True)
class Footer:
    """What a file says about itself, compared with its digest.

    Attributes:
        file: The file.
        metadata: Its footer.
        digests: One for each column chunk, and one for everything else.
        start: Offset of the digests.
    """

    file: Path
    metadata: pq.FileMetaData
    digests: tuple[bytes, ...]
    start: int

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns, with their metadata."""
        return self.metadata.schema.to_arrow_schema()

    def leaves(self, names: Iterable[str]) -> list[int]:
        """Numbers of the columns on disk that belong to columns of these names."""
        wanted = set(names)
        paths = (self.metadata.schema.column(i).path for i in range(self.metadata.num_columns))
        return [i for i, path in enumerate(paths) if path.split(".", 1)[0] in wanted]

    def chunk(self, row_group: int, leaf: int) -> Range:
        """First byte of a column chunk, and the byte behind its last."""
        return _range(self.metadata, row_group, leaf)

    def compare(self, row_group: int, leaf: int, data: memoryview) -> None:
        """Compare a column chunk with its digest.

        Raises:
            DamagedError: They differ.
        """
        if hashlib.sha256(data).digest() != self.digests[row_group * self.metadata.num_columns + leaf]:
            raise DamagedError(self.file, DIFFERS)

    def compare_all(self, data: memoryview) -> None:
        """Compare everything before the digests with them; ``data`` is the whole file.

        Raises:
            DamagedError: Something differs.
        """
        ranges = _ranges(self.metadata)
        if _digests(data[: self.start], ranges) != self.digests:
            raise DamagedError(self.file, DIFFERS)


def sealed(written: memoryview) -> list[bytes | memoryview] | None:
    """A Parquet file with the digests of its chunks, in pieces; None where its chunks do not lie one behind the other."""
    foot = footer_start(written)
    ranges = _ranges(pq.read_metadata(pa.BufferReader(pa.py_buffer(written))))
    behind = [START_BYTES, *(stop for _, stop in ranges)]
    if any(start != before for (start, _), before in zip(ranges, behind, strict=False)):
        return None
    digests = _digests(written[:foot], ranges)
    number = len(digests).to_bytes(NUMBER_BYTES, "little")
    root = _root(digests, number, written[foot:])
    return [written[:foot], b"".join(digests), root, number, MAGIC, written[foot:]]


def read_footer(file: Path) -> Footer | None:
    """Footer and digests of a file; None where it has no digests of chunks.

    Raises:
        DamagedError: It is no Parquet file, or the footer and its digest differ.
    """
    with errors_naming(file), file.open("rb") as opened:
        size = opened.seek(0, io.SEEK_END)
        tail = read_range(opened, max(0, size - TAIL_BYTES), size)
        if size < START_BYTES + TAIL_BYTES or tail[-4:] != b"PAR1":
            raise DamagedError(file, "it is no whole Parquet file" if size else "it is empty")
        foot = size - TAIL_BYTES - int.from_bytes(tail[:4], "little")
        fixed = foot - len(MAGIC) - NUMBER_BYTES - DIGEST_BYTES
        if fixed < START_BYTES:
            return None
        block = read_range(opened, fixed, foot)
        if block[-len(MAGIC) :] != MAGIC:
            return None
        number = block[DIGEST_BYTES : DIGEST_BYTES + NUMBER_BYTES]
        start = fixed - DIGEST_BYTES * int.from_bytes(number, "little")
        if start < START_BYTES:
            raise DamagedError(file, DIFFERS)
        joined, footer = read_range(opened, start, fixed), read_range(opened, foot, size)
    digests = tuple(joined[i : i + DIGEST_BYTES] for i in range(0, len(joined), DIGEST_BYTES))
    if _root(digests, number, footer) != block[:DIGEST_BYTES]:
        raise DamagedError(file, DIFFERS)
    metadata = pq.read_metadata(pa.BufferReader(b"PAR1" + footer))
    return Footer(file, metadata, digests, start)


def read_range(opened: io.BufferedReader, start: int, stop: int) -> bytes:
    """Some bytes of an open file; every byte of a selective read goes through here."""
    opened.seek(start)
    return opened.read(stop - start)


def footer_start(data: memoryview) -> int:
    """Offset of the footer of a Parquet file."""
    return len(data) - TAIL_BYTES - int.from_bytes(data[-TAIL_BYTES:-4], "little")


def _range(metadata: pq.FileMetaData, row_group: int, leaf: int) -> Range:
    chunk = metadata.row_group(row_group).column(leaf)
    start = chunk.data_page_offset if chunk.dictionary_page_offset is None else chunk.dictionary_page_offset
    return start, start + chunk.total_compressed_size


def _ranges(metadata: pq.FileMetaData) -> list[Range]:
    numbers = range(metadata.num_columns)
    return [_range(metadata, row_group, leaf) for row_group in range(metadata.num_row_groups) for leaf in numbers]


def _digests(head: memoryview, ranges: Sequence[Range]) -> tuple[bytes, ...]:
    rest = hashlib.sha256(head[:START_BYTES])
    rest.update(head[ranges[-1][1] if ranges else START_BYTES :])
    return (*(hashlib.sha256(head[start:stop]).digest() for start, stop in ranges), rest.digest())


def _root(digests: Sequence[bytes], number: bytes, footer: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(b"".join(digests))
    digest.update(number)
    digest.update(footer)
    return digest.digest()
