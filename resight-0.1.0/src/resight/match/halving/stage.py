"""Successive halving in the pipeline: of a query's candidates only the better go on to the deeper layers.

A candidate that goes through all layers is matched: its row is written to the cache of pair results, where stage ``match`` reads
it. A candidate that falls behind is left out of the plan. Which ones fall behind depends on the query's other candidates, so it is
stored by query and list of candidates.

A pair that is planned in both directions (gallery crops among each other, to calibrate) is left out only where it falls behind in
both: there is one result per pair, and it counts in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.environment import Environment
from resight.match.cache import KEYS, PART_SCHEMA, CropCodes, is_in_sorted
from resight.match.halving.block import HALVED_SCHEMA, HalvedBlock
from resight.match.halving.work import HalvingWork, Query
from resight.match.kinds.lightglue import LightGlueParams
from resight.match.setup import MatchSetup
from resight.match.work import NumberedPlan, encoded_ids
from resight.status import PairReason, PairStatus
from resight.store.fingerprint import digest_ids
from resight.store.parts import compact, part_files, whole_parts


@dataclass(frozen=True)
class HalvingResult:
    """What the step gives back.

    Attributes:
        plan: The plan with the same rows; what fell behind is ``not_shortlisted`` with the reason ``halved``.
        n_matched: Pairs that went through all layers in this call.
    """

    plan: pa.Table
    n_matched: int


def halve(env: Environment, setup: MatchSetup, name: str, plan: pa.Table, features: pa.Table) -> HalvingResult:
    """Run the rounds of ``match.halving`` for every query whose candidates differ from those of earlier calls.

    Queries to calibrate are treated like queries to identify: the best of the survivors must be judged by scores of a best of
    survivors. A crop that cannot be read fails its pairs, and its query is tried again in the next run.

    Args:
        env: Where features are and results go.
        setup: Matcher and size of blocks; without rounds the plan comes back as it is.
        name: From `match_fingerprint`.
        plan: From `PairGrid.plan` or the shortlist; only rows whose status is ``planned`` take part.
        features: The catalog's ``features`` table of this run.

    Raises:
        BrokenCountError: A planned crop has no features.
        SettingsError: A round comes after the checkpoint's last layer.
        WeightsError: The checkpoint has no trained head at a round's layer.
    """
    if not (isinstance(setup.params, LightGlueParams) and setup.params.halving):
        return HalvingResult(plan, 0)
    folder, pairs_folder = env.workspace.stage_dir("halving", name), env.workspace.stage_dir("match", name)
    numbered = NumberedPlan.of(plan)
    queries = _queries(numbered)
    dropped = _look_up(folder, [query.key for query in queries])
    todo = [query for query in queries if query.key not in dropped]
    work = HalvingWork(env, setup, folder, pairs_folder, numbered.codes, features)
    outcome = work.run(todo) if todo else HalvedBlock({}, (), 0, 0.0)
    if todo:
        compact(pairs_folder, PART_SCHEMA, KEYS)
        compact(folder, HALVED_SCHEMA, ["key"])
    ending = _Ending.of(numbered, queries, dropped | outcome.dropped, outcome.failed)
    fresh = np.concatenate([np.zeros(0, np.int64), *(query.rows for query in todo)])
    n_matched = np.unique(ending.pair[fresh[ending.survived[fresh]]]).size
    return HalvingResult(_with_ending(plan, ending), n_matched)


def _directed(codes: CropCodes, query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(N,) int64, one number per (query, gallery), which `CropCodes.pairs` does not tell from (gallery, query)."""
    return np.asarray(query * len(codes.ids) + gallery)


def _queries(numbered: NumberedPlan) -> list[Query]:
    """Planned rows by query crop, the candidates in the order of their ids."""
    q, g, planned = numbered.query, numbered.gallery, np.flatnonzero(numbered.planned)
    rows = planned[np.lexsort((g[planned], q[planned]))]
    starts = np.flatnonzero(np.diff(q[rows], prepend=-1))
    queries = []
    for part in np.split(rows, starts[1:]) if rows.size else []:
        crop, gallery = int(q[part[0]]), g[part]
        key = digest_ids(numbered.codes.ids.take(pa.array([crop, *gallery])).to_pylist())
        queries.append(Query(crop, gallery, part, key))
    return queries


def _look_up(folder: Path, keys: Sequence[str]) -> dict[str, list[str]]:
    """Dropped candidates by key, of the queries that are done already."""
    wanted = pa.array(keys, pa.string())
    dropped: dict[str, list[str]] = {}
    for _, table in whole_parts(part_files(folder), HALVED_SCHEMA):
        hit = pc.is_in(table["key"], wanted)
        if pc.any(hit).as_py():
            rows = table.filter(hit)
            dropped |= dict(zip(rows["key"].to_pylist(), rows["dropped"].to_pylist(), strict=True))
    return dropped


@dataclass(frozen=True)
class _Ending:
    """How each row of the plan ends.

    Attributes:
        pair: (rows,) int64, number of the unordered pair.
        survived: (rows,) bool, the candidate went through all layers in this direction.
        dropped: (rows,) bool, it fell behind, and the pair did not survive in the other direction.
        reasons: By row, why it failed.
    """

    pair: np.ndarray
    survived: np.ndarray
    dropped: np.ndarray
    reasons: dict[int, str]

    @staticmethod
    def of(
        numbered: NumberedPlan,
        queries: Sequence[Query],
        dropped_ids: dict[str, list[str]],
        failed: Sequence[tuple[str, str, str]],
    ) -> _Ending:
        """Of all rows, from the candidates that fell behind by query key and (query, gallery, reason) of failed pairs."""
        pair = numbered.pair
        fell, took_part = np.zeros(len(pair), bool), np.zeros(len(pair), bool)
        for query in queries:
            took_part[query.rows] = True
            gone = np.sort(numbered.codes.encode(pa.array(dropped_ids.get(query.key, []), pa.string())))
            fell[query.rows] = is_in_sorted(query.gallery, gone)
        directed = _directed(numbered.codes, numbered.query, numbered.gallery)
        failed_numbers = _directed(numbered.codes, *encoded_ids(numbered.codes, failed))
        why = {int(number): pair[2] for number, pair in zip(failed_numbers, failed, strict=True)}
        broken = is_in_sorted(directed, np.array(sorted(why), np.int64)) & took_part
        survived = took_part & ~fell & ~broken
        left = ~is_in_sorted(pair, np.unique(pair[survived]))
        reasons = {int(row): why[int(directed[row])] for row in np.flatnonzero(broken & left)}
        return _Ending(pair, survived, fell & left, reasons)


def _with_ending(plan: pa.Table, ending: _Ending) -> pa.Table:
    """The plan with the statuses and reasons of what fell behind or failed; the other rows stay as they are."""
    status, reason = (plan[name].combine_chunks().cast(pa.string()) for name in ("status", "reason"))
    broken = np.zeros(plan.num_rows, bool)
    broken[list(ending.reasons)] = True
    dropped, failed = pa.array(ending.dropped), pa.array(broken)
    status = pc.if_else(dropped, PairStatus.NOT_SHORTLISTED.value, pc.if_else(failed, PairStatus.FAILED.value, status))
    reason = pc.if_else(dropped, PairReason.HALVED.value, reason)
    reason = pc.replace_with_mask(
        reason, failed, pa.array([ending.reasons[i] for i in sorted(ending.reasons)], pa.string())
    )
    for name, column in (("status", status), ("reason", reason)):
        plan = plan.set_column(plan.schema.get_field_index(name), plan.schema.field(name), column)
    return plan
