"""Run method after method; each gets a row, also if it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.compare.base import Method, MethodStatus, Trial
from resight.compare.rows import blank_row, measured_row, method_fingerprint
from resight.errors import MachineError, MissingWeightsError, ResightError, one_line
from resight.runner.runner import ClusterLost, Stalled
from resight.store.counts import reconcile
from resight.store.parts import write_part
from resight.store.selective import read_columns

log = logging.getLogger("resight")
STAGE = "comparison"
ROW_SCHEMA = pa.schema([pa.field(f.name, f.type) for f in catalog_table("comparison").schema if f.name != "run_id"])
LEFT_OUT = "takes longer than minutes on a CPU; run it without --quick, or name it with --methods"


@dataclass(frozen=True)
class Compared:
    """What `compare_methods` gives back.

    Attributes:
        rows: The catalog's ``comparison`` without ``run_id``, one per method, in their order.
        computed: Names of the methods that were computed in this call.
    """

    rows: list[dict[str, Any]]
    computed: tuple[str, ...]


def compare_methods(trial: Trial, methods: Sequence[Method], *, quick: bool = False) -> Compared:
    """Every method on the same crops and the same split.

    A row that is stored under its fingerprint is read and not computed again; rows without figures are tried again.

    Args:
        trial: Photos, crops, split.
        methods: Which.
        quick: Leave out what takes longer than minutes.
    """
    rows: list[dict[str, Any]] = []
    computed: list[str] = []
    for number, method in enumerate(methods, 1):
        if not trial.quiet:
            log.info("compare: method %d of %d, %s", number, len(methods), method.title)
        start = time.monotonic()
        row, ran = _run_method(trial, method, quick)
        rows.append(row)
        computed += [method.name] if ran else []
        if not trial.quiet:
            log.info("compare: %s: %s, %.0f s", method.title, _ending(row), time.monotonic() - start)
    reconcile("compare", [m.name for m in methods], [r["method"] for r in rows])
    return Compared(rows, tuple(computed))


def _run_method(trial: Trial, method: Method, quick: bool) -> tuple[dict[str, Any], bool]:
    """The method's row, and whether it was computed now."""
    try:
        digests = method.digests(trial)
    except MissingWeightsError as error:
        return blank_row(method, MethodStatus.MISSING_WEIGHTS, str(error)), False
    except ResightError as error:
        return blank_row(method, MethodStatus.FAILED, str(error)), False
    if quick and not method.quick:
        return blank_row(method, MethodStatus.LEFT_OUT, LEFT_OUT), False
    try:
        name = method_fingerprint(trial, method, digests)
        folder = trial.env.workspace.stage_dir(STAGE, name)
        kept = folder / "row.parquet"
        if kept.exists():
            return read_columns(kept, ROW_SCHEMA).to_pylist()[0], False
        row = measured_row(trial, method, method.run(trial), digests, name)
    except (ClusterLost, Stalled, MachineError):
        raise
    except ResightError as error:
        return blank_row(method, MethodStatus.FAILED, str(error)), True
    except Exception as error:  # the failure of a method must not stop the others
        log.debug("method failed", exc_info=True)
        return blank_row(method, MethodStatus.FAILED, one_line(error)), True
    write_part(folder, "row", pa.Table.from_pylist([row], schema=ROW_SCHEMA))
    return read_columns(kept, ROW_SCHEMA).to_pylist()[0], True


def _ending(row: dict[str, Any]) -> str:
    if row["status"] == MethodStatus.OK:
        return (
            f"{100 * row['top1_photo']:.1f} % of the photos with the right animal first"
            if row["top1_photo"] is not None
            else "ok"
        )
    return str(row["status"]).replace("_", " ")
