"""The neighbours of each query's descriptors, kept as they change; `follow` says what for.

A *state* is what a query had found when it got an answer: of each descriptor its K + 1 nearest neighbours, and which crops it could find. It is
kept whole, or as the descriptors that have changed since an earlier state, so that a night writes what changed. A state has a digest of all that it stands for as its name: of the
crops themselves, not of their numbers. What is put together from several rows counts only if it has that digest; otherwise a row is missing,
or numbers are others (`numbered`), and the query is asked anew. A chain of states that has become longer than a whole one is begun again.

A state is of use as long as its answer is kept and one of the last `STATES` of the query, or this run's.
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import DamagedError
from resight.shortlist.follow import GONE, NOBODY, Before, Neighbours
from resight.shortlist.kept import keys_in
from resight.shortlist.numbered import Numbers
from resight.store import parts
from resight.store.damage import set_aside
from resight.store.fingerprint import digest_ids
from resight.store.parts import compact, part_files, whole_parts, write_part
from resight.store.selective import rows_where

FOLDER = "neighbours"
OF_BEFORE = "edges"  # what versions until 2026-11-30 kept in its place
STATES = 3  # of a query: nights and evaluations may take turns
LONGEST = 32  # rows that a state is put together from
WRITTEN = "sets as changes"  # rows of before have another name in `how`
QUERIES_PER_PART = 4096
KEPT = pa.schema(
    [
        ("query_crop_id", pa.string()),
        ("state", pa.string()),
        ("before", pa.string()),  # the state that this one differs from; missing where it is whole
        ("how", pa.string()),  # codebook, and how neighbours are looked for
        ("key", pa.string()),  # name of the answer
        ("asked_at", pa.timestamp("us")),
        # One bit for each number of a crop, pressed: whether it may be found, or, where the state is not whole, whether that has changed.
        # With 100,000 crops the bits of all are more than all else in the row.
        ("may_find", pa.binary()),
        ("changed", pa.binary()),  # uint16, which descriptors the next columns are about; all where it is whole
        ("distance", pa.binary()),  # float32, `_planes`
        ("crops", pa.binary()),  # uint32, number of a crop + 1, 0 for none, `_planes`
    ]
)
OF_USE = ("query_crop_id", "state", "before", "key", "asked_at")


class Row(NamedTuple):
    """Of `KEPT`."""

    query_crop_id: str
    state: str
    before: str | None
    how: str
    key: str
    asked_at: datetime
    may_find: bytes
    changed: bytes
    distance: bytes
    crops: bytes


class Found(NamedTuple):
    """What the descriptors of a query found: (N, K + 1) float32 distances, and (N, K + 1) int64 numbers of crops, -1 for none."""

    distance: np.ndarray
    crops: np.ndarray


@dataclass(frozen=True, eq=False)
class State:
    """What a row stands for.

    Attributes:
        row: The row.
        could_find: (M,) bool by number of a crop.
        found: All of it.
        n_rows: From how many rows it is put together.
        n_changed: Of how many descriptors these speak, but for the whole one.
    """

    row: Row
    could_find: np.ndarray
    found: Found
    n_rows: int
    n_changed: int


class Memory:
    """What some queries found in an index when they were asked before."""

    def __init__(
        self, folder: Path, how: str, crop_ids: Sequence[str], queries: Collection[str], n_neighbours: int
    ) -> None:
        """Read what is kept; damaged parts are set aside.

        Args:
            folder: Of the index's kind. One writer at a time.
            how: Names codebook, and how neighbours are looked for.
            crop_ids: (R,) crop of each row of the index.
            queries: Who is asked.
            n_neighbours: K + 1.
        """
        self.numbers = Numbers.given(folder, crop_ids)
        self._folder, self._how, self._n = folder, how, n_neighbours
        self._rows: dict[str, dict[str, Row]] = {}
        self._used: dict[str, State] = {}
        for file in part_files(folder / FOLDER):
            try:
                table = rows_where(file, KEPT, "query_crop_id", sorted(queries))
            except DamagedError as damage:
                set_aside(damage)
                continue
            for row in map(Row._make, zip(*(table[name].to_pylist() for name in KEPT.names), strict=True)):
                if row.how == how:
                    self._rows.setdefault(row.query_crop_id, {})[row.state] = row

    @property
    def n_rows(self) -> int:
        """R."""
        return len(self.numbers.of_row)

    def before(self, query: str, allowed: np.ndarray) -> tuple[str, Before] | None:
        """The state from which the least has changed for a query that may find these rows, (R,) bool, and the name of its answer.

        None where there is none, or where half of what it could find or more has changed: asking anew is less work then.
        """
        may_find = self.numbers.set_of(allowed)
        tried, now = [], np.packbits(may_find)
        for row, then in self._sets(query):
            n_changed = _n_bits(_changed(then, now))
            if 2 * n_changed < _n_bits(then):
                tried.append((n_changed, -row.asked_at.timestamp(), row, then))
        for _, _, row, then in sorted(tried, key=lambda one: one[:2]):
            state = self._whole(row, then)
            if state is not None:
                self._used[query] = state
                return row.key, self._before(state, may_find)
        return None

    def _sets(self, query: str) -> list[tuple[Row, np.ndarray]]:
        """Each row, and one bit for each number of a crop: what it could find. Not of those that differ from a row that is missing."""
        rows, sets = self._rows.get(query, {}), dict[str, np.ndarray]()
        for row in rows.values():
            chain: list[Row] = []
            link: Row | None = row
            while link is not None and link.state not in sets and len(chain) < LONGEST:
                chain.append(link)
                link = rows.get(link.before) if link.before else None
            for one in reversed(chain):
                if one.before is None or one.before in sets:
                    bits = np.frombuffer(zlib.decompress(one.may_find), np.uint8)
                    sets[one.state] = bits if one.before is None else _changed(sets[one.before], bits)
        return [(rows[state], bits) for state, bits in sets.items()]

    def _before(self, state: State, may_find: np.ndarray) -> Before:
        crops, row_of = state.found.crops, self.numbers.row_of
        rows = np.where(crops < 0, NOBODY, np.where(may_find[crops], row_of[crops], GONE))
        come = row_of[may_find & ~state.could_find]
        return Before(state.found.distance, rows.astype(np.int32), come.astype(np.int32))

    def keep(self, found: Iterable[tuple[str, Neighbours, np.ndarray]], keys: Mapping[str, str], asked: Path) -> None:
        """Keep what was found now; what is of no use any more goes.

        Args:
            found: Queries, what each found, and (R,) bool, the rows that it may find.
            keys: Names of the answers of all queries of the run.
            asked: Where answers are kept.
        """
        rows = (self._row(query, neighbours, allowed, keys[query]) for query, neighbours, allowed in found)
        new = sorted(row for row in rows if row is not None)
        for first in range(0, len(new), QUERIES_PER_PART):
            some = new[first : first + QUERIES_PER_PART]
            columns = [
                pa.array(values, field.type) for values, field in zip(zip(*some, strict=True), KEPT, strict=True)
            ]
            write_part(self._folder / FOLDER, digest_ids([row.state for row in some]), pa.table(columns, schema=KEPT))
        shutil.rmtree(self._folder / OF_BEFORE, ignore_errors=True)
        _forget(self._folder / FOLDER, frozenset(keys.values()), frozenset(keys_in(asked).to_pylist()))

    def _row(self, query: str, neighbours: Neighbours, allowed: np.ndarray, key: str) -> Row | None:
        """What is written of a state; None where it is there."""
        crops = np.where(neighbours.rows < 0, -1, self.numbers.of_row[neighbours.rows])
        found, may_find, before = Found(neighbours.distance, crops), self.numbers.set_of(allowed), self._used.get(query)
        state, every = self._digest(query, key, may_find, found), np.arange(len(crops))
        if state in self._rows.get(query, {}):
            return None
        changed = _differ(before.found, found) if before and before.found.crops.shape == crops.shape else every
        if before is None or before.n_rows >= LONGEST or before.n_changed + len(changed) >= len(crops):
            before, changed = None, every
        return Row(
            query,
            state,
            before.row.state if before else None,
            self._how,
            key,
            datetime.now(UTC).replace(tzinfo=None),
            zlib.compress(np.packbits(may_find ^ before.could_find if before else may_find).tobytes(), 1),
            changed.astype(np.uint16).tobytes() if before else b"",
            _planes(found.distance[changed].astype(np.float32)),
            _planes((crops[changed] + 1).astype(np.uint32)),
        )

    def _whole(self, row: Row, could_find_bits: np.ndarray) -> State | None:
        """Put together, with its bits of `_sets`; None where that is not what was kept."""
        chain = [row]
        while chain[-1].before is not None:
            before = self._rows[row.query_crop_id].get(chain[-1].before)
            if before is None or len(chain) == LONGEST:
                return None
            chain.append(before)
        distance, crops = self._values(chain[-1])
        changes = [(np.frombuffer(link.changed, np.uint16), *self._values(link)) for link in reversed(chain[:-1])]
        for rows, *values in changes:
            if (len(rows) and int(rows.max()) >= len(crops)) or any(len(of_rows) != len(rows) for of_rows in values):
                return None
            distance[rows], crops[rows] = values
        found, could_find = Found(distance, crops), self.numbers.unpacked(could_find_bits.tobytes())
        if could_find is None or crops.max(initial=-1) >= len(self.numbers):
            return None
        if self._digest(row.query_crop_id, row.key, could_find, found) != row.state:
            return None
        return State(row, could_find, found, len(chain), sum(len(rows) for rows, *_ in changes))

    def _values(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """(M, K + 1) distances and numbers of crops that a row speaks of."""
        crops = _from_planes(row.crops, np.uint32).astype(np.int64) - 1
        return _from_planes(row.distance, np.float32).reshape(-1, self._n), crops.reshape(-1, self._n)

    def _digest(self, query: str, key: str, may_find: np.ndarray, found: Found) -> str:
        """Of all that a state says, whatever the numbers of crops."""
        content = hashlib.sha256("\n".join((self._how, query, key, "")).encode())
        content.update(self.numbers.digest_of(may_find))
        content.update(np.ascontiguousarray(found.distance, np.float32).tobytes())
        content.update(self.numbers.digests[found.crops].tobytes())
        return content.hexdigest()[:32]


def _forget(folder: Path, in_use: Collection[str], kept: Collection[str]) -> None:
    """Put parts together, without states that are of no use; parts of nothing else go at once, and large ones are written again without most.

    Args:
        folder: Of the parts.
        in_use: Names of the answers of this run.
        kept: Names of all answers that are kept.
    """
    columns = pa.schema([KEPT.field(name) for name in OF_USE])
    states_in = dict(whole_parts(part_files(folder), columns))
    rows = sorted(
        (row for table in states_in.values() for row in zip(*(table[n].to_pylist() for n in OF_USE), strict=True)),
        key=lambda row: (row[0], row[4]),
        reverse=True,
    )
    before, wanted = {state: of_before for _, state, of_before, *_ in rows}, set[str]()
    for _, of_query in groupby(rows, key=lambda row: row[0]):
        with_answer = [(state, key) for _, state, _, key, _ in of_query if key in kept]
        for place, (state, key) in enumerate(with_answer):
            link: str | None = state if place < STATES or key in in_use else None
            while link is not None and link not in wanted:
                wanted.add(link)
                link = before.get(link)
    of_use = pa.array(sorted(wanted), pa.string())
    for file, table in states_in.items():
        n_of_use = pc.sum(pc.is_in(table["state"], of_use)).as_py() or 0
        is_large = file.stat().st_size >= parts.BYTES_OF_A_LARGE_PART  # `compact` leaves those as they are
        if n_of_use and not (is_large and 2 * n_of_use < table.num_rows):
            continue
        if n_of_use:
            left = rows_where(file, KEPT, "state", sorted(wanted))
            write_part(folder, digest_ids(left["state"].to_pylist()), left)
        file.unlink()
    compact(folder, KEPT, ("query_crop_id", "state"), lambda rows: rows.filter(pc.is_in(rows["state"], of_use)))


def _differ(one: Found, other: Found) -> np.ndarray:
    """Numbers of the descriptors that found something else, of the same query."""
    differs: np.ndarray = (one.crops != other.crops) | (one.distance != other.distance)
    return np.flatnonzero(differs.any(axis=1))


def _changed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bytes of what is in one of two sets and not in the other; the shorter one lacks what it says nothing of."""
    few, many = sorted((one, other), key=len)
    changed = many.copy()
    changed[: len(few)] ^= few
    return changed


def _n_bits(packed: np.ndarray) -> int:
    return int(np.bitwise_count(packed).sum())


def _planes(values: np.ndarray) -> bytes:
    """The first bytes of all numbers (4 bytes each), then the second ones, and so on: what is alike lies together and is pressed well."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4).T.tobytes()


def _from_planes(planes: bytes, kind: type[np.generic]) -> np.ndarray:
    """(N,) numbers."""
    return np.ascontiguousarray(np.frombuffer(planes, np.uint8).reshape(4, -1).T).view(kind).reshape(-1)
