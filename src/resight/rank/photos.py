"""From pairs of crops to pairs of photos, with all columns that ranking needs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import BrokenCountError

PHOTO_PAIR_COLUMNS = (
    "query_photo_id",
    "query_encounter_id",
    "gallery_photo_id",
    "gallery_encounter_id",
    "individual_id",
    "score",
    "query_crop_id",
    "gallery_crop_id",
)
CROPS = ("query_crop_id", "gallery_crop_id")
FACTS = ("photo_id", "encounter_id", "individual_id")


def photo_pairs(scores: pa.Table, crops_info: pa.Table, purpose: str = "identify") -> pa.Table:
    """One row per query photo and gallery photo: their best pair of crops (ties: smallest crop ids).

    Args:
        scores: The ``scores`` table; rows of another purpose are ignored.
        crops_info: Columns ``crop_id, photo_id, encounter_id, individual_id``; every gallery crop has an individual.
        purpose: ``identify`` or ``calibrate``.

    Returns:
        `PHOTO_PAIR_COLUMNS`, sorted by the two photo ids; ``individual_id`` is the gallery photo's. Texts are dictionaries: what
        follows compares and moves numbers then.

    Raises:
        BrokenCountError: A crop is not in ``crops_info``, or a gallery crop belongs to no individual.
    """
    chosen = scores.select(["purpose", "score", *CROPS])
    chosen = chosen.filter(pc.equal(chosen["purpose"], purpose))
    crops = [_encoded(chosen[name]) for name in CROPS]
    facts = pa.table({name: _encoded(crops_info[name]) for name in FACTS})
    query, gallery = (facts.take(_look_up(of_side, crops_info["crop_id"])) for of_side in crops)
    unnamed = gallery["individual_id"].null_count
    if unnamed:
        raise BrokenCountError(
            f"{unnamed} pairs have a gallery crop without individual; only known animals are candidates"
        )
    photos = query["photo_id"], query["encounter_id"], gallery["photo_id"], gallery["encounter_id"]
    best_crops = gallery["individual_id"], chosen["score"], *crops
    rows = pa.table([*photos, *best_crops], names=list(PHOTO_PAIR_COLUMNS))
    return rows.take(pa.array(_best_rows(rows)))


def codes(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """(N,) int64 codes that sort like the strings."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = array.dictionary_encode()
    place = np.empty(len(encoded.dictionary), np.int64)
    place[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(place))
    return place[encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)]


def starts(*sorted_keys: np.ndarray) -> np.ndarray:
    """Index of the first row of every group of equal keys; the keys are sorted."""
    if not len(sorted_keys[0]):
        return np.zeros(0, np.int64)
    new = np.any([np.diff(key) != 0 for key in sorted_keys], axis=0)
    return np.concatenate([[0], np.flatnonzero(new) + 1])


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    array = column.combine_chunks()
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()


def _look_up(crops: pa.DictionaryArray, known: pa.ChunkedArray) -> pa.Array:
    """(N,) the row of each crop."""
    row = pc.index_in(crops.dictionary, known.combine_chunks()).take(crops.indices)
    if row.null_count:
        raise BrokenCountError(f"{row.null_count} pairs have a crop that is not among the crops of this run")
    return row


def _best_rows(rows: pa.Table) -> np.ndarray:
    query, gallery = codes(rows["query_photo_id"]), codes(rows["gallery_photo_id"])
    ties = codes(rows["gallery_crop_id"]), codes(rows["query_crop_id"])
    order = np.lexsort((*ties, -rows["score"].to_numpy(), gallery, query))
    return order[starts(query[order], gallery[order])]
