"""What is kept beside an answer: how near a crop must come to change it, and which crops the query could find.

Sets of crops are kept as one bit for each crop that an index of the folder ever had, under numbers that are given once. Whoever reads a set
compares it with the name of the answer, so one that was read with other numbers, because theirs were lost, is not taken for true.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import DamagedError
from resight.shortlist.kept import still_of_use
from resight.store.damage import set_aside
from resight.store.fingerprint import digest_ids
from resight.store.parts import compact, part_files, read_parts, write_part
from resight.store.selective import opened, rows_where

FOLDER, NUMBERS = "edges", "numbers"
EDGES = pa.schema(
    [
        ("key", pa.string()),
        ("edges", pa.list_(pa.float32())),
        ("asked_on", pa.date32()),
        ("query_crop_id", pa.string()),
        ("may_find", pa.binary()),
    ]
)
NUMBERED = pa.schema([("crop_id", pa.string()), ("number", pa.int64())])


@dataclass(frozen=True, eq=False)
class Reach:
    """Of an answer.

    Attributes:
        key: Its name.
        query: The crop that was asked.
        edges: (N,) float32, see `votes.Limits`.
        may_find: Packed bits by number of a crop.
    """

    key: str
    query: str
    edges: np.ndarray
    may_find: bytes


class Numbers:
    """The rows of an index as sets of numbered crops."""

    def __init__(self, numbers: np.ndarray) -> None:
        """From the (R,) number of each row's crop."""
        self._of_row, self._n = numbers, int(numbers.max(initial=-1)) + 1

    @staticmethod
    def given(folder: Path, crop_ids: Sequence[str]) -> Numbers:
        """Of these rows; crops that have none yet are given theirs.

        Args:
            folder: Of the index's kind. One writer at a time.
            crop_ids: (R,).
        """
        kept = read_parts(folder / NUMBERS, NUMBERED)
        ids, known = pa.array(crop_ids, pa.string()), kept["crop_id"].combine_chunks()
        numbers = np.asarray(pc.fill_null(kept["number"].take(pc.index_in(ids, known)), -1)).astype(np.int64)
        new = np.flatnonzero(numbers < 0)
        if len(new):
            first = (pc.max(kept["number"]).as_py() + 1) if kept.num_rows else 0
            numbers[new] = np.arange(first, first + len(new))
            table = pa.table([ids.take(pa.array(new)), pa.array(numbers[new])], schema=NUMBERED)
            write_part(folder / NUMBERS, digest_ids([crop_ids[row] for row in new.tolist()]), table)
            compact(folder / NUMBERS, NUMBERED, ("crop_id",))
        return Numbers(numbers)

    def packed(self, rows: np.ndarray) -> bytes:
        """A set of rows, (R,) bool."""
        bits = np.zeros(self._n, bool)
        bits[self._of_row] = rows
        return np.packbits(bits).tobytes()

    def rows(self, may_find: bytes) -> np.ndarray | None:
        """(R,) bool; None where a crop of the set is in no row."""
        bits = np.unpackbits(np.frombuffer(may_find, np.uint8)).astype(bool)
        inside = self._of_row < len(bits)
        rows = np.zeros(len(self._of_row), bool)
        rows[inside] = bits[self._of_row[inside]]
        return rows if rows.sum() == bits.sum() else None


def read_edges(folder: Path, queries: Collection[str]) -> list[Reach]:
    """What is kept of answers to these queries, the latest first; damaged parts are set aside."""
    found: list[tuple[date, Reach]] = []
    for file in part_files(folder / FOLDER):
        try:
            if "query_crop_id" not in opened(file).schema.names:
                continue  # as an earlier version left it
            rows = rows_where(file, EDGES, "query_crop_id", sorted(queries))
        except DamagedError as damage:
            set_aside(damage)
            continue
        for row in zip(*(rows[name] for name in EDGES.names), strict=True):
            key, edges, asked_on, query, may_find = row
            reach = Reach(key.as_py(), query.as_py(), np.asarray(edges.values, np.float32), may_find.as_py())
            found.append((asked_on.as_py(), reach))
    return [reach for _, reach in sorted(found, key=lambda one: (one[0], one[1].key), reverse=True)]


def keep_edges(folder: Path, reaches: Iterable[Reach], in_use: Collection[str], instead: Collection[str] = ()) -> None:
    """Keep edges; what nobody has used for `kept.UNUSED_DAYS` goes.

    Args:
        folder: Of the index's kind. One writer at a time.
        reaches: Of answers.
        in_use: Names of all answers of this run.
        instead: Names of answers in whose place these are; they go as soon as their part is written again.
    """
    new = {reach.key: reach for reach in reaches}
    if not new:
        return
    today, gone = datetime.now(UTC).date(), pa.array(sorted(set(instead) - new.keys()), pa.string())
    columns = [
        list(new),
        [reach.edges for reach in new.values()],
        [today] * len(new),
        [reach.query for reach in new.values()],
        [reach.may_find for reach in new.values()],
    ]
    write_part(folder / FOLDER, digest_ids(sorted(new)), pa.table(columns, schema=EDGES))
    of_use = still_of_use(in_use, today)

    def wanted(rows: pa.Table) -> pa.Table:
        return of_use(rows.filter(pc.invert(pc.is_in(rows["key"], gone))))

    compact(folder / FOLDER, EDGES, ("key",), wanted)
