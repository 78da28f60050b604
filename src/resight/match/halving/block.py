"""One piece of successive halving: a block of queries, run on a worker, that leaves two part files behind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from resight.errors import ResightError, one_line
from resight.match.blocks import MatcherSpec, load_matcher, single_thread
from resight.match.cache import KEYS, PART_SCHEMA, write_pairs
from resight.store.fingerprint import digest_ids
from resight.store.parts import write_part
from resight.store.workspace import Workspace

if TYPE_CHECKING:
    from resight.extract.reader import FeatureReader
    from resight.match.engine.batch import Encoded
    from resight.match.engine_matcher import EngineMatcher

# One row per query that was asked: who is not in ``dropped`` went through all layers.
HALVED_SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # digest of the query's id and the sorted ids of its candidates
        ("query_crop_id", pa.string()),
        ("dropped", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, eq=False)
class Asking:
    """A query of a block: its key, its place among the block's crops, (G,) int32 places of its candidates."""

    key: str
    crop: int
    gallery: np.ndarray


@dataclass(frozen=True, eq=False)
class HalvingBlock:
    """Queries that are asked one after the other.

    Attributes:
        root: The workspace's folder.
        folder: Where the part with the dropped candidates goes.
        pairs_folder: Where the part with the survivors' results goes.
        spec: The matcher.
        crops: (crop_id, store, row in the store) of each crop in the block.
        queries: Who asks whom.
        bins: Bins of the histogram.
    """

    root: Path
    folder: Path
    pairs_folder: Path
    spec: MatcherSpec
    crops: tuple[tuple[str, str, int], ...]
    queries: tuple[Asking, ...]
    bins: int

    def __len__(self) -> int:
        return sum(len(query.gallery) for query in self.queries)

    def ids(self, places: Sequence[int] | np.ndarray) -> list[str]:
        """Crop ids at ``places``."""
        return [self.crops[place][0] for place in places]

    def all_failed(self, reason: str) -> tuple[tuple[str, str, str], ...]:
        """Every pair with this reason."""
        return tuple((self.crops[q.crop][0], g, reason) for q in self.queries for g in self.ids(q.gallery))


@dataclass(frozen=True)
class HalvedBlock:
    """What a block gives back.

    Attributes:
        dropped: Candidates that fell behind, by the key of their query.
        failed: (query_crop_id, gallery_crop_id, reason).
        n_pairs: Pairs that took part.
        seconds: Time for them, without loading the matcher.
    """

    dropped: dict[str, list[str]]
    failed: tuple[tuple[str, str, str], ...]
    n_pairs: int
    seconds: float


@dataclass(frozen=True)
class _Answer:
    """One query's dropped candidates, survivors' rows (`PART_SCHEMA`), and (candidate, reason) of who failed."""

    dropped: list[str]
    rows: pa.Table
    failed: list[tuple[str, str]]


def halve_block(block: HalvingBlock) -> HalvedBlock:
    """Ask the block's queries and write what came of it; the results first, so that who is done has them.

    A query with a failed pair is not written down as done.

    Raises:
        ResightError: The matcher cannot be built or does not fit the features.
    """
    from resight.extract.reader import FeatureReader

    single_thread()
    matcher = cast("EngineMatcher", load_matcher(block.spec))
    reader, start = FeatureReader(Workspace(block.root)), time.perf_counter()
    answers = [_ask(block, query, matcher, reader) for query in block.queries]
    rows = _once(pa.concat_tables([PART_SCHEMA.empty_table(), *(answer.rows for answer in answers)]))
    if rows.num_rows:
        write_pairs(block.pairs_folder, rows)
    done = [
        {"key": query.key, "query_crop_id": block.crops[query.crop][0], "dropped": answer.dropped}
        for query, answer in zip(block.queries, answers, strict=True)
        if not answer.failed
    ]
    if done:
        write_part(block.folder, digest_ids(str(row["key"]) for row in done), pa.Table.from_pylist(done, HALVED_SCHEMA))
    pairs = list(zip(block.queries, answers, strict=True))
    failed = tuple((block.crops[q.crop][0], g, why) for q, answer in pairs for g, why in answer.failed)
    dropped = {query.key: answer.dropped for query, answer in pairs}
    return HalvedBlock(dropped, failed, len(block) - len(failed), time.perf_counter() - start)


def _ask(block: HalvingBlock, query: Asking, matcher: EngineMatcher, reader: FeatureReader) -> _Answer:
    """Halve one query's candidates; one that cannot be read fails alone, a query that cannot be read with all of them."""
    (asking,), lost = _encoded(block, [query.crop], matcher, reader)
    if asking is None:
        return _all_lost(block.ids(query.gallery), lost[query.crop])
    encoded, lost = _encoded(block, query.gallery.tolist(), matcher, reader)
    gallery = [(crop_id, e) for crop_id, e in zip(block.ids(query.gallery), encoded, strict=True) if e is not None]
    failed = [(block.crops[place][0], reason) for place, reason in lost.items()]
    crop_id = block.crops[query.crop][0]
    try:
        through, rows = matcher.halve((crop_id, asking), gallery, block.bins)
    except ResightError:
        raise
    except Exception as error:  # one bad query must not take the others of its block with it
        return _all_lost(block.ids(query.gallery), one_line(error))
    survivors = [gallery[i][0] for i in through]
    dropped = sorted({gallery_id for gallery_id, _ in gallery} - set(survivors))
    ids = [[side(crop_id, gallery_id) for gallery_id in survivors] for side in (min, max)]
    for at, (name, column) in enumerate(zip(KEYS, ids, strict=True)):
        rows = rows.add_column(at, name, pa.array(column, pa.string()))
    return _Answer(dropped, rows.select(PART_SCHEMA.names).cast(PART_SCHEMA), failed)


def _encoded(
    block: HalvingBlock, places: Sequence[int], matcher: EngineMatcher, reader: FeatureReader
) -> tuple[list[Encoded | None], dict[int, str]]:
    """The encoded crops at ``places``, None where one cannot be read or encoded, and the reasons of those."""
    encoded: list[Encoded | None] = []
    lost: dict[int, str] = {}
    for place in places:
        crop_id, store, row = block.crops[place]
        try:
            encoded.append(matcher.kept(crop_id, partial(reader.load, store, row)))
        except ResightError:
            raise
        except Exception as error:  # becomes a row with a reason
            encoded.append(None)
            lost[place] = one_line(error)
    return encoded, lost


def _all_lost(gallery: Sequence[str], reason: str) -> _Answer:
    return _Answer([], PART_SCHEMA.empty_table(), [(crop_id, reason) for crop_id in gallery])


def _once(rows: pa.Table) -> pa.Table:
    """Each pair once, by its ids: two queries of a block may have brought each other through."""
    ids = list(zip(*(rows[key].to_pylist() for key in KEYS), strict=True))
    first = {pair: at for at, pair in reversed(list(enumerate(ids)))}
    return rows.take(pa.array([first[pair] for pair in sorted(first)], pa.int64()))
