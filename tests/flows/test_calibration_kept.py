"""Calibration pairs lie in the store: nights with the same gallery share them, and say what they would say with pairs of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from flow_helpers import SMALL, TABLES, MakeOnce

from resight.demo.survey import render_survey
from resight.flows.identify import identify
from resight.flows.nightly import run_nightly
from resight.flows.redraw import redraw_report
from resight.reading import open_generation, open_run
from resight.run import learned_sums, pairing
from resight.run.calibration import Calibrating, of_calibration, used_by
from resight.run.learned import Learned, read_learned
from resight.run.prune import prune
from resight.run.usage import generations_of
from resight.run.verify import verify
from resight.settings import load_settings
from resight.settings.init import init_workspace
from resight.store.damage import fresh_records
from resight.store.generations import current_generation
from resight.store.runs import read_run
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

QUICK: dict[str, Any] = SMALL | {"match": {"kind": "nearest"}, "segment": {"kind": "whole"}}
FUSED: dict[str, Any] = QUICK | {"score": {"name": "fused"}}
SHORT: dict[str, Any] = FUSED | {"shortlist": {"enabled": "on", "k": 4}}
MorePhotos = Callable[..., None]
OF_PAIRS = ("pairs", "pairs_left_out", "scores")


def night(place: Workspace, day: str, settings: dict[str, Any] = SMALL) -> dict[str, Any]:
    return run_nightly(place.root, day, settings, quiet=True)


@pytest.fixture
def more_photos(make_once: MakeOnce) -> MorePhotos:
    """Two more encounters of animals that nobody has named."""

    def put(place: Workspace, folder: str, seed: int = 7) -> None:
        def render(made: Path) -> None:
            render_survey(made, n_individuals=1, n_new=1, photos_per_encounter=1, size_px=(600, 450), seed=seed)
            (made / "metadata.csv").unlink()

        shutil.copytree(make_once(f"more photos {seed}", render), place.root / "photos" / folder)

    return put


def twin_of(place: Workspace, folder: Path) -> Workspace:
    """A copy of a workspace in which no run is at work."""
    shutil.copytree(place.root, folder)
    twin = Workspace(folder)
    (twin.store / ".lock").unlink(missing_ok=True)
    return twin


def tables(place: Workspace, run_id: str) -> dict[str, pa.Table]:
    found = {name: read_run(place, run_id, name).drop_columns("run_id") for name in (*TABLES, "pairs_left_out")}
    return found | {"provisional": found["provisional"].drop_columns("event_run_id")}


def pairs_of(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(*(rows[f"{side}_crop_id"].to_pylist() for side in ("query", "gallery")), strict=True))


def learned_of(place: Workspace, run_id: str, settings: dict[str, Any]) -> Learned:
    name = open_run(place, run_id).record["fingerprints"]["calibration"]
    found = read_learned(place.store / "calibration" / name, load_settings(place.root, settings).rank)
    assert found is not None
    return found


def kept(place: Workspace, run_id: str) -> Calibrating:
    found = used_by(place, open_run(place, run_id).record)
    assert found is not None and found.about is not None
    return found


@pytest.fixture
def quick_workspace(workspace: Workspace, make_once: MakeOnce, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Five known animals met twice each, and three encounters of nobody known."""

    def render(folder: Path) -> None:
        render_survey(folder, n_individuals=5, n_new=3, photos_per_encounter=1, size_px=(480, 360))

    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace.root / "no cache"))
    init_workspace(workspace.root, WeightStore(allow_download=False))
    shutil.copytree(make_once("quick survey", render), workspace.root / "photos" / "survey")
    return workspace


