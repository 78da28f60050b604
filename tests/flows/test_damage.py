"""Files of a finished night are damaged; the next night says so, computes them again, and gives what it would have given.

One file of every kind is damaged at once, once for each way of damage; `make torture` damages every file alone.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flow_helpers import SMALL, alike, comparable_tables
from golden import differences

from resight.errors import DamagedError
from resight.flows.nightly import run_nightly
from resight.flows.redraw import redraw_report
from resight.run.models import current_model, promote
from resight.run.verify import verify
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import InMemory
from resight.shortlist.store import build_index
from resight.store.workspace import Workspace

NIGHT = "2026-06-05"
AGAIN = SMALL | {"report": {"candidates": 4}}  # so that the night has something to do


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    _write(path, bytes(data))


def zero(path: Path) -> None:
    _write(path, bytes(path.stat().st_size))


def truncate(path: Path) -> None:
    _write(path, path.read_bytes()[: path.stat().st_size // 3])


def empty(path: Path) -> None:
    _write(path, b"")


def delete(path: Path) -> None:
    path.unlink()


def _write(path: Path, data: bytes) -> None:
    path.unlink()  # the file may be for reading only
    path.write_bytes(data)


WAYS = (flip, zero, truncate, empty, delete)
# One file of every kind that a night reads; the parts of a batch of features take turns, since each hides the others.
KINDS = (
    "store/ingest/*/*.parquet",
    "store/segment/*/parts/*.parquet",
    "store/extract/*/index/*.parquet",
    "store/match/*/*.parquet",
    "store/match/*/rate.json",
    "store/evidence/*/*.parquet",
    "current/generation.json",
    "current/photos.parquet",
    "current/provisional.parquet",
)
BATCH = {
    flip: ["descriptors/c/0/**/*", "scores/c/0/**/*"],
    zero: ["keypoints/c/0/**/*"],
    truncate: ["_COMPLETE.json"],
    empty: ["keypoints/zarr.json"],
    delete: ["keypoints/c/0/**/*"],
}


@pytest.fixture(scope="session")
def undisturbed(make_once: Callable[[str, Callable[[Path], None]], Path], finished_night: Path) -> Workspace:
    """The workspace of the finished night after another one."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setenv("RESIGHT_WEIGHTS", "")
            monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "no cache"))
            shutil.copytree(finished_night / "workspace", folder / "workspace")
            run_nightly(folder / "workspace", NIGHT, AGAIN, quiet=True)

    return Workspace(make_once("second night", make) / "workspace")


def next_night(workspace: Workspace) -> dict[str, Any]:
    return run_nightly(workspace.root, NIGHT, AGAIN, quiet=True)


def same_tables(workspace: Workspace, undisturbed: Workspace) -> None:
    got, expected = comparable_tables(workspace), comparable_tables(undisturbed)
    for name, table in expected.items():
        assert alike(got[name], table), f"{name}: {differences(got[name], table)}"


def chosen(workspace: Workspace, pattern: str) -> Path:
    return next(path for path in sorted(workspace.root.glob(pattern)) if path.is_file() and path.name[0] != ".")


@pytest.mark.parametrize("way", WAYS)
def test_damage_of_every_kind_is_said_and_computed_again(
    night_workspace: Workspace, undisturbed: Workspace, way: Callable[[Path], None]
) -> None:
    files = [
        chosen(night_workspace, pattern) for pattern in (*KINDS, *(f"store/extract/*/*.zarr/{p}" for p in BATCH[way]))
    ]
    for file in files:
        way(file)
    result = next_night(night_workspace)
    same_tables(night_workspace, undisturbed)
    assert current_model(night_workspace) == current_model(undisturbed)
    said = " ".join(result["notes"])
    for file in files if way is not delete else ():
        assert _names(said, night_workspace.relative(file)), f"no note on {file}: {said}"
    report = verify(night_workspace)
    assert report["ok"], report["damaged"]
    assert next_night(night_workspace)["work"]["pairs_matched"] == 0


def _names(said: str, path: str) -> bool:
    """Whether the sentence names the file, or the folder that went into quarantine with it."""
    parts = path.split("/")
    return any("/".join(parts[:n]) + " was " in said for n in range(3, len(parts) + 1)) or f"{path} was " in said


