"""The stage: look up what was matched before, match the rest in blocks, give every planned pair a status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.environment import Environment
from resight.errors import BrokenCountError
from resight.match.cache import (
    KEYS,
    PART_SCHEMA,
    CropCodes,
    is_in_sorted,
    look_up,
    rows_at,
)
from resight.match.setup import MatchSetup
from resight.match.work import Work
from resight.pairs.plan import PLANNED
from resight.status import PairStatus
from resight.store.parts import compact, part_files

PASSED_ON = ("query_crop_id", "gallery_crop_id", "purpose", "query_photo_id", "gallery_photo_id")


@dataclass(frozen=True)
class MatchResult:
    """What the stage gives back.

    Attributes:
        pairs: The catalog's ``pairs`` columns without ``run_id``, one row per row of the plan, in its order.
        n_matched: Pairs that were really matched in this call.
    """

    pairs: pa.Table
    n_matched: int


def match(env: Environment, setup: MatchSetup, name: str, plan: pa.Table, features: pa.Table) -> MatchResult:
    """Match the planned pairs that nobody has matched before.

    Args:
        env: Where features are and results go.
        setup: Matcher and size of blocks.
        name: From `match_fingerprint`.
        plan: From `plan_pairs`; rows whose status is not ``planned`` pass through.
        features: The catalog's ``features`` table of this run.

    Raises:
        BrokenCountError: A planned crop has no features, or a pair got no status.
    """
    folder = env.workspace.stage_dir("match", name)
    codes = CropCodes.of(plan["query_crop_id"], plan["gallery_crop_id"])
    planned = np.asarray(pc.equal(plan["status"], PLANNED))
    pair_of_row = codes.pairs(codes.encode(plan["query_crop_id"]), codes.encode(plan["gallery_crop_id"]))
    wanted = np.unique(pair_of_row[planned])
    found, rows = look_up(part_files(folder), codes, wanted)
    missing = np.setdiff1d(wanted, found, assume_unique=True)
    work = Work(env, setup, folder, codes, features)
    results, failed = work.run(missing) if missing.size else ([], {})
    new, new_rows = look_up([folder / r.part for r in results if r.part], codes, missing)
    if results:
        compact(folder, PART_SCHEMA, KEYS)
    numbers = np.concatenate([found, new])
    order = np.argsort(numbers)
    table = rows_at(pa.concat_tables([rows, new_rows]), order)
    pairs = _joined(plan, planned, pair_of_row, codes, numbers[order], table, failed, name)
    return MatchResult(pairs, len(new))


def _joined(
    plan: pa.Table,
    planned: np.ndarray,
    pair_of_row: np.ndarray,
    codes: CropCodes,
    numbers: np.ndarray,
    table: pa.Table,
    failed: dict[int, str],
    fp: str,
) -> pa.Table:
    """Every row of the plan with what was found out about its pair."""
    at = np.searchsorted(numbers, pair_of_row)
    scored = planned & is_in_sorted(pair_of_row, numbers)
    reasons = [failed.get(int(pair)) for pair in pair_of_row[planned & ~scored]]
    lost = sum(reason is None for reason in reasons)
    if lost:
        raise BrokenCountError(
            f"stage match: {lost} of {int(planned.sum())} planned pairs have no result and no reason; "
            "run the same command again."
        )
    status, reason = _ending(plan, planned, scored, reasons)
    columns = {name: plan[name] for name in PASSED_ON}
    found = rows_at(table, at) if scored.all() else table.take(pa.array(np.where(scored, at, 0), mask=~scored))
    columns |= _oriented(found, plan, codes)
    matched_as = pc.if_else(pa.array(planned), pa.scalar(fp), pa.scalar(None, pa.string()))
    columns |= {"match_fingerprint": matched_as, "status": status, "reason": reason}
    names = [
        name for name in catalog_table("pairs").schema.names if name not in ("run_id", "lnbnn", "lnbnn_verified")
    ]  # the votes are the shortlist's
    return pa.table({name: columns[name] for name in names})


def _ending(
    plan: pa.Table, planned: np.ndarray, scored: np.ndarray, reasons: Sequence[str | None]
) -> tuple[pa.Array, pa.Array]:
    failed = pa.array(planned & ~scored)
    passed = plan["status"].combine_chunks().cast(pa.string())
    status = pc.if_else(pa.array(scored), PairStatus.SCORED.value, pc.if_else(failed, PairStatus.FAILED.value, passed))
    reason = pc.replace_with_mask(
        plan["reason"].combine_chunks().cast(pa.string()), failed, pa.array(reasons, pa.string())
    )
    return status, reason


def _oriented(rows: pa.Table, plan: pa.Table, codes: CropCodes) -> dict[str, pa.ChunkedArray | pa.Array]:
    """Summary columns with the keypoint counts of query and gallery on the right side."""
    forward = pa.array(codes.encode(plan["query_crop_id"]) <= codes.encode(plan["gallery_crop_id"]))
    a, b = rows["n_keypoints_a"].combine_chunks(), rows["n_keypoints_b"].combine_chunks()
    counts = {"n_keypoints_query": pc.if_else(forward, a, b), "n_keypoints_gallery": pc.if_else(forward, b, a)}
    return counts | {name: rows[name] for name in PART_SCHEMA.names if not name.endswith(("_a", "_b"))}