@pytest.mark.parametrize("settings", [QUICK, FUSED, SHORT], ids=["snorm_inliers", "fused", "fused behind a shortlist"])
def test_a_night_says_the_same_as_with_calibration_pairs_of_its_own(
    quick_workspace: Workspace,
    more_photos: MorePhotos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    night(quick_workspace, "2026-06-04", settings)  # accepts a fusion
    more_photos(quick_workspace, "more")
    twin = twin_of(quick_workspace, tmp_path / "twin")
    apart = night(quick_workspace, "2026-06-06", settings)
    monkeypatch.setattr(pairing, "_kept_apart", lambda conditions, planned: None)
    together = night(twin, "2026-06-06", settings)
    one, two = tables(quick_workspace, apart["run_id"]), tables(twin, together["run_id"])
    calibrating, own = of_calibration(two["pairs"])
    assert kept(quick_workspace, apart["run_id"]).about and calibrating.num_rows > 0
    assert open_run(twin, together["run_id"]).calibration_pairs().equals(calibrating)
    for name in one:
        whole = of_calibration(two[name])[1] if name in OF_PAIRS else two[name]
        assert one[name].combine_chunks().equals(whole.combine_chunks()), name
    of_store = open_run(quick_workspace, apart["run_id"]).calibration_pairs()
    assert of_store.cast(calibrating.schema).equals(calibrating) and one["pairs"].num_rows == own.num_rows
    counts = apart["counts"]
    together_in = {
        status: n + counts["match"]["out"].get(status, 0) for status, n in counts["calibration"]["out"].items()
    }
    assert counts["match"]["out"] | together_in == together["counts"]["match"]["out"]
    assert counts["calibration"]["in"] + counts["match"]["in"] == together["counts"]["match"]["in"]


def test_nights_with_the_same_gallery_share_them_and_a_new_name_makes_others(
    night_workspace: Workspace, more_photos: MorePhotos
) -> None:
    first = open_run(night_workspace)
    more_photos(night_workspace, "more")
    second = open_run(night_workspace, night(night_workspace, "2026-06-05")["run_id"])
    assert second.record["fingerprints"]["calibration"] == first.record["fingerprints"]["calibration"]
    assert second.table("pairs").num_rows > first.table("pairs").num_rows > 0
    assert set(second.table("pairs")["purpose"].to_pylist()) == {"identify", "cluster"}
    assert len(list((night_workspace.store / "calibration").iterdir())) == 1
    photo = second.table("photos").filter(pc.is_null(second.table("photos")["individual_id"]))["uri"][0].as_py()
    labels = night_workspace.root / "photos" / "metadata.csv"
    labels.write_text(f"file,individual_id\n{photo.removeprefix('photos/')},Zoe\n", encoding="utf-8")
    third = night(night_workspace, "2026-06-06")["run_id"]
    assert kept(night_workspace, third).name != kept(night_workspace, second.run_id).name


@pytest.mark.parametrize("settings", [QUICK, FUSED, SHORT], ids=["snorm_inliers", "fused", "fused behind a shortlist"])
def test_a_new_name_makes_the_pairs_of_its_crops_and_says_the_same_as_all_of_them_made_anew(
    quick_workspace: Workspace,
    more_photos: MorePhotos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    night(quick_workspace, "2026-06-04", settings)  # accepts a fusion
    more_photos(quick_workspace, "more")
    before = open_run(quick_workspace, night(quick_workspace, "2026-06-05", settings)["run_id"])
    was = set(pairs_of(before.calibration_pairs()))
    photos = before.table("photos").filter(pc.is_null(before.table("photos")["individual_id"]))
    labels = quick_workspace.root / "photos" / "metadata.csv"
    labels.write_text(f"file,individual_id\n{photos['uri'][0].as_py().removeprefix('photos/')},Zoe\n")
    twin = twin_of(quick_workspace, tmp_path / "twin")
    shutil.rmtree(twin.store / "calibration")
    looked_up, match = list[int](), pairing.match

    def noting(env: Any, setup: Any, name: str, plan: pa.Table, features: pa.Table) -> Any:
        looked_up.append(of_calibration(plan)[0].num_rows)
        return match(env, setup, name, plan, features)

    monkeypatch.setattr(pairing, "match", noting)
    monkeypatch.setattr(learned_sums, "SHARE_CHANGED", 10)  # in a gallery so small a name changes most sums
    extended, anew = night(quick_workspace, "2026-06-06", settings), night(twin, "2026-06-06", settings)
    one, two = (open_run(place, run["run_id"]) for place, run in ((quick_workspace, extended), (twin, anew)))
    of_one, of_two = kept(quick_workspace, one.run_id), kept(twin, two.run_id)
    assert of_one.name == of_two.name != kept(quick_workspace, before.run_id).name
    new = [pair for pair in pairs_of(of_one.pairs) if pair not in was]
    crops = {
        row["crop_id"] for row in one.table("crops").to_pylist() if row["photo_id"] == photos["photo_id"][0].as_py()
    }
    if settings != SHORT and settings != FUSED:  # votes follow the gallery, and with them the rows of other crops
        assert 0 < looked_up[0] == len(new) and all(crops & {*pair} for pair in new)
        (own,) = of_one.folder.glob("pairs-*.parquet")
        assert pq.read_metadata(own).num_rows == len(new) < len(was)
    assert looked_up[1] == of_two.pairs.num_rows >= looked_up[0] and of_one.pairs.equals(of_two.pairs)
    assert learned_of(quick_workspace, one.run_id, settings) == learned_of(twin, two.run_id, settings)
    assert [*of_one.folder.glob("*/log_sum-changes.parquet")] and [*of_two.folder.glob("*/log_sum-parts.parquet")]
    tables_of_both = tables(quick_workspace, one.run_id), tables(twin, two.run_id)
    for name in tables_of_both[0]:
        assert tables_of_both[0][name].equals(tables_of_both[1][name]), name
    assert {k: extended["counts"][k] for k in ("match", "calibration")} == {
        k: anew["counts"][k] for k in ("match", "calibration")
    }


def test_what_a_set_refers_to_stays_as_long_as_it_does(night_workspace: Workspace) -> None:
    import os

    before = open_run(night_workspace)
    first, photos = kept(night_workspace, before.run_id), before.table("photos").to_pylist()
    unnamed = next(row["uri"].removeprefix("photos/") for row in photos if not row["individual_id"])
    (night_workspace.root / "photos" / "metadata.csv").write_text(f"file,individual_id\n{unnamed},Zoe\n")
    now = night(night_workspace, "2026-06-05")["run_id"]
    assert kept(night_workspace, now).sets == (kept(night_workspace, now).name, first.name)
    for path in (night_workspace.store / "calibration").rglob("*"):
        os.utime(path, (1e9, 1e9))
    shutil.rmtree(night_workspace.runs / before.run_id)
    current = current_generation(night_workspace)
    for generation in generations_of(night_workspace):
        if current is not None and generation.folder != current.folder:
            shutil.rmtree(generation.folder)
    overrides = SMALL | {"retention": {"runs_days": 30, "runs_kept": 1, "stores_days": 30}}
    prune(night_workspace, load_settings(night_workspace.root, overrides), remove=True)
    assert first.folder.exists() and kept(night_workspace, now).pairs.num_rows > 0


def test_a_night_whose_photos_all_have_a_name_has_them_too(night_workspace: Workspace) -> None:
    photos = open_run(night_workspace).table("photos").to_pylist()
    unnamed = [row["uri"].removeprefix("photos/") for row in photos if not row["individual_id"]]
    labels = night_workspace.root / "photos" / "metadata.csv"
    labels.write_text("\n".join(["file,individual_id", *(f"{file},Zoe" for file in unnamed), ""]), encoding="utf-8")
    result = night(night_workspace, "2026-06-05")
    assert result["counts"]["novelty"]["in"] == 0 < len(unnamed)
    run = open_run(night_workspace, result["run_id"])
    assert run.table("pairs").num_rows == run.table("scores").num_rows == 0 < run.calibration_pairs().num_rows


def test_they_stay_as_long_as_a_kept_run_has_used_them(night_workspace: Workspace) -> None:
    import os

    unused = night_workspace.store / "calibration" / "0123456789abcdef"
    unused.mkdir()
    (unused / "about.json").write_text("{}")
    for path in (night_workspace.store / "calibration").rglob("*"):
        os.utime(path, (1e9, 1e9))
    overrides = SMALL | {"retention": {"runs_days": 30, "runs_kept": 1, "stores_days": 30}}
    prune(night_workspace, load_settings(night_workspace.root, overrides), remove=True)
    assert not unused.exists() and kept(night_workspace, open_run(night_workspace).run_id).pairs.num_rows > 0


def test_damaged_ones_are_told_and_made_again(night_workspace: Workspace, more_photos: MorePhotos) -> None:
    run = open_run(night_workspace)
    mine = kept(night_workspace, run.run_id)
    learned = night_workspace.store / "calibration" / run.record["fingerprints"]["calibration"]
    rank = load_settings(night_workspace.root, SMALL).rank
    before = read_learned(learned, rank)
    (file,) = mine.folder.glob("pairs-*.parquet")
    file.write_bytes(b"no table")
    result = verify(night_workspace)
    assert [row["path"] for row in result["damaged"]] == [night_workspace.relative(file)]
    verify(night_workspace, repair=True)
    fresh_records(night_workspace.store)
    page = redraw_report(night_workspace.root, None, night_workspace.root / "again.html", quiet=True)
    assert page[0].exists()  # what was learned from them is still there
    more_photos(night_workspace, "more")
    again = open_run(night_workspace, night(night_workspace, "2026-06-05")["run_id"])
    assert again.record["fingerprints"]["calibration"] == run.record["fingerprints"]["calibration"]
    assert run.calibration_pairs().equals(again.calibration_pairs()) and again.calibration_pairs().num_rows > 0
    shutil.rmtree(learned)
    more_photos(night_workspace, "still more", seed=8)
    night(night_workspace, "2026-06-06")
    assert before is not None and read_learned(learned, rank) == before, "the same pairs teach the same"


def test_verify_tells_what_a_run_names_and_is_not_there(night_workspace: Workspace) -> None:
    folder = kept(night_workspace, open_run(night_workspace).run_id).folder
    assert verify(night_workspace)["stages"]["calibration"]["missing"] == 0
    (part,) = folder.glob("pairs-*.parquet")
    for gone in (part, folder):
        gone.unlink() if gone is part else shutil.rmtree(gone)
        missing = [row for row in verify(night_workspace)["damaged"] if row["stage"] == "calibration"]
        names = {"about.json", "pairs_left_out.parquet"} if gone is folder else {part.name}
        assert {row["path"] for row in missing} == {night_workspace.relative(folder / name) for name in names}
        assert all("the next night" in row["then"] and row["fate"] == "again" for row in missing)


def test_what_is_gone_is_made_again_although_nothing_else_is_new(night_workspace: Workspace) -> None:
    before = open_run(night_workspace)
    shutil.rmtree(night_workspace.store / "calibration")
    again = open_run(night_workspace, night(night_workspace, "2026-06-05")["run_id"])
    assert again.run_id != before.run_id and again.calibration_pairs().num_rows > 0
    assert before.calibration_pairs().equals(again.calibration_pairs())


def test_a_page_that_lacks_what_was_learned_says_so(
    night_workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(night_workspace)
    learned = night_workspace.store / "calibration" / run.record["fingerprints"]["calibration"] / "learned.json"
    learned.write_bytes(b"{")
    redraw_report(night_workspace.root, None, night_workspace.root / "again.html", quiet=True)
    (said,) = [m for m in caplog.messages if str(learned) in m]
    assert f"the page of run {run.run_id} does not show" in said and "same command" not in said


def test_who_asks_about_a_named_photo_leaves_none_of_a_gallery_without_it(night_workspace: Workspace) -> None:
    folder, photos = night_workspace.store / "calibration", open_run(night_workspace).table("photos").to_pylist()
    before = sorted(folder.rglob("*"))
    for is_named in (True, False):
        uri = next(row["uri"] for row in photos if bool(row["individual_id"]) is is_named)
        answer = identify(night_workspace.root, [night_workspace.root / uri], SMALL, quiet=True)
        assert ("calibration" in answer["counts"]) is not is_named, "the night's own serve where the gallery is whole"
        assert len(answer["queries"]) == 1
    assert sorted(folder.rglob("*")) == before


def test_pairs_that_failed_are_tried_again_and_not_kept(
    field_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairing, "has_failed", lambda pairs: True)
    first = night(field_workspace, "2026-06-04")
    assert not (field_workspace.store / "calibration").exists() and "calibration" not in first["counts"]
    assert "calibrate" in open_generation(field_workspace).table("pairs")["purpose"].to_pylist()
    monkeypatch.undo()
