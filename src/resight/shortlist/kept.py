"""The votes of each query, kept so that nobody is asked again what would be answered alike.

An answer depends on the query, on the codebook, on how votes are counted and on the set of gallery crops that the query may
find; neither on the other queries nor on the order of the index. So a night asks its new photos, and an older one only where a
crop that it may find has come or gone (and `follow` of these only what the crop makes a difference to). Where vectors count too, an answer also depends on what is
alike to the photos of the encounter, and on whose the crops are that they may find.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import DamagedError
from resight.shortlist.plan import CROP_VOTES
from resight.shortlist.union import Alike
from resight.store.damage import set_aside
from resight.store.fingerprint import digest_ids, fingerprint
from resight.store.parts import compact, part_files, whole_parts, write_part
from resight.store.selective import opened

VERIFIED, VOTERS = "lnbnn_verified", "voters"
EVIDENCE_VOTES = CROP_VOTES.append(pa.field(VERIFIED, pa.float64()))
# Voters of `verified.Verified` are missing in answers of earlier versions.
ANSWERS = EVIDENCE_VOTES.append(pa.field(VOTERS, pa.binary()))
KEPT_VOTES = pa.schema([*ANSWERS, ("key", pa.string()), ("asked_on", pa.date32())])
FOLDER = "asked"
UNUSED_DAYS = 30  # as long as the index keeps crops that have left the gallery


@dataclass(frozen=True, eq=False)
class Question:
    """What a query is asked.

    Attributes:
        crop_id: The query.
        allowed: (R,) bool, rows of the index that it may find.
        likely: Rows of its most alike crops and their cosines; None where vectors do not count.
        encounter: Whose photos speak together; the query itself where vectors do not count.
    """

    crop_id: str
    allowed: np.ndarray
    likely: tuple[np.ndarray, np.ndarray] | None
    encounter: str


class Keys:
    """Names of answers: the same for questions that must be answered alike, whatever the order of the index's rows."""

    def __init__(self, crop_ids: Sequence[str], how: str, alike: Alike | None) -> None:
        """Name answers of one index.

        Args:
            crop_ids: (R,) crop of each row.
            how: Names the codebook and how votes are counted.
            alike: Where vectors count too.
        """
        names = [f"{crop_id} {alike.owners.get(crop_id, crop_id)}" for crop_id in crop_ids] if alike else crop_ids
        digests = b"".join(hashlib.sha256(name.encode()).digest()[:16] for name in names)
        self._of_row, self._how = np.frombuffer(digests, np.uint64).reshape(-1, 2), how

    def of(self, questions: Iterable[Question]) -> dict[str, str]:
        """The key of each query's answer; all questions of an encounter must be there."""
        by_encounter: dict[str, list[tuple[str, bytes]]] = {}
        for question in questions:
            by_encounter.setdefault(question.encounter, []).append((question.crop_id, self._asked(question)))
        keys: dict[str, str] = {}
        for asked in by_encounter.values():
            together = hashlib.sha256(b"".join(content for _, content in sorted(asked))).hexdigest()
            keys |= {crop_id: fingerprint(self._how, crop_id, together) for crop_id, _ in asked}
        return keys

    def _asked(self, question: Question) -> bytes:
        """A set of crops is named by the sum of their digests, modulo 2^64 twice: it does not depend on their order."""
        found = [self._of_row[question.allowed].sum(axis=0, dtype=np.uint64)]
        if question.likely is not None:
            rows, cosines = question.likely
            order = np.lexsort((*self._of_row[rows].T, cosines))  # rows that are equally alike come in any order
            found += [self._of_row[rows][order], cosines[order]]
        content = hashlib.sha256(question.crop_id.encode())
        for array in found:
            content.update(np.ascontiguousarray(array).tobytes())
        return content.digest()


