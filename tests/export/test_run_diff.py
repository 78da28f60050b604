"""What changed between two runs, and why; also between runs of an earlier version."""

import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from season_rows import MakeRun, photo, verdict
from typer.testing import CliRunner

from resight.cli.app import app
from resight.errors import WorkspaceError
from resight.run.diff import diff
from resight.settings import Settings
from resight.store.workspace import Workspace

DAY = date(2026, 6, 3)
STORE = Path(__file__).resolve().parent.parent / "stores" / "2026-11-28.zip"
NIGHT, REBUILD = "2026-11-20-nightly-ad832977", "2026-11-21-rebuild-0d163a92"


def settings(**changed: Any) -> str:
    return json.dumps(Settings.model_validate(changed).model_dump(mode="json"))


def base() -> dict[str, list[dict[str, Any]]]:
    """Ida is known; of two encounters one is taken for her and one for nobody."""
    return {
        "photos": [photo("a", "e1", DAY, individual_id="Ida"), photo("b", "photo-b", DAY), photo("c", "photo-c", DAY)],
        "novelty": [
            verdict("photo-b", "likely", individual_id="Ida", probability=0.9),
            verdict("photo-c", "unsure", individual_id="Ida", probability=0.4, provisional_individual_id="new-1"),
        ],
    }


@pytest.fixture
def compare(place: Workspace, make_run: MakeRun) -> Any:
    """The difference between the base and a run of other tables or another record."""

    def compared(record: dict[str, Any] | None = None, **tables: Any) -> dict[str, Any]:
        make_run("old", **base(), record={"settings": settings()})
        make_run("new", **base() | tables, record={"settings": settings()} | (record or {}))
        return diff(place, "old", "new")

    return compared


def test_equal_runs_do_not_differ(compare: Any) -> None:
    result = compare(record={"night": date(2026, 6, 6)})
    assert result["counts"] == {"changed": 0, "appeared": 0, "disappeared": 0, "same": 3}
    assert result["changes"] == [] and (result["old"]["night"], result["new"]["night"]) == ("2026-06-05", "2026-06-06")


def test_a_label_explains_its_own_change_though_the_encounter_has_another_name_now(compare: Any) -> None:
    photos = base()["photos"]
    photos[2] |= {"individual_id": "Nia", "encounter_id": "Nia-2026-06-03"}
    result = compare(photos=photos, novelty=base()["novelty"][:1], record={"model_fingerprint": "m2"})
    (change,) = result["changes"]
    assert change["causes"] == [{"cause": "label", "detail": "name none → Nia (1 photo)"}]
    assert (change["old"]["sighting_id"], change["old"]["individual_id"], change["old"]["certainty"]) == (
        "photo-c",
        "new-1",
        "provisional",
    )
    assert (change["new"]["sighting_id"], change["new"]["individual_id"], change["new"]["certainty"]) == (
        "Nia-2026-06-03",
        "Nia",
        "confirmed",
    )
    assert change["old"]["decision"] == "unsure" and change["photos"] == ["photos/photo-c/c.JPG"]


def test_a_named_photo_changes_others_through_the_gallery(compare: Any) -> None:
    photos = [*base()["photos"], photo("d", "e4", DAY, individual_id="Nia")]
    novelty = [verdict("photo-b", "known", individual_id="Nia", probability=0.8), base()["novelty"][1]]
    result = compare(photos=photos, novelty=novelty)
    changed, appeared = result["changes"]
    assert changed["causes"] == [{"cause": "gallery", "detail": "of the named photos, 1 photo came in (Nia 1)"}]
    assert (changed["old"]["individual_id"], changed["new"]["individual_id"], changed["new"]["probability"]) == (
        "Ida",
        "Nia",
        0.8,
    )
    assert (appeared["change"], appeared["old"], appeared["causes"]) == (
        "appeared", None, [{"cause": "photo", "detail": "1 photo came"}],
    )  # fmt: skip
    assert result["causes"] == {"gallery": 1, "photo": 1}


