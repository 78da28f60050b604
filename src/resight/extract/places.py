"""Where the features of each crop lie: the index beside the batches of an extractor.

A crop has a row for every batch that it has been in. A batch that is put together with others (`joining`) goes after a while,
and its rows stay: the tables of earlier runs name it, and its rows tell where these crops lie now.

A crop that has failed has a row without a number of keypoints. A batch that is damaged is finished again, and a crop may
fail then that had its features there: this row counts, whatever other parts of the index say of that crop and that batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from resight.extract import store
from resight.store.parts import compact, part_files, read_parts
from resight.store.selective import rows_where

INDEX = "index"
INDEX_SCHEMA = pa.schema(
    [("crop_id", pa.string()), ("n_keypoints", pa.int32()), ("store", pa.string()), ("store_row", pa.int32())]
)
KEY = ("crop_id", "store")


@dataclass(frozen=True)
class Place:
    """Where the features of a crop lie."""

    n_keypoints: int
    store: str
    row: int


@dataclass(frozen=True)
class Index:
    """The index of one extractor.

    Attributes:
        rows: `INDEX_SCHEMA`, of crops that have not failed.
        n_rows: How many of them each batch has that is whole.
        stores: All batches that it knows, whether they are still there or not.
        failed_in: Those in which a crop has failed; such a name is not given again.
    """

    rows: pa.Table
    n_rows: Mapping[str, int]
    stores: frozenset[str]
    failed_in: frozenset[str]

    @staticmethod
    def read(folder: Path, root: Path) -> Index:
        """The index of the batches in ``folder`` of the workspace ``root``; damaged parts are set aside."""
        rows = read_parts(folder / INDEX, INDEX_SCHEMA)
        stores = frozenset(pc.unique(rows["store"]).to_pylist())
        failed_in = frozenset(pc.unique(rows.filter(pc.is_null(rows["n_keypoints"]))["store"]).to_pylist())
        rows = _of_use(rows)
        rows = rows.filter(pc.is_valid(rows["n_keypoints"]))
        counts = Counter(
            name for name, _ in set(zip(*(rows[c].to_pylist() for c in ("store", "crop_id")), strict=True))
        )
        return Index(rows, {name: counts[name] for name in stores if store.is_complete(root / name)}, stores, failed_in)

    def of_stores(self, names: Collection[str]) -> pa.Table:
        """Rows of these batches, each crop once, by crop."""
        rows = self.rows.filter(pc.is_in(self.rows["store"], pa.array(sorted(names), pa.string())))
        rows = rows.sort_by([(key, "ascending") for key in KEY])
        ids = rows["crop_id"].to_pylist()
        return rows.take(pa.array([k for k, crop_id in enumerate(ids) if k == 0 or crop_id != ids[k - 1]], pa.int64()))

    def places(self) -> dict[str, Place]:
        """Every crop that is done; what somebody deleted is not. Of several batches that have it, the one with most rows."""
        columns = (self.rows[name].to_pylist() for name in ("crop_id", "n_keypoints", "store", "store_row"))
        found: dict[str, Place] = {}
        for crop_id, n_keypoints, name, row in zip(*columns, strict=True):
            if name in self.n_rows:
                known = found.get(crop_id)
                if known is None or self._size(known.store) < self._size(name):
                    found[crop_id] = Place(n_keypoints, name, row)
        return found

    def _size(self, name: str) -> tuple[int, str]:
        return self.n_rows[name], name


def compact_index(folder: Path) -> None:
    """Put small parts of the index together; see `store.parts.compact`."""
    compact(folder / INDEX, INDEX_SCHEMA, KEY, _of_use)


def _of_use(rows: pa.Table) -> pa.Table:
    """Without the rows of crops that have failed in the same batch; those that say so stay."""
    failed = pc.is_null(rows["n_keypoints"])
    if not pc.any(failed).as_py():
        return rows
    keys = pc.binary_join_element_wise(*(rows[name] for name in KEY), " ").combine_chunks()
    superseded = pc.is_in(keys, keys.filter(failed.combine_chunks()))
    return rows.filter(pc.or_(failed, pc.invert(superseded)))


def elsewhere(root: Path, name: str, row: int) -> tuple[str, int] | None:
    """Another batch and row with the crop that is, or was, in this row of a batch; None where there is none.

    Args:
        root: Of the workspace.
        name: Of the batch, as the tables of runs have it.
        row: In it.
    """
    files = part_files((root / name).parent / INDEX)
    of_store = [rows_where(file, INDEX_SCHEMA, "store", [name]) for file in files]
    crops = [
        ids[0] for ids in (t.filter(pc.equal(t["store_row"], row))["crop_id"].to_pylist() for t in of_store) if ids
    ]
    if not crops:
        return None
    found = _of_use(pa.concat_tables([rows_where(file, INDEX_SCHEMA, "crop_id", crops[:1]) for file in files]))
    others = [
        (r["store"], r["store_row"])
        for r in found.to_pylist()
        if r["n_keypoints"] is not None and r["store"] != name and store.is_complete(root / r["store"])
    ]
    return max(others, default=None)
