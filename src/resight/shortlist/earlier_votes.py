"""Votes as they were kept until 2026-11-28: of all queries of a run together, under a digest of all its pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.pairs.plan import PairGrid
from resight.pairs.policy import text_column
from resight.shortlist.kept import EVIDENCE_VOTES, VERIFIED
from resight.store.counts import PAIR_KEY
from resight.store.fingerprint import FINGERPRINT_CHARS, digest_ids, fingerprint
from resight.store.listing import matching
from resight.store.parts import whole_parts

FOLDER_OF_BEFORE = "votes"
MOST_PAIRS = 1 << 22  # each of them is written out to find the name


def earlier_votes(
    folder: Path, name: str, crop_ids: Sequence[str], grids: Sequence[PairGrid], how: Mapping[str, Any]
) -> pa.Table | None:
    """`EVIDENCE_VOTES` of all queries of these grids; None where nothing was kept of just these.

    Args:
        folder: Of the indexes.
        name: Of the index.
        crop_ids: (R,) crop of each row.
        grids: All pairs of the run.
        how: Settings that decide the votes.
    """
    before = folder / FOLDER_OF_BEFORE
    n_pairs = sum(len(grid) * len(grid.gallery_ids) for grid in grids)
    if any(grid.beside is not None for grid in grids):
        return None  # all pairs took part then
    if n_pairs > MOST_PAIRS or not any(matching(before, "*.parquet")):
        return None
    tables = [grid.plan().pairs if grid.rows is None else grid.rows for grid in grids]
    pairs = pa.concat_tables([table.select(PAIR_KEY) for table in tables])
    key = fingerprint(VERIFIED, name, digest_ids(crop_ids), digest_of_texts(pairs), how)
    file = before / f"{key}.parquet"
    for _, votes in whole_parts([file] if file.exists() else [], EVIDENCE_VOTES):
        return votes
    return None


def digest_of_texts(pairs: pa.Table) -> str:
    """`digest_ids` of "query gallery" of every row, without a Python object for each."""
    sides = (text_column(pairs, name) for name in PAIR_KEY)
    lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*sides, " "), "", "\n")
    _, offsets, data = lines.buffers()
    n_bytes = int(np.frombuffer(offsets, np.int32)[len(lines)]) if len(lines) else 0
    return hashlib.sha256(memoryview(data)[:n_bytes] if n_bytes else b"").hexdigest()[:FINGERPRINT_CHARS]