def test_another_model_and_other_settings_are_told_apart(compare: Any) -> None:
    novelty = [base()["novelty"][0], verdict("photo-c", "likely", individual_id="Ida", probability=0.85)]
    other = {"settings": settings(extract={"kind": "orb"}, encounter={"unlabelled": "folder"}, evaluate={"seed": 1})}
    (change,) = compare(novelty=novelty, record=other | {"model_fingerprint": "m2"})["changes"]
    model, run = change["causes"]
    assert model["cause"] == "model" and model["detail"].startswith("m1 → m2: extract.kind sift → orb")
    assert "extract.backend" not in model["detail"], "a setting of the other kind"
    assert run == {"cause": "settings", "detail": "encounter.unlabelled auto → folder"}, (
        "how accuracy is measured changes nothing here"
    )


def test_other_weights_and_another_version_are_causes_too(compare: Any) -> None:
    novelty = [base()["novelty"][0], verdict("photo-c", "not_compared")]
    (change,) = compare(novelty=novelty, record={"model_fingerprint": "m2", "resight_version": "0.2.0"})["changes"]
    assert change["causes"] == [
        {"cause": "model", "detail": "m1 → m2: other weights"}, {"cause": "version", "detail": "Resight 0.1.0 → 0.2.0"},
    ]  # fmt: skip


def test_photos_that_join_go_or_cannot_be_used_any_more(compare: Any) -> None:
    photos = [
        photo("a", "e1", DAY, individual_id="Ida", status="rejected", reason="truncated"),
        photo("b", "photo-b", DAY), photo("b2", "photo-b", DAY),
    ]  # fmt: skip
    novelty = [verdict("photo-b", "new", individual_id="Ida", probability=0.1, provisional_individual_id="new-2")]
    result = compare(photos=photos, novelty=novelty)
    by_photo = {change["photos"][0][-5]: change for change in result["changes"]}
    assert [by_photo[p]["change"] for p in "abc"] == ["disappeared", "changed", "disappeared"]
    assert by_photo["a"]["causes"] == [{"cause": "photo", "detail": "1 photo cannot be used any more: truncated"}]
    assert by_photo["c"]["causes"] == [{"cause": "photo", "detail": "1 photo went"}]
    joined, gallery = by_photo["b"]["causes"]
    assert (
        joined == {"cause": "photo", "detail": "1 photo joined the sighting"}
        and "1 photo left (Ida 1)" in gallery["detail"]
    )


def test_without_any_recorded_reason_it_says_so(compare: Any) -> None:
    novelty = [base()["novelty"][0], base()["novelty"][1] | {"provisional_individual_id": "new-9"}]
    (change,) = compare(novelty=novelty)["changes"]
    assert [cause["cause"] for cause in change["causes"]] == ["unrecorded"]


def test_runs_of_an_earlier_version_are_compared(tmp_path: Path) -> None:
    with zipfile.ZipFile(STORE) as archive:
        archive.extractall(tmp_path / "old")
    result = diff(Workspace(tmp_path / "old"), NIGHT, REBUILD)
    (change,) = result["changes"]
    assert result["counts"]["same"] == 9 and change["old"]["sighting_id"] == "2026-06-03-e03"
    assert (change["old"]["best_candidate_id"], change["new"]["best_candidate_id"]) == ("Eione", "Nereus")
    (cause,) = change["causes"]
    assert cause["cause"] == "model" and "extract.kind sift → orb" in cause["detail"]
    shown = CliRunner().invoke(app, ["diff", NIGHT, REBUILD, "-w", str(tmp_path / "old")], env={"COLUMNS": "300"})
    assert "1 changed, 0 appeared, 0 disappeared, 9 same" in shown.stdout and "Nereus" in shown.stdout
    printed = CliRunner().invoke(app, ["diff", NIGHT, REBUILD, "-w", str(tmp_path / "old"), "--json"])
    assert json.loads(printed.stdout) == json.loads(json.dumps(result))


def test_runs_that_say_nothing_about_who_was_met_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(STORE) as archive:
        archive.extractall(tmp_path / "old")
    with pytest.raises(
        WorkspaceError, match=r"measures \(accuracy\) and hides names for that; name a night or a rebuild"
    ):
        diff(Workspace(tmp_path / "old"), NIGHT, "2026-11-20-accuracy-7f7ef1b5")
    with pytest.raises(WorkspaceError, match="the runs of this workspace are"):
        diff(Workspace(tmp_path / "old"), NIGHT, "2026-11-22-nightly-00000000")