def look_up(folder: Path, keys: Collection[str]) -> tuple[frozenset[str], pa.Table, date | None]:
    """Which of these answers are kept, their rows, `ANSWERS`, and the day on which the one that is longest kept was asked.

    A damaged part is set aside and its queries asked again.
    """
    wanted, tables, asked_on = set(keys), [ANSWERS.empty_table()], dict[str, date]()
    of_mine = pa.array(sorted(wanted), pa.string())
    for file in part_files(folder):
        try:
            dated = opened(file).read(("key", "asked_on"))
        except DamagedError as damage:
            set_aside(damage)
            continue
        mine = dated.filter(pc.is_in(dated["key"], of_mine)).group_by("key").aggregate([("asked_on", "max")])
        found = set(mine["key"].to_pylist()) & wanted
        for _, rows in whole_parts([file], KEPT_VOTES) if found else ():
            is_vote = pc.and_(pc.is_in(rows["key"], pa.array(found)), pc.is_valid(rows["gallery_crop_id"]))
            tables.append(rows.filter(is_vote).select(ANSWERS.names))
            wanted -= found
        for key, day in zip(mine["key"].to_pylist(), mine["asked_on_max"].to_pylist(), strict=True):
            asked_on[key] = max(day, asked_on.get(key, day))
    return frozenset(set(keys) - wanted), pa.concat_tables(tables), min(asked_on.values(), default=None)


def keep(folder: Path, answers: pa.Table, asked: Mapping[str, str], in_use: Collection[str]) -> None:
    """Keep the answers of queries that were asked now; what nobody has used for `UNUSED_DAYS` goes.

    Args:
        folder: Of the parts. One writer at a time.
        answers: `ANSWERS`.
        asked: Key of each query; one that nothing voted for keeps a row without a gallery crop.
        in_use: All keys of this run.
    """
    today = datetime.now(UTC).date()
    silent = sorted(asked.keys() - set(answers["query_crop_id"].unique().to_pylist()))
    silence = {name: pa.nulls(len(silent), kind) for name, kind in zip(ANSWERS.names, ANSWERS.types, strict=True)}
    silence["query_crop_id"] = pa.array(silent, pa.string())
    rows = pa.concat_tables([answers.select(ANSWERS.names), pa.table(silence, schema=ANSWERS)])
    at = pc.index_in(rows["query_crop_id"].combine_chunks(), pa.array(list(asked), pa.string()))
    rows = rows.append_column("key", pa.array(list(asked.values()), pa.string()).take(at))
    rows = rows.append_column("asked_on", pa.repeat(pa.scalar(today, pa.date32()), rows.num_rows))
    write_part(folder, digest_ids(sorted(asked.values())), rows.cast(KEPT_VOTES))
    _forget(folder, in_use, today)


def renew(folder: Path, answers: pa.Table, keys: Mapping[str, str], asked_on: date | None) -> None:
    """Keep answers that are still used under today's date, before other flows that do not use them have them forgotten.

    Args:
        folder: Of the parts. One writer at a time.
        answers, asked_on: Of these queries, from `look_up`.
        keys: Key of each query whose answer is kept.
    """
    if asked_on and (datetime.now(UTC).date() - asked_on).days > UNUSED_DAYS // 2:
        keep(folder, answers, keys, keys.values())


def still_of_use(in_use: Collection[str], today: date) -> Callable[[pa.Table], pa.Table]:
    """Leaves of rows with ``key`` and ``asked_on`` those that this run uses, or that were asked within `UNUSED_DAYS`."""
    used, since = pa.array(sorted(in_use), pa.string()), pa.scalar(today - timedelta(days=UNUSED_DAYS), pa.date32())
    return lambda rows: rows.filter(pc.or_(pc.is_in(rows["key"], used), pc.greater_equal(rows["asked_on"], since)))


def keys_in(folder: Path) -> pa.Array:
    """Names of all answers that are kept."""
    columns = pa.schema([KEPT_VOTES.field("key")])
    tables = [rows for _, rows in whole_parts(part_files(folder), columns)]
    return pa.concat_tables([columns.empty_table(), *tables])["key"].unique()


def _forget(folder: Path, in_use: Collection[str], today: date) -> None:
    """Put parts together, without old answers that this run does not use; parts of nothing else go at once."""
    of_use = still_of_use(in_use, today)
    columns = pa.schema([KEPT_VOTES.field(name) for name in ("key", "asked_on")])
    for file, rows in list(whole_parts(part_files(folder), columns)):
        if not of_use(rows).num_rows:
            file.unlink()
    compact(folder, KEPT_VOTES, ("key", "gallery_crop_id"), of_use)
