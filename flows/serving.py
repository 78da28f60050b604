"""The schedules on one machine, without a work pool."""

from collections.abc import Mapping
from typing import Any

from prefect import serve
from prefect.types.entrypoint import EntrypointType

from resight.flows.evaluation import accuracy
from resight.flows.nightly import nightly

NIGHTLY_CRON = "30 2 * * *"
ACCURACY_CRON = "0 4 * * 0"


def served_deployments(workspace: str, overrides: Mapping[str, Any] | None = None) -> list[Any]:
    """The deployments that `resight serve` keeps running."""
    parameters = {"workspace": workspace, "overrides": dict(overrides) if overrides else None}
    common: dict[str, Any] = {
        "parameters": parameters,
        "concurrency_limit": 1,
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }
    return [
        nightly.to_deployment(name="nightly", cron=NIGHTLY_CRON, tags=["resight"], **common),
        accuracy.to_deployment(name="accuracy", cron=ACCURACY_CRON, tags=["resight"], **common),
    ]


def serve_flows(workspace: str, overrides: Mapping[str, Any] | None = None) -> None:
    """Serve until stopped. Needs a Prefect server (`prefect server start`, PREFECT_API_URL)."""
    serve(*served_deployments(workspace, overrides))
