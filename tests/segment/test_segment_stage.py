"""The stage as a whole: statuses, cache, several animals, bad photos."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from resight.environment import Environment
from resight.errors import MachineError
from resight.ingest.annotation import Annotation
from resight.run.names import segment_name
from resight.run.setups import segment_setup
from resight.runner.runner import Runner
from resight.segment import block, stage
from resight.segment import rows as crop_rows
from resight.segment.stage import segment
from resight.segment.store import has_crop, read_crop
from resight.settings import settings_from
from resight.store.tables import conform
from resight.weights.store import WeightStore

WIDTH, HEIGHT = 313, 471
HEAD = Annotation("head", (100.0, 100.0, 120.0, 90.0))


@pytest.fixture
def photos(workspace):
    return [add_photo(workspace, f"photo{i}", seed=i) for i in range(3)]


def add_photo(workspace, photo_id, seed=0, **columns):
    rgb = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    path = workspace.root / "photos" / f"{photo_id}.png"
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), rgb[..., ::-1])
    uri = f"photos/{photo_id}.png"
    row = {
        "photo_id": photo_id,
        "uri": uri,
        "uris": [uri],
        "viewpoint": "unknown",
        "width_px": 640,
        "height_px": 480,
        "status": "ok",
        "reason": "",
    }
    return row | columns


def run(workspace, rows, annotations=None, **sections):
    settings = settings_from({"segment": {"kind": "annotations"}, "dask": {"mode": "inline"}} | sections)
    result = segment_table(workspace, settings, pa.Table.from_pylist(rows), annotations or {})
    assert conform("crops", result.crops, "run").num_rows == result.crops.num_rows
    return result


def segment_table(workspace, settings, photos, annotations):
    with Runner(settings.dask, quiet=True) as runner:
        env = Environment(workspace, WeightStore(), runner)
        return segment(env, segment_setup(settings), segment_name(settings, env.weights), photos, annotations)


def by_photo(result):
    return {row["photo_id"]: row for row in result.crops.to_pylist()}


def test_every_photo_ends_with_a_row_that_says_how(workspace, photos):
    gone = {**photos[2], "photo_id": "gone", "uri": "photos/gone.png", "uris": ["photos/gone.png"]}
    rejected = {**photos[2], "photo_id": "bad", "status": "rejected", "reason": "truncated"}
    small = Annotation("head", (5.0, 5.0, 12.0, 9.0))
    result = run(workspace, [*photos, gone, rejected], {"photo0": (HEAD,), "photo1": (small,), "gone": (HEAD,)})
    rows = by_photo(result)
    statuses = {name: row["status"] for name, row in rows.items()}
    assert statuses == {
        "photo0": "ok", "photo1": "too_small", "photo2": "no_annotation", "gone": "failed", "bad": "photo_rejected",
    }  # fmt: skip
    assert rows["bad"]["reason"] == "truncated" and rows["bad"]["crop_id"] == "bad-none"
    assert "gone.png" in rows["gone"]["reason"] and "\n" not in rows["gone"]["reason"]
    assert "12 px" in rows["photo1"]["reason"] and rows["photo1"]["path"] is None
    assert (result.n_cut, result.n_photos_done) == (1, 3)


def test_the_row_fits_the_stored_crop(workspace, photos):
    row = by_photo(run(workspace, photos[:1], {"photo0": (HEAD,)}))["photo0"]
    rgb, mask = read_crop(workspace, row["path"])
    assert rgb.shape[:2] == mask.shape == (row["crop_height_px"], row["crop_width_px"])
    assert Path(row["path"]).name == f"{row['crop_id']}.png"
    assert (row["bbox_x_px"], row["bbox_width_px"], row["crop_scale"]) == (100.0, 120.0, 2.0)


def test_nothing_found_is_no_head(workspace):
    row = add_photo(workspace, "plain")
    cv2.imwrite(str(workspace.root / row["uri"]), np.full((HEIGHT, WIDTH, 3), 80, np.uint8))
    assert by_photo(run(workspace, [row], segment={"kind": "grabcut"}))["plain"]["status"] == "no_head"


def test_several_animals_give_several_crops(workspace, photos):
    other = Annotation("head", (10.0, 300.0, 60.0, 80.0))
    result = run(workspace, photos[:1], {"photo0": (HEAD, other, HEAD)})
    assert result.n_cut == 2
    assert sorted(result.crops.column("bbox_x_px").to_pylist()) == [10.0, 100.0]


def test_the_second_run_decodes_nothing_and_gives_the_same(workspace, photos, monkeypatch):
    annotations = {"photo0": (HEAD,), "photo1": (HEAD,)}
    first = run(workspace, photos, annotations)
    assert (first.n_cut, first.n_photos_done) == (2, 3)
    monkeypatch.setattr(block, "load_rgb", lambda *_: pytest.fail("decoded again"))
    second = run(workspace, photos, annotations)
    assert (second.n_cut, second.n_photos_done) == (0, 0)
    assert second.crops.equals(first.crops)


def test_a_night_looks_once_whether_the_crops_of_earlier_ones_are_there(workspace, photos, monkeypatch):
    run(workspace, photos[:2], {"photo0": (HEAD,), "photo1": (HEAD,)})
    looked = []
    monkeypatch.setattr(crop_rows, "has_crop", lambda place, path: looked.append(path) or has_crop(place, path))
    assert run(workspace, photos, dict.fromkeys(("photo0", "photo1", "photo2"), (HEAD,))).n_cut == 1
    assert len(looked) == len(set(looked)) == 3, "two of earlier nights, and the new one"


def test_a_changed_outline_recomputes_that_photo_only(workspace, photos):
    first = run(workspace, photos, {"photo0": (HEAD,), "photo1": (HEAD,)})
    moved = Annotation("head", (101.0, 100.0, 120.0, 90.0))
    second = run(workspace, photos, {"photo0": (HEAD,), "photo1": (moved,)})
    assert (second.n_cut, second.n_photos_done) == (1, 1)
    assert by_photo(second)["photo0"] == by_photo(first)["photo0"]
    assert by_photo(second)["photo1"]["bbox_x_px"] == 101.0


def test_whole_photos_do_not_care_about_outlines_or_viewpoints(workspace, photos):
    first = run(workspace, photos, segment={"kind": "whole"})
    turned = [row | {"viewpoint": "left"} for row in photos]
    second = run(workspace, turned, {"photo0": (HEAD,)}, segment={"kind": "whole"})
    assert (first.n_cut, second.n_cut) == (3, 0)
    assert set(second.crops.column("viewpoint").to_pylist()) == {"left"}


def test_a_deleted_crop_is_cut_again(workspace, photos):
    first = run(workspace, photos, segment={"kind": "whole"})
    lost = workspace.root / by_photo(first)["photo1"]["path"]
    content = lost.read_bytes()
    lost.unlink()
    second = run(workspace, photos, segment={"kind": "whole"})
    assert (second.n_cut, lost.read_bytes()) == (1, content)
    assert second.crops.equals(first.crops)


def test_a_changed_setting_gets_new_crops_and_keeps_the_old(workspace, photos):
    first = by_photo(run(workspace, photos[:1], {"photo0": (HEAD,)}))["photo0"]
    second = by_photo(run(workspace, photos[:1], {"photo0": (HEAD,)}, crop={"pad_fraction": 0.2}))["photo0"]
    assert first["segment_fingerprint"] != second["segment_fingerprint"] and first["crop_id"] != second["crop_id"]
    assert (workspace.root / first["path"]).exists()


def test_a_failed_photo_is_tried_again(workspace, photos):
    path = workspace.root / photos[0]["uri"]
    content = path.read_bytes()
    path.unlink()
    assert by_photo(run(workspace, photos, segment={"kind": "whole"}))["photo0"]["status"] == "failed"
    path.write_bytes(content)
    second = run(workspace, photos, segment={"kind": "whole"})
    assert (by_photo(second)["photo0"]["status"], second.n_photos_done) == ("ok", 1)


def test_the_next_file_stands_in_for_one_that_is_gone(workspace, photos):
    row = photos[0] | {"uris": ["photos/moved away.png", photos[0]["uri"]]}
    assert by_photo(run(workspace, [row], segment={"kind": "whole"}))["photo0"]["status"] == "ok"


def test_the_regions_viewpoint_goes_before_the_photos(workspace, photos):
    right = Annotation("head", HEAD.bbox_xywh_px, viewpoint="right")
    rows = [row | {"viewpoint": "left"} for row in photos]
    found = by_photo(run(workspace, rows, {"photo0": (HEAD,), "photo1": (right,)}))
    assert [found[f"photo{i}"]["viewpoint"] for i in range(3)] == ["left", "right", "left"]


@pytest.mark.parametrize("error", [RuntimeError("a part cannot be written"), OSError(28, "No space left on device")])
def test_a_block_that_fails_as_a_whole_leaves_failed_rows_unless_the_machine_failed(
    workspace, photos, monkeypatch, error
):
    monkeypatch.setattr(stage, "PHOTOS_PER_BLOCK", 2)
    real = block.write_part

    def fail(folder, name, table):
        if "photo2" in table.column("photo_id").to_pylist():
            raise error
        return real(folder, name, table)

    monkeypatch.setattr(block, "write_part", fail)
    if isinstance(error, OSError):
        with pytest.raises(MachineError, match="is full"):
            run(workspace, photos, segment={"kind": "whole"})
        return
    rows = by_photo(run(workspace, photos, segment={"kind": "whole"}))
    assert [rows[f"photo{i}"]["status"] for i in range(3)] == ["ok", "ok", "failed"]
    assert "cannot be written" in rows["photo2"]["reason"]


def test_block_size_and_order_do_not_change_the_result(workspace, photos, tmp_path, monkeypatch):
    first = run(workspace, photos, {"photo0": (HEAD,)})
    other = type(workspace)(tmp_path / "other")
    (other.root / "photos").mkdir(parents=True)
    for row in photos:
        (other.root / row["uri"]).write_bytes((workspace.root / row["uri"]).read_bytes())
    monkeypatch.setattr(stage, "PHOTOS_PER_BLOCK", 1)
    second = run(other, photos[::-1], {"photo0": (HEAD,)})
    assert second.crops.equals(first.crops)
    path = by_photo(first)["photo0"]["path"]
    assert (workspace.root / path).read_bytes() == (other.root / path).read_bytes()


def test_no_photos_no_rows(workspace, photos):
    settings = settings_from({"segment": {"kind": "whole"}, "dask": {"mode": "inline"}})
    empty = pa.Table.from_pylist(photos).slice(0, 0)
    result = segment_table(workspace, settings, empty, {})
    assert (result.crops.num_rows, result.n_cut, result.n_photos_done) == (0, 0, 0)


def test_settings_load_neither_opencv_nor_torch():
    code = "import sys, resight.segment.params; sys.exit(bool({'cv2', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("segmenter", "said", "of_photo", "n_crops", "expected"),
    [
        ("head-finder", "left", "right", 1, "right"),  # people know better than a model
        ("head-finder", "left", "right", 2, "left"),  # which of the two they mean is not known
        ("head-finder", "left", "unknown", 1, "left"),
        ("head-finder", "unknown", "right", 2, "right"),
        ("annotations", "left", "right", 1, "left"),
    ],
)
def test_people_know_better_than_a_model(segmenter, said, of_photo, n_crops, expected):
    rows = [{"photo_id": "a", "crop_id": f"a{i}", "segmenter": segmenter, "viewpoint": said} for i in range(n_crops)]
    other = {"photo_id": "b", "crop_id": "b0", "segmenter": None, "viewpoint": "unknown"}
    photos = pa.table({"photo_id": ["b", "a"], "viewpoint": ["top", of_photo]})
    crops = stage._with_viewpoints(pa.Table.from_pylist([*rows, other], schema=crop_rows.SCHEMA), photos)
    assert crops["viewpoint"].to_pylist() == [*[expected] * n_crops, "top"]
