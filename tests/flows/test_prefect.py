"""The flows as Prefect runs them: records, artifacts, schedules."""

import time
from typing import Any

import pytest
from flow_helpers import SMALL

from resight.store.workspace import Workspace

pytestmark = pytest.mark.prefect


def test_a_nightly_flow_run_is_recorded_with_its_stages_and_a_summary(
    field_workspace: Workspace, prefect_server: None
) -> None:
    from prefect.client.orchestration import get_client

    from resight.flows.nightly import nightly

    result = nightly(str(field_workspace.root), "2026-06-04", SMALL, quiet=True)
    assert result["decisions"]
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
        ours = next(r for r in runs if r.name == "nightly-2026-06-04")
        assert ours.state is not None and ours.state.is_completed()
        wanted = {"ingest", "segment", "extract", "shortlist", "match", "score", "rank", "novelty", "cluster", "report"}
        names = _until(
            lambda: {t.name.rsplit("-", 1)[0] for t in client.read_task_runs() if t.flow_run_id == ours.id}, wanted
        )
        assert names == wanted
        artifacts = client.read_artifacts()
    assert any(a.key == "resight-nightly" and "report.html" in str(a.data) for a in artifacts)


def test_a_cron_deployment_gets_its_scheduled_runs(whole_server: str) -> None:
    """With SQLAlchemy 2.1 beside Prefect 3.8 the scheduler fails in silence; nothing else shows it."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from resight.flows.serving import served_deployments

    with temporary_settings({PREFECT_API_URL: whole_server}), get_client(sync_client=True) as client:
        for deployment in served_deployments("/nowhere"):
            deployment.apply()
        names = _until(
            lambda: {_cron_name(client, r) for r in client.read_flow_runs() if r.state_name == "Scheduled"},
            {"nightly", "accuracy"},
        )
    assert names >= {"nightly", "accuracy"}


def test_the_schedules_in_the_repository_name_flows_that_exist() -> None:
    import importlib
    from pathlib import Path

    import yaml

    file = Path(__file__).resolve().parents[2] / "deploy" / "prefect.yaml"
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert content["pull"] == []
    for deployment in content["deployments"]:
        module, name = deployment["entrypoint"].rsplit(".", 1)
        flow = getattr(importlib.import_module(module), name)
        assert set(deployment["parameters"]) <= set(flow.parameters.properties)
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


def _cron_name(client: Any, run: Any) -> str:
    return client.read_deployment(run.deployment_id).name if run.deployment_id else ""


def _until(read: Any, wanted: set[str], seconds: float = 60.0) -> set[str]:
    end = time.monotonic() + seconds
    found = read()
    while not found >= wanted and time.monotonic() < end:
        time.sleep(1)
        found = read()
    return found
