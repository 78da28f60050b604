"""When the next night is planned, as a Prefect server says."""

from __future__ import annotations

from typing import Any


def next_night(workspace: str) -> dict[str, Any]:
    """The first scheduled run of ``nightly`` for a workspace.

    Args:
        workspace: As an absolute path, as the deployment has it among its parameters.

    Returns:
        ``at`` (UTC, ISO; None without one) and ``says``, why there is none.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    try:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=["nightly"])),
                flow_run_filter=FlowRunFilter.model_validate(scheduled),
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            )
    except Exception as error:  # whatever the server, the network or a proxy answers: it is only asked for a date
        return {"at": None, "says": f"the Prefect server cannot be asked ({type(error).__name__}: {error})"}
    times = [run.expected_start_time for run in runs if run.parameters.get("workspace") == workspace]
    planned = next((time for time in times if time is not None), None)
    if planned is None:
        return {"at": None, "says": "the Prefect server has no scheduled run for this workspace"}
    return {"at": planned.isoformat(timespec="seconds"), "says": ""}
