"""The flows as Prefect runs them: records, artifacts, schedules."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from flow_helpers import FIRST_NIGHT, SMALL

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
        wanted = {
            "ingest",
            "segment",
            "extract",
            "shortlist",
            "match",
            "agreement",
            "score",
            "rank",
            "novelty",
            "cluster",
            "report",
        }
        names = _until(
            lambda: {t.name.rsplit("-", 1)[0] for t in client.read_task_runs() if t.flow_run_id == ours.id}, wanted
        )
        assert names == wanted
        artifacts = client.read_artifacts()
        logged = _until(
            lambda: {r.message for r in client.read_logs() if r.flow_run_id == ours.id}, set(result["notes"])
        )
    (page,) = [str(a.data) for a in artifacts if a.key == "resight-nightly" and a.flow_run_id == ours.id]
    assert "report.html" in page and "| first photo | photos | verdict |" in page and "| ingest | 10 | 10 ok |" in page
    assert result["notes"] and logged >= set(result["notes"]), "Resight's own lines are those of the run"


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


def test_a_night_is_the_date_where_the_schedule_was_made_for(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.runtime import deployment, flow_run
    from prefect.schedules import Schedule

    from resight.flows.in_prefect import scheduled_night
    from resight.flows.nightly import nightly

    in_utc = datetime(2026, 6, 4, 23, 30, tzinfo=UTC)
    monkeypatch.setattr(flow_run, "scheduled_start_time", in_utc, raising=False)
    for zone, night in (("Europe/Athens", "2026-06-05"), ("UTC", "2026-06-04"), ("Pacific/Honolulu", "2026-06-04")):
        schedule = Schedule(cron="30 2 * * *", timezone=zone, slug="nightly")
        made = nightly.to_deployment(name=f"in {zone.replace('/', ' ')}", schedules=[schedule]).apply()
        monkeypatch.setattr(deployment, "id", str(made), raising=False)
        assert scheduled_night() == night, zone
    monkeypatch.setattr(deployment, "id", None)
    assert scheduled_night() == in_utc.astimezone().date().isoformat()


def test_accuracy_shows_interval_and_trend_and_a_run_without_news_says_so(
    night_workspace: Workspace, prefect_server: None
) -> None:
    from prefect.client.orchestration import get_client

    from resight.flows.evaluation import accuracy
    from resight.flows.nightly import nightly

    with (night_workspace.root / "resight.toml").open("r+", encoding="utf-8") as file:
        text = file.read()
        file.seek(0)
        file.write(f"site = 'zante'\nlinks = 'https://server/zante'\n{text}")
    nightly(str(night_workspace.root), FIRST_NIGHT, SMALL, quiet=True)
    accuracy(str(night_workspace.root), "2026-06-07", {"dask": {"mode": "inline"}}, quiet=True)
    with get_client(sync_client=True) as client:
        pages = {str(artifact.key): str(artifact.data) for artifact in client.read_artifacts()}
        again = nightly(str(night_workspace.root), overrides=SMALL, quiet=True, as_of=FIRST_NIGHT)
        names = {run.name for run in client.read_flow_runs()}
    assert [view["status"] for view in again] == ["past"] and f"nightly-zante-as-of-{FIRST_NIGHT}" in names
    assert "Nothing was new" in pages["resight-nightly-zante"]
    assert "<https://server/zante/runs/2026-06-04-nightly-" in pages["resight-nightly-zante"]
    assert (
        "right at once, encounters (`top1_encounter`)" in pages["resight-accuracy-zante"]
        and " % to " in pages["resight-accuracy-zante"]
    )
    assert "run by run: 2026-06-07: " in pages["resight-accuracy-zante"]
    assert "Accuracy: <https://server/zante/runs/2026-06-07-accuracy-" in pages["resight-accuracy-zante"]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"refused": True, "status": "kept_aside", "reason": "worse"}, "Refused"),
        ({"status": "kept_aside", "reason": "photos are gone"}, "KeptAside"),
        ({"differences": [{"metric": "top1_photo", "old_value": 0.9, "new_value": 0.5, "n_gained": 0, "n_lost": 9, "p_value_mcnemar": 0.004}]}, "Worse"),
    ],
)  # fmt: skip
def test_what_an_operator_must_act_on_is_a_state_of_its_own(more: dict[str, Any], name: str) -> None:
    from resight.flows.in_prefect import state_of

    top = {"metric": "top1_encounter", "stratum": "all", "value": 0.75, "ci_low": 0.5, "ci_high": 0.9, "n": 12}
    usual = {
        "flow": "accuracy",
        "status": "accepted",
        "reason": "",
        "against": "before",
        "accuracy": [top],
        "work": {},
        "notes": [],
    }
    good = state_of(usual)
    assert good.name == "Completed" and good.message == "Right at once: 75.0 % (50.0 % to 90.0 %) of 12 encounters."
    state = state_of(usual | more)
    assert name != "Refused" or state.message == "The new model is not accepted. worse"
    assert state.name == name and state.is_failed() == (name != "Worse")


def test_a_long_stage_has_a_bar_and_a_server_without_it_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import prefect.artifacts

    from resight.flows.progress import progress_shown
    from resight.runner.progress import Tracker

    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(
        prefect.artifacts, "create_progress_artifact", lambda percent, description: drawn.append((description, percent)) or "id"
    )  # fmt: skip
    monkeypatch.setattr(
        prefect.artifacts, "update_progress_artifact", lambda bar, percent: drawn.append((bar, percent))
    )
    caplog.set_level("INFO", "resight")
    with progress_shown():
        long, short = (
            Tracker(stage, "pairs", 4, None, 0.0 if stage == "match" else 99.0) for stage in ("match", "score")
        )
        long.advance(1)
        short.advance(4)
        long.advance(3)
        Tracker("match", "pairs", 2, None, 0.0).advance(1)  # a few pairs are tried first, then come the others
        assert drawn == [("stage match", 25.0), ("id", 100.0), ("id", 50.0)], "one bar for a stage"
        monkeypatch.setattr(prefect.artifacts, "create_progress_artifact", lambda *_: 1 / 0)
        Tracker("extract", "crops", 9, None, 0.0).advance(1)
    assert "Prefect's page shows no progress" in caplog.text
    Tracker("match", "pairs", 2, None, 0.0).advance(1)
    assert len(drawn) == 3, "outside of a flow run nobody draws"


def _cron_name(client: Any, run: Any) -> str:
    return client.read_deployment(run.deployment_id).name if run.deployment_id else ""


def _until(read: Any, wanted: set[str], seconds: float = 60.0) -> set[str]:
    end = time.monotonic() + seconds
    found = read()
    while not found >= wanted and time.monotonic() < end:
        time.sleep(1)
        found = read()
    return found
