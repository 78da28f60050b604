"""What queries were answered before, told to those who ask them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.shortlist.block import VoteBlock
from resight.shortlist.kept import VERIFIED, VOTERS, look_up
from resight.shortlist.neighbours import Memory
from resight.shortlist.standing import Known


def with_earlier(folder: Path, memory: Memory, crop_ids: Sequence[str], blocks: Sequence[VoteBlock]) -> list[VoteBlock]:
    """The blocks, each with what its queries had found before, and what was verified then.

    Args:
        folder: Where answers are kept.
        memory: Of these queries.
        crop_ids: (R,) crop of each row of the index.
        blocks: Of queries that are asked.
    """
    before = {
        crop_id: found
        for block in blocks
        for crop_id, rows in block.may_find(len(crop_ids)).items()
        if (found := memory.before(crop_id, rows)) is not None
    }
    _, answers, _ = look_up(folder, {key for key, _ in before.values()})
    known = _known(answers, crop_ids)
    nothing = Known(np.zeros(0, np.int32), np.zeros(0), ())
    earlier = {crop_id: (found, known.get(crop_id, nothing)) for crop_id, (_, found) in before.items()}
    return [replace(block, earlier={q: earlier[q] for q, _ in block.queries if q in earlier}) for block in blocks]


def _known(answers: pa.Table, crop_ids: Sequence[str]) -> dict[str, Known]:
    """By query, of the candidates that were verified and that the index still has; from `kept.ANSWERS`."""
    row = pc.index_in(answers["gallery_crop_id"].combine_chunks(), pa.array(crop_ids, pa.string()))
    there = pc.and_(pc.is_valid(row), pc.and_(pc.is_valid(answers[VERIFIED]), pc.is_valid(answers[VOTERS])))
    answers = answers.append_column("row", row).filter(there).sort_by("query_crop_id")
    queries = np.array(answers["query_crop_id"].to_pylist(), dtype=object)
    rows, votes = np.asarray(answers["row"]).astype(np.int32), np.asarray(answers[VERIFIED])
    voters, starts = (
        answers[VOTERS].to_pylist(),
        np.flatnonzero(np.append(True, queries[1:] != queries[:-1])[: len(queries)]),
    )
    ends = [*starts[1:].tolist(), len(queries)]
    return {
        queries[a]: Known(rows[a:b], votes[a:b], tuple(voters[a:b]))
        for a, b in zip(starts.tolist(), ends, strict=False)
    }
