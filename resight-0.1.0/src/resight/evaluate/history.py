"""Earlier measurements of the same thing: they show drift, and a run is compared with one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import WorkspaceError
from resight.evaluate.outcomes import CLOSED, ENCOUNTER
from resight.store.listing import matching
from resight.store.runs import read_run, run_record, run_tables
from resight.store.workspace import Workspace

LAST, NOBODY = "last", "none"
SAME_QUERIES = 0.5


@dataclass(frozen=True)
class Earlier:
    """An earlier measurement.

    Attributes:
        run_id: Its run.
        ended_at: When.
        model: Fingerprint of the model that was measured.
        values: Value and interval by metric, stratum ``all``.
    """

    run_id: str
    ended_at: datetime
    model: str
    values: Mapping[str, tuple[float | None, float | None, float | None]]


def earlier_runs(
    workspace: Workspace, flow: str, protocol: str, queries: Collection[str], before: datetime
) -> list[Earlier]:
    """Measurements by the same flow and protocol on at least half of the same query encounters, oldest first.

    Args:
        workspace: Whose runs.
        flow: ``accuracy`` or ``evaluate``.
        protocol: As in the table ``accuracy``; another one has another gallery and cannot be compared.
        queries: Query encounters of this run.
        before: Runs that ended later are left out.
    """
    earlier = []
    for run_id in measured_runs(workspace):
        record = run_record(read_run(workspace, run_id, "runs"))
        if record["flow"] != flow or record["ended_at"] >= before:
            continue
        encounters = asked_encounters(read_run(workspace, run_id, "outcomes"))
        if protocol_of(read_run(workspace, run_id, "accuracy")) != protocol:
            continue
        if encounters and len(encounters & set(queries)) >= SAME_QUERIES * len(encounters):
            earlier.append(Earlier(run_id, record["ended_at"], record["model_fingerprint"], _values(workspace, run_id)))
    return sorted(earlier, key=lambda e: (e.ended_at, e.run_id))


def measured_runs(workspace: Workspace) -> list[str]:
    """Runs that have the table ``outcomes``."""
    ids = [file.parent.name for file in matching(workspace.runs, "[!.]*/outcomes.parquet")]
    return [run_id for run_id in ids if "accuracy" in run_tables(workspace, run_id)]


def protocol_of(accuracy: pa.Table) -> str:
    """How gallery and queries of a measured run were chosen."""
    return str(accuracy["protocol"][0]) if accuracy.num_rows else ""


def asked_encounters(outcomes: pa.Table) -> frozenset[str]:
    """Encounters whose animal was in the gallery."""
    rows = outcomes.filter(pc.and_(pc.equal(outcomes["trial"], CLOSED), pc.equal(outcomes["level"], ENCOUNTER)))
    return frozenset(rows.filter(rows["known"])["query_id"].to_pylist())


def partner(workspace: Workspace, against: str, earlier: list[Earlier]) -> str | None:
    """The run to compare with: as the setting says, by id or by the beginning of one; None for no run.

    Raises:
        WorkspaceError: There is no such run, or it was not measured by this version.
    """
    if against in ("", NOBODY):
        return None
    if against == LAST:
        return earlier[-1].run_id if earlier else None
    measured = measured_runs(workspace)
    fitting = [run_id for run_id in measured if run_id.startswith(against)]
    if len(fitting) != 1:
        raise WorkspaceError(
            f"{len(fitting)} measured runs of {workspace.root} have an id that begins with {against}; there are "
            f"{measured or 'none yet'}. A run of an older Resight has no outcomes to compare with: measure again with its settings."
        )
    return fitting[0]


def _values(workspace: Workspace, run_id: str) -> dict[str, tuple[Any, Any, Any]]:
    rows = read_run(workspace, run_id, "accuracy").to_pylist()
    return {r["metric"]: (r["value"], r["ci_low"], r["ci_high"]) for r in rows if r["stratum"] == "all"}
