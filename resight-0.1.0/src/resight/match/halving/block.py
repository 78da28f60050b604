"""One piece of successive halving: a block of queries, run on a worker, that writes two part files."""

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
from resight.match.blocks import MatcherSpec, load_matcher, single_thread, with_crop_ids
from resight.match.cache import KEYS, PART_SCHEMA, write_pairs
from resight.store.fingerprint import digest_ids
from resight.store.parts import write_part
from resight.store.workspace import Workspace

if TYPE_CHECKING:
    from resight.extract.reader import FeatureReader
    from resight.match.engine.batch import Encoded
    from resight.match.engine_matcher import EngineMatcher

# One row per query that is done; a candidate that is not in ``dropped`` went through all layers.
HALVED_SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # digest of the query's id and the sorted ids of its candidates
        ("query_crop_id", pa.string()),
        ("dropped", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, eq=False)
class QueryPlaces:
    """A query of a block: its key, its place among the block's crops, (G,) int32 places of its candidates."""

    key: str
    crop: int
    gallery: np.ndarray


@dataclass(frozen=True, eq=False)
class HalvingBlock:
    """Queries whose candidates are halved, one query after the other.

    Attributes:
        root: The workspace's folder.
        folder: Where the part with the dropped candidates is written.
        pairs_folder: Where the part with the survivors' results is written.
        spec: The matcher.
        crops: (crop_id, store, row in the store) of each crop in the block.
        queries: Queries and their candidates.
        bins: Bins of the histogram.
    """

    root: Path
    folder: Path
    pairs_folder: Path
    spec: MatcherSpec
    crops: tuple[tuple[str, str, int], ...]
    queries: tuple[QueryPlaces, ...]
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
        n_matched: Pairs that took part and did not fail.
        seconds: Time for them, without loading the matcher.
    """

    dropped: dict[str, list[str]]
    failed: tuple[tuple[str, str, str], ...]
    n_matched: int
    seconds: float


@dataclass(frozen=True)
class _Halved:
    """One query's dropped candidates, survivors' rows (`PART_SCHEMA`), and (candidate, reason) of who failed."""

    dropped: list[str]
    rows: pa.Table
    failed: list[tuple[str, str]]


def halve_block(block: HalvingBlock) -> HalvedBlock:
    """Halve the candidates of the block's queries and write the results.

    The survivors' results are written first, so that a query that counts as done has them. A query with a failed pair does not
    count as done.

    Raises:
        ResightError: The matcher cannot be built or does not fit the features.
    """
    from resight.extract.reader import FeatureReader

    matcher = cast("EngineMatcher", load_matcher(block.spec))
    single_thread()
    reader, start = FeatureReader(Workspace(block.root)), time.perf_counter()
    halved = [_halve(block, query, matcher, reader) for query in block.queries]
    rows = _once(pa.concat_tables([PART_SCHEMA.empty_table(), *(result.rows for result in halved)]))
    if rows.num_rows:
        write_pairs(block.pairs_folder, rows)
    done = [
        {"key": query.key, "query_crop_id": block.crops[query.crop][0], "dropped": result.dropped}
        for query, result in zip(block.queries, halved, strict=True)
        if not result.failed
    ]
    if done:
        write_part(block.folder, digest_ids(str(row["key"]) for row in done), pa.Table.from_pylist(done, HALVED_SCHEMA))
    results = list(zip(block.queries, halved, strict=True))
    failed = tuple((block.crops[q.crop][0], g, reason) for q, result in results for g, reason in result.failed)
    dropped = {query.key: result.dropped for query, result in results}
    return HalvedBlock(dropped, failed, len(block) - len(failed), time.perf_counter() - start)


def _halve(block: HalvingBlock, query: QueryPlaces, matcher: EngineMatcher, reader: FeatureReader) -> _Halved:
    """Halve one query's candidates. A candidate that cannot be read fails alone, a query with all its candidates."""
    (encoded_query,), lost = _encoded(block, [query.crop], matcher, reader)
    if encoded_query is None:
        return _all_lost(block.ids(query.gallery), lost[query.crop])
    encoded, lost = _encoded(block, query.gallery.tolist(), matcher, reader)
    gallery = [(crop_id, e) for crop_id, e in zip(block.ids(query.gallery), encoded, strict=True) if e is not None]
    failed = [(block.crops[place][0], reason) for place, reason in lost.items()]
    crop_id = block.crops[query.crop][0]
    try:
        through, rows = matcher.halve((crop_id, encoded_query), gallery, block.bins)
    except ResightError:
        raise
    except Exception as error:  # one bad query must not take the others of its block with it
        return _all_lost(block.ids(query.gallery), one_line(error))
    survivors = [gallery[i][0] for i in through]
    dropped = sorted({gallery_id for gallery_id, _ in gallery} - set(survivors))
    smaller, larger = ([side(crop_id, gallery_id) for gallery_id in survivors] for side in (min, max))
    return _Halved(dropped, with_crop_ids(rows, smaller, larger), failed)


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


def _all_lost(gallery: Sequence[str], reason: str) -> _Halved:
    return _Halved([], PART_SCHEMA.empty_table(), [(crop_id, reason) for crop_id in gallery])


def _once(rows: pa.Table) -> pa.Table:
    """Each pair once, by its ids: two crops of a block may each be a surviving candidate of the other."""
    ids = list(zip(*(rows[key].to_pylist() for key in KEYS), strict=True))
    first = {pair: at for at, pair in reversed(list(enumerate(ids)))}
    return rows.take(pa.array([first[pair] for pair in sorted(first)], pa.int64()))
