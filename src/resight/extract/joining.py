"""Small batches of features are put together, so that years of nights stay a handful of them.

Whoever compares a new photo reads crops of many nights, and each batch costs its own dozen of files. As with parts
(`store.parts.together`), what has been put together is larger than all smaller ones, so that a crop is written again a few
times and then lies in a whole shard with others. The batches that it came from stay until the next call, for readers
that have them open; `places.elsewhere` knows where their rows went.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.errors import DamagedError
from resight.extract import store
from resight.extract.base import Features
from resight.extract.damage import open_whole, read_shard
from resight.extract.opened import attributes_of
from resight.extract.places import INDEX, Index, compact_index
from resight.store.fingerprint import digest_ids
from resight.store.parts import together, write_part

# At most 319 rows of a third of a MB or so are held at once, however many nights come together.
PORTION_ROWS = 4 * store.SHARD_ROWS
OF_THE_GROUP = ("format", "version", "shard_rows", "crop_ids")


def join_small(folder: Path, root: Path) -> None:
    """Put small batches together, and remove those whose crops all lie in another one since an earlier call.

    Many are put together in portions, of which each is whole and in the index before the next begins. A kill leaves batches
    as they were, or a crop in two of them. A batch that turns out to be damaged is set aside or waits to be finished: its
    crops have no place any more, and who calls this has them computed again. Call it with the workspace locked.

    Args:
        folder: Of the batches of an extractor.
        root: Of the workspace.
    """
    index = Index.read(folder, root)
    used = {place.store for place in index.places().values()}
    for name in index.n_rows.keys() - used:
        store.remove(root / name)
    small = {root / name: n for name, n in index.n_rows.items() if name in used and n < store.SHARD_ROWS}
    chosen = together(small)
    if len(chosen) > 1:
        rows = index.of_stores({path.relative_to(root).as_posix() for path in chosen})
        for portion in _portions(rows):
            with suppress(DamagedError):  # it is written down, and the other portions may be whole
                _join(folder, root, portion)
    compact_index(folder)


def _portions(rows: pa.Table) -> Iterator[pa.Table]:
    """Rows of the index in portions, each by crop; rows of one batch come one after another, so that it is read once or twice.

    None of several is smaller than a shard: a portion must be larger than each batch that it takes rows from.
    """
    by_store = rows.sort_by([(key, "ascending") for key in ("store", "crop_id")])
    starts = list(range(0, rows.num_rows, PORTION_ROWS))
    if len(starts) > 1 and rows.num_rows - starts[-1] < store.SHARD_ROWS:
        starts.pop()
    for start, stop in pairwise([*starts, rows.num_rows]):
        yield by_store.slice(start, stop - start).sort_by("crop_id").combine_chunks()


def _join(folder: Path, root: Path, rows: pa.Table) -> None:
    """A batch with these rows of the index, which are sorted by crop."""
    first = root / rows["store"][0].as_py()
    layout = store.layout_of(open_whole(first))
    features = _features(root, rows)
    if any(len(f) > layout.max_keypoints or str(f.descriptors.dtype) != layout.descriptor_dtype for f in features):
        return
    ids = rows["crop_id"].to_pylist()
    # Named by what it comes from too: a batch of these very crops, of which some had failed, may be one of them.
    sources = sorted(set(rows["store"].to_pylist()))
    group = folder / f"{digest_ids(['joined', *sources, *ids])}.zarr"
    about = {name: value for name, value in attributes_of(first).items() if name not in OF_THE_GROUP}
    store.remove(group)  # what a kill has left
    shard_rows = min(store.SHARD_ROWS, len(ids))
    whole = store.Layout(len(ids), shard_rows, layout.max_keypoints, layout.descriptor_dim, layout.descriptor_dtype)
    store.create(group, whole, ids, about)
    for start, stop in whole.shards():
        store.write_shard(group, start, features[start:stop])
    store.complete(group, {})
    name = group.relative_to(root).as_posix()
    places: list[Any] = [pa.repeat(name, len(ids)), pa.array(range(len(ids)), pa.int32())]
    write_part(folder / INDEX, group.stem, pa.table([*rows.columns[:2], *places], schema=rows.schema))


def _features(root: Path, rows: pa.Table) -> list[Features]:
    """Of each row of the index; every shard is read once."""
    found: list[Features | None] = [None] * rows.num_rows
    of_store: dict[str, dict[int, int]] = {}
    for k, (name, row) in enumerate(zip(rows["store"].to_pylist(), rows["store_row"].to_pylist(), strict=True)):
        of_store.setdefault(name, {})[row] = k
    for name, wanted in sorted(of_store.items()):
        group = open_whole(root / name)
        for start, stop in store.layout_of(group).shards():
            if any(start <= row < stop for row in wanted):
                for row, features in enumerate(store.unpack(read_shard(root / name, group, start, stop)), start):
                    if row in wanted:
                        found[wanted[row]] = features
    return [features for features in found if features is not None]
