"""Many sites on one Prefect server: each has its own deployments, and none replaces another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from resight.cli.app import app
from resight.errors import SettingsError
from resight.flows.deploying import ServerError, run_deploy
from resight.ingest.stage import ingest
from resight.run.conditions import open_conditions
from resight.run.names import ingest_name
from resight.run.setups import ingest_setup
from resight.settings import load_settings
from resight.settings.sites import later, read_sites
from resight.store.workspace import Workspace

SITES = """
stagger_minutes = 15
[sites.zakynthos]
workspace = "{root}/zakynthos"
timezone = "Europe/Athens"
[sites.bonaire]
workspace = "{root}/bonaire"
settings = {{ "dask.workers" = 1 }}
tags = ["caribbean"]
[sites.delta]
workspace = "{root}/delta"
nightly = "0 1 * * *"
accuracy = ""
"""


def sites_file(folder: Path, text: str = SITES) -> Path:
    file = folder / "sites.toml"
    file.write_text(text.format(root=folder), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[sites.A]\nworkspace = '/a'", "'A' is no name of a site"),
        ("[sites.a]\nworkspace = 'a'", "is no absolute path"),
        ("[sites.a]\nworkspace = '/x'\n[sites.b]\nworkspace = '/x'", "two sites have the workspace /x"),
        ("[sites.a]\nworkspase = '/x'", "sites.a.workspa"),
        ("pool = 'x'", "sites"),
        ("[sites]", "there is no site"),
        ("[sites.a", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=says) as refusal:
        read_sites(file)
    assert str(file) in str(refusal.value) and "\n" not in str(refusal.value)
    with pytest.raises(SettingsError, match="is not there"):
        read_sites(tmp_path / "none.toml")


def test_a_workspace_that_calls_itself_another_site_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bonaire").mkdir()
    (tmp_path / "bonaire" / "resight.toml").write_text("site = 'bonaire-north'\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="says site = 'bonaire-north'"):
        read_sites(sites_file(tmp_path))


def test_times_are_staggered_in_the_order_of_the_file(tmp_path: Path) -> None:
    sites = read_sites(sites_file(tmp_path))
    assert [sites.cron(name, "nightly") for name in sites.sites] == ["30 2 * * *", "45 2 * * *", "0 1 * * *"]
    assert [sites.cron(name, "accuracy") for name in sites.sites] == ["0 4 * * 0", "15 4 * * 0", ""]
    assert (later("50 23 * * 0", 15), later("*/5 * * * *", 15)) == ("5 0 * * 0", "*/5 * * * *")


def test_the_file_in_the_repository_is_right() -> None:
    assert set(read_sites(Path(__file__).parents[2] / "deploy" / "sites.toml").sites) == {"zakynthos", "bonaire"}


def test_without_a_server_it_says_how_to_set_one(tmp_path: Path) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    file = sites_file(tmp_path)
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ServerError, match="No Prefect server is set"),
    ):
        run_deploy(file)
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(ServerError, match="cannot be reached"),
    ):
        run_deploy(file)


def test_two_sites_read_one_gallery_beside_their_own_inbox(tmp_path: Path) -> None:
    def photo(file: Path, seed: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 255, (450, 600, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)

    gallery = tmp_path / "gallery"
    photo(gallery / "leo.jpg", 0)
    (gallery / "metadata.csv").write_text("file,individual_id\nleo.jpg,Leonardo\n", encoding="utf-8")
    seen = {}
    for seed, site in enumerate(("zante", "bonaire"), 1):
        root = tmp_path / site
        photo(root / "photos" / f"{site}.jpg", seed)
        sources = f"[ingest]\nsources = ['{gallery}', 'photos']\n[dask]\nmode = 'inline'\n"
        (root / "resight.toml").write_text(sources, encoding="utf-8")
        settings = load_settings(root)
        with open_conditions(Workspace(root), settings, quiet=True) as conditions:
            where = (conditions.env, ingest_setup(settings), ingest_name(settings))
            photos = ingest(*where, settings.ingest.sources, "2026-06-04").photos.to_pylist()
        seen[site] = {Path(row["uri"]).name: row["individual_id"] for row in photos}
    assert seen == {site: {"leo.jpg": "Leonardo", f"{site}.jpg": None} for site in ("zante", "bonaire")}


@pytest.mark.prefect
def test_sites_get_deployments_of_their_own(tmp_path: Path, prefect_server: None) -> None:
    from prefect.client.orchestration import get_client

    file = sites_file(tmp_path)
    done = CliRunner().invoke(app, ["deploy", str(file), "--json"], catch_exceptions=False)
    assert done.exit_code == 0 and all(row["new"] for row in json.loads(done.stdout)["deployments"])
    with get_client(sync_client=True) as client:

        def read(name: str) -> Any:
            return client.read_deployment_by_name(f"{name.partition('-')[0]}/{name}")

        nightly = read("nightly-bonaire")
        assert nightly.parameters == {
            "workspace": f"{tmp_path}/bonaire",
            "overrides": {"wait_minutes": 180.0, "dask.workers": 1},
        }
        assert nightly.tags == ["resight", "site:bonaire", "caribbean"] and nightly.work_pool_name == "resight"
        assert nightly.entrypoint == "resight.flows.nightly.nightly" and not nightly.pull_steps
        assert nightly.schedules[0].schedule.cron == "45 2 * * *"
        assert read("nightly-zakynthos").schedules[0].schedule.timezone == "Europe/Athens"
        assert read("rebuild-delta").schedules == [] == read("accuracy-delta").schedules

        client.update_deployment_schedule(nightly.id, nightly.schedules[0].id, active=False)  # by an operator
        again = run_deploy(sites_file(tmp_path, SITES.replace("15", "20")))
        assert not any(row["new"] for row in again["deployments"]) and len(again["deployments"]) == 9
        (schedule,) = read("nightly-bonaire").schedules
        assert schedule.schedule.cron == "50 2 * * *" and not schedule.active

        other = sites_file(tmp_path, "[sites.bonaire]\nworkspace = '/elsewhere/bonaire'\n")
        with pytest.raises(SettingsError, match="of another workspace"):
            run_deploy(other)
        assert read("nightly-bonaire").parameters["workspace"] == f"{tmp_path}/bonaire"
        alone = run_deploy(sites_file(tmp_path, "[sites.fourth]\nworkspace = '{root}/fourth'\n"))
        assert any("nightly-zakynthos" in note for note in alone["notes"]), "it stays, and that is said"
        assert read("nightly-zakynthos").schedules


@pytest.mark.prefect
def test_runs_without_a_sign_of_life_end_and_somebody_is_told(tmp_path: Path, prefect_server: None) -> None:
    from prefect.client.orchestration import get_client

    file, name = (
        sites_file(tmp_path, "[sites.fifth]\nworkspace = '{root}/fifth'\n"),
        "Resight: runs without a sign of life",
    )
    run_deploy(file)
    with get_client(sync_client=True) as client:
        (silence,) = client.read_automations_by_name(name)
        ends = {f"prefect.flow-run.{state}" for state in ("KeptAside", "Refused", "Worse", "Completed", "heartbeat")}
        assert ends <= set(silence.trigger.expect) and silence.trigger.within.total_seconds() == 600
        assert silence.actions[0].state == "CRASHED" and "killed" in silence.actions[0].message
        client.pause_automation(silence.id)  # by an operator
        again = run_deploy(file)
        assert again["automations"] == [{"name": name, "new": False}]
        (silence,) = client.read_automations_by_name(name)
        assert not silence.enabled
        wrong = "notification_block = 'slack-webhook/x'\n" + file.read_text(encoding="utf-8").replace("{", "{{")
        with pytest.raises(SettingsError, match="the server has no such block"):
            run_deploy(sites_file(tmp_path, wrong))
