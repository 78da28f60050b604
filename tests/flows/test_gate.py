"""A night on which photos or names are lost is kept aside: what is current stays, and nothing is withdrawn."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flow_helpers import SMALL
from typer.testing import CliRunner

from resight.cli.app import app
from resight.flows.nightly import run_nightly
from resight.run.models import current_model
from resight.store.runs import read_current, read_run, run_record
from resight.store.table_files import named_files
from resight.store.workspace import Workspace

NEXT = "2026-06-05"


@pytest.fixture
def unmounted(night_workspace: Workspace) -> Workspace:
    """After a good night, the folder of photos is there and empty, as where a disk is not mounted."""
    (night_workspace.root / "photos").rename(night_workspace.root / "disk")
    (night_workspace.root / "photos").mkdir()
    return night_workspace


def night(workspace: Workspace, date: str = NEXT, **options: Any) -> dict[str, Any]:
    return run_nightly(workspace.root, date, SMALL, quiet=True, **options)


def current(workspace: Workspace) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in named_files(workspace.current).items()}


def command(workspace: Workspace, *more: str) -> Any:
    small = ["extract.max_keypoints=300", "crop.head_side_px=320", "dask.mode=inline"]
    settings = [part for one in small for part in ("--set", one)]
    return CliRunner().invoke(
        app,
        ["nightly", "-w", str(workspace.root), "--night", NEXT, "--plain", *settings, *more],
        catch_exceptions=False,
    )


def test_photos_that_vanished_replace_nothing_until_a_person_says_so(unmounted: Workspace) -> None:
    before = current(unmounted)
    first = command(unmounted)
    assert first.exit_code == 3
    assert "10 of 10 photos are gone" in first.output and "--accept" in first.output
    assert current(unmounted) == before

    again = command(unmounted, "--json")
    assert again.exit_code == 3
    answer = json.loads(again.stdout)
    assert answer["status"] == "kept_aside" and "10 of 10 photos are gone" in answer["reason"]
    assert not any("stay current" in note for note in answer["notes"])
    assert run_record(read_run(unmounted, answer["run_id"], "runs"))["reason"] == answer["reason"]
    assert current(unmounted) == before

    accepted = night(unmounted, accept=True)
    assert accepted["run_id"] == answer["run_id"] and accepted["status"] == "accepted"
    assert "--accept" in accepted["reason"] and "10 of 10" in accepted["reason"]
    runs, photos = read_current(unmounted, "runs"), read_current(unmounted, "photos")
    assert runs is not None and runs["status"].to_pylist() == ["accepted"]
    assert runs["reason"].to_pylist() == [accepted["reason"]] and accepted["reason"] in accepted["notes"]
    assert photos is not None and photos.num_rows == 0


def test_names_of_unknown_animals_outlive_a_night_without_its_disk(unmounted: Workspace) -> None:
    log = read_current(unmounted, "provisional")
    assert night(unmounted)["status"] == "kept_aside"
    (unmounted.root / "photos").rmdir()
    (unmounted.root / "disk").rename(unmounted.root / "photos")
    assert night(unmounted, "2026-06-06")["status"] == "accepted"
    after = read_current(unmounted, "provisional")
    assert log is not None and after is not None
    assert after.drop_columns("run_id").equals(log.drop_columns("run_id")), "nothing was withdrawn or made again"


def test_photos_that_suddenly_cannot_be_read_and_lost_names_are_kept_aside(night_workspace: Workspace) -> None:
    survey = night_workspace.root / "photos" / "survey"
    metadata = (survey / "metadata.csv").read_bytes()
    (survey / "metadata.csv").unlink()
    nameless = night(night_workspace)
    assert nameless["status"] == "kept_aside" and "6 of 6 photos of known animals are lost" in nameless["reason"]
    (survey / "metadata.csv").write_bytes(metadata)
    for photo in sorted(survey.rglob("*.[jJ][pP][gG]"))[:5]:
        photo.write_bytes(photo.read_bytes()[:5000])
    damaged = night(night_workspace)
    assert damaged["status"] == "kept_aside"
    assert "5 of 10 photos that were readable are not any more" in damaged["reason"]


def test_one_photo_of_ten_may_be_deleted(night_workspace: Workspace) -> None:
    next((night_workspace.root / "photos" / "survey").rglob("*.[jJ][pP][gG]")).unlink()
    result = night(night_workspace)
    assert result["status"] == "accepted" and not result["reason"]


def test_an_empty_inbox_on_the_first_night_is_no_error_but_said(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    (workspace.root / "photos").mkdir()
    with caplog.at_level(logging.WARNING):
        result = night(workspace)
    assert result["status"] == "accepted" and current_model(workspace)
    assert "No photos were found" in caplog.text


@pytest.mark.prefect
def test_prefect_shows_a_night_that_is_kept_aside(unmounted: Workspace, prefect_server: None, tmp_path: Path) -> None:
    from resight.errors import KeptAside
    from resight.flows.nightly import nightly

    state = nightly(str(unmounted.root), NEXT, SMALL, quiet=True, return_state=True)
    assert state.name == "KeptAside" and not state.is_completed()
    assert "10 of 10 photos are gone" in str(state.message)
    with pytest.raises(KeptAside, match="10 of 10") as kept:
        nightly(str(unmounted.root), NEXT, SMALL, quiet=True)
    assert kept.value.summary["status"] == "kept_aside"
