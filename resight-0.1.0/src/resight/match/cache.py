"""Results of pairs, kept so that no pair is ever matched twice: immutable part files under the matcher's fingerprint.

A pair is unordered. It is matched and stored with the smaller crop id first (``crop_id_a < crop_id_b``), so that a
query against a gallery crop and the same two the other way round share one result. Failed pairs are not kept: they are
tried again on the next run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import DamagedError
from resight.match.summary import SUMMARY_SCHEMA
from resight.store.damage import set_aside
from resight.store.fingerprint import digest_ids
from resight.store.parts import whole_parts, write_part
from resight.store.selective import opened

KEYS = ("crop_id_a", "crop_id_b")
PART_SCHEMA = pa.schema([pa.field(key, pa.string()) for key in KEYS] + list(SUMMARY_SCHEMA))


@dataclass(frozen=True)
class CropCodes:
    """Crop ids as numbers, in the order of their text, so that pairs of crops become single integers."""

    ids: pa.Array

    @staticmethod
    def of(*columns: pa.ChunkedArray | pa.Array) -> CropCodes:
        """Of all ids in ``columns``."""
        chunks = [
            c.cast(pa.string())
            for column in columns
            for c in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])
        ]
        every = pc.unique(pa.chunked_array(chunks, pa.string()))
        return CropCodes(every.take(pc.array_sort_indices(every)))

    def encode(self, ids: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """(N,) int64 codes; -1 for an id that is not there."""
        array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
        if pa.types.is_dictionary(array.type):
            of_value = np.append(self.encode(array.dictionary), -1)
            codes: np.ndarray = of_value[np.asarray(pc.fill_null(array.indices, len(of_value) - 1))]
            return codes
        return np.asarray(pc.fill_null(pc.index_in(array, self.ids), -1)).astype(np.int64)

    def pairs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(N,) int64, one number per unordered pair; -1 where either id is not there."""
        low, high = np.minimum(first, second), np.maximum(first, second)
        return np.where(low < 0, -1, low * len(self.ids) + high)

    def unpack(self, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes of the smaller and of the larger id of each pair."""
        low, high = np.divmod(pairs, max(1, len(self.ids)))
        return low, high


def look_up(
    files: Iterable[Path], codes: CropCodes, wanted: np.ndarray, schema: pa.Schema = PART_SCHEMA
) -> tuple[np.ndarray, pa.Table]:
    """Rows of ``files`` that belong to ``wanted`` pairs.

    Args:
        files: Part files; the first that has a pair counts.
        codes: Numbers of the crops.
        wanted: (N,) int64, sorted and unique, from `CropCodes.pairs`.
        schema: Columns to read.

    Returns:
        (M,) int64 sorted pair numbers that were found, and their M rows.
    """
    numbers, tables = [np.zeros(0, np.int64)], [schema.empty_table()]
    for file in files:
        try:
            keys = opened(file).read(KEYS, read_dictionary=list(KEYS))
        except DamagedError as damage:  # its pairs are matched again
            set_aside(damage)
            continue
        pairs = codes.pairs(*(codes.encode(keys.column(key)) for key in KEYS))
        hit = np.flatnonzero(is_in_sorted(pairs, wanted))
        if hit.size:
            for _, rows in whole_parts([file], schema):
                numbers.append(pairs[hit])
                tables.append(rows.take(pa.array(hit)))
    present, first = np.unique(np.concatenate(numbers), return_index=True)
    return present, rows_at(pa.concat_tables(tables), first)


def rows_at(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """``table.take(rows)``, without a copy where that is the table as it stands: a million pairs are 200 MB."""
    if len(rows) == table.num_rows and np.array_equal(rows, np.arange(len(rows))):
        return table
    return table.combine_chunks().take(pa.array(rows))


def is_in_sorted(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(N,) bool, which of ``values`` are in ``wanted`` (sorted, unique)."""
    if not wanted.size:
        return np.zeros(values.shape, bool)
    at = np.searchsorted(wanted, values).clip(max=wanted.size - 1)
    present: np.ndarray = wanted[at] == values
    return present


def write_pairs(folder: Path, table: pa.Table) -> Path:
    """Write one part; its name is the digest of the pairs in it, so that equal work writes an equal file."""
    keys = (f"{a} {b}" for a, b in zip(table["crop_id_a"].to_pylist(), table["crop_id_b"].to_pylist(), strict=True))
    return write_part(folder, digest_ids(keys), table)
