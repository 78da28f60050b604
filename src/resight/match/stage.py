"""The stage: look up what was matched before, match the rest in blocks, give every planned pair a status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.environment import Environment
from resight.errors import BrokenCountError
from resight.match.cache import KEYS, PART_SCHEMA, is_in_sorted, look_up, rows_at
from resight.match.setup import MatchSetup
from resight.match.summary import SUMMARY_SCHEMA
from resight.match.work import NumberedPlan, Work
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
    """Match the planned pairs that were never matched before.

    Args:
        env: Where features are and results go.
        setup: Matcher and size of blocks.
        name: From `match_fingerprint`.
        plan: From `PairGrid.plan`; rows whose status is not ``planned`` pass through.
        features: The catalog's ``features`` table of this run.

    Raises:
        BrokenCountError: A planned crop has no features, or a pair got no status.
    """
    folder = env.workspace.stage_dir("match", name)
    numbered = NumberedPlan.of(plan)
    wanted = np.unique(numbered.pair[numbered.planned])
    kept, kept_rows = look_up(part_files(folder), numbered.codes, wanted, SUMMARY_SCHEMA)
    missing = np.setdiff1d(wanted, kept, assume_unique=True)
    work = Work(env, setup, folder, numbered.codes, features)
    blocks, failed = work.run(missing) if missing.size else ([], {})
    new, new_rows = look_up([folder / b.part for b in blocks if b.part], numbered.codes, missing, SUMMARY_SCHEMA)
    if blocks:
        compact(folder, PART_SCHEMA, KEYS)
    numbers = np.concatenate([kept, new])
    order = np.argsort(numbers)
    results = _Results(numbers[order], rows_at(pa.concat_tables([kept_rows, new_rows]), order), failed)
    return MatchResult(_joined(plan, numbered, results, name), len(new))


@dataclass(frozen=True)
class _Results:
    """Results of pairs: (P,) sorted numbers of those that were matched, their P rows, and why others failed, by number."""

    numbers: np.ndarray
    rows: pa.Table
    failed: Mapping[int, str]


def _joined(plan: pa.Table, numbered: NumberedPlan, results: _Results, name: str) -> pa.Table:
    """Every row of the plan with the result of its pair."""
    planned = numbered.planned
    at = np.searchsorted(results.numbers, numbered.pair)
    scored = planned & is_in_sorted(numbered.pair, results.numbers)
    reasons = [results.failed.get(int(pair)) for pair in numbered.pair[planned & ~scored]]
    lost = sum(reason is None for reason in reasons)
    if lost:
        raise BrokenCountError(
            f"stage match: {lost} of {int(planned.sum())} planned pairs have no result and no reason; "
            "run the same command again."
        )
    status, reason = _ending(plan, planned, scored, reasons)
    columns = {column: plan[column] for column in PASSED_ON}
    rows = results.rows
    of_row = rows_at(rows, at) if scored.all() else rows.take(pa.array(np.where(scored, at, 0), mask=~scored))
    columns |= _oriented(of_row, numbered)
    matched_as = pc.if_else(pa.array(planned), pa.scalar(name), pa.scalar(None, pa.string()))
    columns |= {"match_fingerprint": matched_as, "status": status, "reason": reason}
    added = ("run_id", "lnbnn", "lnbnn_verified", "cosine")  # by the shortlist, and from vectors
    schema = catalog_table("pairs").schema
    return pa.table({column: columns[column] for column in schema.names if column not in added})


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


def _oriented(rows: pa.Table, numbered: NumberedPlan) -> dict[str, pa.ChunkedArray | pa.Array]:
    """Summary columns with the keypoint counts of query and gallery on the right side."""
    forward = pa.array(numbered.query <= numbered.gallery)
    a, b = rows["n_keypoints_a"].combine_chunks(), rows["n_keypoints_b"].combine_chunks()
    counts = {"n_keypoints_query": pc.if_else(forward, a, b), "n_keypoints_gallery": pc.if_else(forward, b, a)}
    return counts | {name: rows[name] for name in SUMMARY_SCHEMA.names if not name.endswith(("_a", "_b"))}