def test_a_damaged_crop_is_cut_again_in_the_same_night(night_workspace: Workspace, undisturbed: Workspace) -> None:
    crop = chosen(night_workspace, "store/segment/*/crops/*/*.png")
    whole = crop.read_bytes()
    flip(crop)
    shutil.rmtree(night_workspace.store / "extract")
    result = next_night(night_workspace)
    same_tables(night_workspace, undisturbed)
    assert crop.read_bytes() == whole
    assert any(night_workspace.relative(crop) in note and "cut again" in note for note in result["notes"])


@pytest.mark.parametrize("way", [empty, delete])
def test_a_report_that_is_drawn_without_a_picture_says_so(
    night_workspace: Workspace, way: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    for crop in night_workspace.store.glob("segment/*/crops/*/*.png"):
        way(crop)
    (page,) = redraw_report(night_workspace.root, None, None, quiet=True)
    assert "picture missing" in page.read_text(encoding="utf-8")
    assert f"{page} is without their pictures" in caplog.text
    assert ("(it is empty)" in caplog.text) == (way is empty)


@pytest.mark.parametrize("name", ["features", "identifications"])
def test_a_report_is_not_drawn_without_a_table(night_workspace: Workspace, name: str) -> None:
    (run,) = night_workspace.runs.iterdir()
    delete(run / f"{name}.parquet")
    with pytest.raises(DamagedError, match=f"{name}.parquet is damaged \\(it is missing\\); run the same night again"):
        redraw_report(night_workspace.root, None, None, quiet=True)


def test_a_damaged_run_is_made_again_by_the_same_night(night_workspace: Workspace, undisturbed: Workspace) -> None:
    expected = next_night(night_workspace)
    flip(chosen(night_workspace, f"runs/{expected['run_id']}/pairs.parquet/*"))
    again = next_night(night_workspace)
    assert again["run_id"] == expected["run_id"]
    same_tables(night_workspace, undisturbed)
    assert any("pairs.parquet" in note and "made again" in note for note in again["notes"])


def test_first_nights_outlive_the_parts_of_ingest(night_workspace: Workspace) -> None:
    shutil.rmtree(night_workspace.store / "ingest")
    next_night(night_workspace)
    photos = pq.read_table(night_workspace.current / "photos.parquet")
    assert set(photos["first_night"].to_pylist()) == {date(2026, 6, 4)}


def test_a_model_comes_back_from_its_run(night_workspace: Workspace, undisturbed: Workspace) -> None:
    model = current_model(night_workspace)
    assert model is not None
    truncate(night_workspace.models / f"{model.fingerprint}.json")
    assert current_model(night_workspace) == model
    assert (
        json.loads((night_workspace.models / f"{model.fingerprint}.json").read_text())["fingerprint"]
        == model.fingerprint
    )


def test_runs_are_for_reading_and_share_their_files_with_no_generation(night_workspace: Workspace) -> None:
    result = next_night(night_workspace)
    places = (night_workspace.runs, night_workspace.generations)
    files = [[file for file in place.rglob("[!.]*.*") if file.is_file() and file.suffix != ".json"] for place in places]
    assert all(file.stat().st_mode & 0o777 == 0o444 for file in [*files[0], *files[1]])
    assert not {file.stat().st_ino for file in files[0]} & {file.stat().st_ino for file in files[1]}
    kept = pq.read_table(night_workspace.runs / result["run_id"] / "photos.parquet")
    with (night_workspace.current / "photos.parquet").open("r+b") as file:
        file.truncate(10)
    assert pq.read_table(night_workspace.runs / result["run_id"] / "photos.parquet").equals(kept)


def test_verify_finds_what_is_damaged_and_repairs_what_can_be(
    night_workspace: Workspace, undisturbed: Workspace
) -> None:
    shutil.copytree(undisturbed.root, night_workspace.root, dirs_exist_ok=True)
    assert verify(night_workspace)["ok"]
    newest = max(night_workspace.runs.iterdir()).name
    files = {
        chosen(night_workspace, "store/match/*/*.parquet"): "again",
        chosen(night_workspace, "store/extract/*/*.zarr/descriptors/c/0/**/*"): "again",
        chosen(night_workspace, "store/segment/*/crops/*/*.png"): "again",
        night_workspace.runs / newest / "novelty.parquet": "again",
        min(night_workspace.runs.iterdir()) / "photos.parquet": "lost",
    }
    for file in files:
        flip(file)
    report = verify(night_workspace)
    assert not report["ok"] and len(report["damaged"]) == len(files)
    for file, fate in files.items():
        (row,) = [r for r in report["damaged"] if night_workspace.relative(file).startswith(r["path"])]
        assert row["fate"] == fate, row
    assert verify(night_workspace, repair=True)["repaired"] == len(files) - 1
    report = verify(night_workspace)
    assert [row["fate"] for row in report["damaged"] if row["why"] != "it is missing"] == ["lost"]
    next_night(night_workspace)
    same_tables(night_workspace, undisturbed)


def test_a_shortlist_without_one_of_its_segments_is_set_aside_and_built_anew(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = workspace.stage_dir("shortlist", "x")
    crops = {f"c{i}": np.random.default_rng(i).normal(size=(40, 8)).astype(np.float32) for i in range(6)}
    params = ShortlistParams(pq_bytes=4)
    name = build_index(folder, sorted(crops), InMemory(crops.__getitem__), params, "d").name
    assert verify(workspace)["ok"]
    next((folder / name).glob("segment-*.safetensors")).unlink()
    report = verify(workspace, repair=True)
    assert [(row["repaired"], row["fate"]) for row in report["damaged"]] == [(True, "again")]
    assert not (folder / name).exists() and verify(workspace)["ok"] and not verify(workspace)["damaged"]
    assert set(build_index(folder, sorted(crops), InMemory(crops.__getitem__), params, "d").crop_ids) == set(crops)


def test_a_missing_crop_is_not_said_to_be_set_right(night_workspace: Workspace) -> None:
    crop = chosen(night_workspace, "store/segment/*/crops/*/*.png")
    crop.unlink()
    report = verify(night_workspace, repair=True)
    (row,) = report["damaged"]
    assert (row["path"], row["repaired"], row["fate"]) == (night_workspace.relative(crop), False, "again")
    assert report["ok"] and report["repaired"] == 0


def test_every_registered_model_that_a_run_was_made_with_comes_back(night_workspace: Workspace) -> None:
    current = current_model(night_workspace)
    assert current is not None
    first = night_workspace.models / f"{current.fingerprint}.json"
    later = replace(current, fingerprint="f" * 16)
    promote(night_workspace, later)  # another model is accepted; the first is kept so that it can be promoted again
    first_content = first.read_bytes()
    flip(first)
    report = verify(night_workspace, repair=True)
    assert report["ok"] and [(row["path"], row["repaired"]) for row in report["damaged"]] == [
        (f"models/{first.name}", True)
    ]
    assert json.loads(first.read_bytes())["part"] == json.loads(first_content)["part"]
    flip(night_workspace.models / f"{later.fingerprint}.json")
    (row,) = verify(night_workspace, repair=True)["damaged"]
    assert (row["repaired"], row["fate"]) == (False, "lost")  # no run tells its settings


def test_a_column_that_is_not_there_is_no_damage(tmp_path: Path) -> None:
    from resight.store.parts import read_parts, write_part

    folder = tmp_path / "store" / "match" / "x"
    write_part(folder, "old", pa.table({"a": [1, 2]}))
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert read_parts(folder, schema)["b"].null_count == 2


@pytest.mark.parametrize(("place", "fate"), [("runs", "lost"), ("store/match", "again")])
def test_verify_sees_a_file_in_the_place_of_a_folder(place: str, fate: str, night_workspace: Workspace) -> None:
    folder = night_workspace.root / place
    shutil.rmtree(folder)
    folder.write_text("what a file manager left here")
    report = verify(night_workspace)
    assert not report["ok"]
    assert (place, fate) in {(row["path"], row["fate"]) for row in report["damaged"]}
    assert verify(night_workspace, repair=True)["ok"] == (fate == "again")
