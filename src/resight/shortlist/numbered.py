"""Crops of an index under numbers that are given once, so that what is kept of a query names them in a few bytes.

Numbers are no names: where they were lost, others are given. So whatever is kept with numbers carries a digest of the crops that they stand
for (`Numbers.digests`), and counts for nothing where that is another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.store.fingerprint import digest_ids
from resight.store.parts import compact, part_files, read_parts, write_part

NUMBERS = "numbers"
NUMBERED = pa.schema([("crop_id", pa.string()), ("number", pa.int64())])


class Numbers:
    """Numbers of all crops that an index of a folder ever had, and the rows of those that it has now.

    Attributes:
        of_row: (R,) int64, number of each row's crop.
        row_of: (M,) int64 by number, -1 for a crop that the index has no more.
        digests: (M + 1, 2) uint64 by number, of the crop's id; 0 where nobody has that number, and in the last row.
    """

    def __init__(self, crop_ids: Sequence[str], numbers: np.ndarray, of_row: np.ndarray) -> None:
        """From all crops that have a number, and the (R,) number of each row's crop."""
        n = int(max(numbers.max(initial=-1), of_row.max(initial=-1))) + 1
        self.of_row = of_row
        self.row_of = np.full(n, -1, np.int64)
        self.row_of[of_row] = np.arange(len(of_row))
        self.digests = np.zeros((n + 1, 2), np.uint64)
        named = b"".join(hashlib.sha256(crop_id.encode()).digest()[:16] for crop_id in crop_ids)
        self.digests[numbers] = np.frombuffer(named, np.uint64).reshape(-1, 2)
        self._sum = self.digests.sum(axis=0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self.row_of)

    @staticmethod
    def given(folder: Path, crop_ids: Sequence[str]) -> Numbers:
        """Of these rows; crops that have none yet are given theirs, and all of them where a number stands for two.

        Args:
            folder: Of the index's kind. One writer at a time.
            crop_ids: (R,).
        """
        kept = read_parts(folder / NUMBERS, NUMBERED)
        if _stands_for_two(kept):
            for file in part_files(folder / NUMBERS):
                file.unlink()
            kept = NUMBERED.empty_table()
        ids, known = pa.array(crop_ids, pa.string()), kept["crop_id"].combine_chunks()
        numbers = np.asarray(pc.fill_null(kept["number"].take(pc.index_in(ids, known)), -1)).astype(np.int64)
        new = np.flatnonzero(numbers < 0)
        if len(new):
            first = (pc.max(kept["number"]).as_py() + 1) if kept.num_rows else 0
            numbers[new] = np.arange(first, first + len(new))
            table = pa.table([ids.take(pa.array(new)), pa.array(numbers[new])], schema=NUMBERED)
            write_part(folder / NUMBERS, digest_ids([crop_ids[row] for row in new.tolist()]), table)
            compact(folder / NUMBERS, NUMBERED, ("crop_id",))
            kept = pa.concat_tables([kept, table])
        return Numbers(kept["crop_id"].to_pylist(), np.asarray(kept["number"]).astype(np.int64), numbers)

    def set_of(self, rows: np.ndarray) -> np.ndarray:
        """(M,) bool by number, from a set of rows (R,) bool."""
        numbers = np.zeros(len(self), bool)
        numbers[self.of_row] = rows
        return numbers

    def digest_of(self, numbers: np.ndarray) -> bytes:
        """Of a set, (M,) bool: the sum of its crops' digests modulo 2^64 twice, which does not depend on their numbers."""
        if 2 * np.count_nonzero(numbers) < len(numbers):
            return self.digests[:-1][numbers].sum(axis=0, dtype=np.uint64).tobytes()
        return (self._sum - self.digests[:-1][~numbers].sum(axis=0, dtype=np.uint64)).tobytes()  # of few, not of many

    def unpacked(self, packed: bytes) -> np.ndarray | None:
        """(M,) bool by number from packed bits; None where a number is among them that nobody has."""
        bits = np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool)
        if bits[len(self) :].any():
            return None
        return np.append(bits[: len(self)], np.zeros(max(0, len(self) - len(bits)), bool))


def _stands_for_two(kept: pa.Table) -> bool:
    """Whether a number was given to two crops: folders of two machines were put together, or an old part came back. Digests agree then with either."""
    crops = kept.group_by("number").aggregate([("crop_id", "count_distinct")])["crop_id_count_distinct"]
    return bool(pc.any(pc.greater(crops, 1)).as_py())
