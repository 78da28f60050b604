"""The stage as a whole: identity, cache, sources, first night, bad files, lost blocks."""

import os
import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from resight.environment import Environment
from resight.errors import SettingsError
from resight.ingest.decode import load_rgb
from resight.ingest.stage import IngestResult, has_outlines, ingest
from resight.run.names import ingest_name
from resight.run.setups import ingest_setup
from resight.runner.params import DaskParams
from resight.runner.runner import Failure, Runner
from resight.settings import Settings, settings_from
from resight.store.tables import conform
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore


def photo(path: Path, seed: int, size: tuple[int, int] = (471, 313)) -> Path:
    """A smooth picture of its own content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    kind = {".png": "PNG", ".tif": "TIFF"}.get(path.suffix.lower(), "JPEG")
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(path, kind)
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resight.ingest.files.PHOTOS_PER_TASK", 2)


def run(
    place: Workspace, *sources: str, night: str = "2026-07-01", runner: Any = None, **settings: Any
) -> IngestResult:
    chosen = settings_from(settings) if settings else Settings()
    env = Environment(place, WeightStore(), runner or Runner(DaskParams(mode="inline"), quiet=True))
    result = ingest(env, ingest_setup(chosen), ingest_name(chosen), sources or ("photos",), night)
    conform("photos", result.photos, "run")
    assert sum(result.photos.column("n_files").to_pylist()) == result.n_files
    return result


def by_uri(result: IngestResult) -> dict[str, dict[str, Any]]:
    return {row["uri"]: row for row in result.photos.to_pylist()}


@pytest.mark.usefixtures("small_blocks")
def test_second_run_decodes_nothing_and_one_new_photo_is_one(workspace: Workspace) -> None:
    for i in range(5):
        photo(workspace.root / f"photos/{i}.jpg", i)
    first = run(workspace)
    assert (first.n_files, first.n_decoded, first.notes) == (5, 5, ())
    again = run(workspace, night="2026-07-02")
    assert again.n_decoded == 0
    assert again.photos.equals(first.photos)
    photo(workspace.root / "photos/new.jpg", 9)
    later = run(workspace, night="2026-07-03")
    assert later.n_decoded == 1
    nights = {uri: str(row["first_night"]) for uri, row in by_uri(later).items()}
    assert nights == {**{f"photos/{i}.jpg": "2026-07-01" for i in range(5)}, "photos/new.jpg": "2026-07-03"}


def test_one_row_says_what_is_in_the_file(workspace: Workspace) -> None:
    path = photo(workspace.root / "photos/a.png", 1)
    row = by_uri(run(workspace))["photos/a.png"]
    assert (row["format"], row["width_px"], row["height_px"], row["size_bytes"]) == (
        "PNG",
        471,
        313,
        path.stat().st_size,
    )
    assert (row["status"], row["reason"], row["message"], row["viewpoint"]) == ("ok", "", "", "unknown")
    assert row["encounter_id"] == f"photo-{row['photo_id']}"
    assert row["sha256"].startswith(row["photo_id"])
    assert len(row["photo_id"]) == 20
    assert load_rgb(row["uri"], 150, workspace.root).shape == (313, 471, 3)


def test_equal_contents_are_one_photo(workspace: Workspace) -> None:
    path = photo(workspace.root / "photos/b/second.jpg", 1)
    photo(workspace.root / "photos/other.jpg", 2)
    shutil.copyfile(path, workspace.root / "photos/a first.jpg")
    result = run(workspace)
    assert (result.n_files, result.n_decoded, result.photos.num_rows) == (3, 2, 2)
    row = by_uri(result)["photos/a first.jpg"]
    assert (row["uris"], row["n_files"]) == (["photos/a first.jpg", "photos/b/second.jpg"], 2)


def test_renamed_touched_and_copied_files_are_hashed_but_not_decoded(workspace: Workspace) -> None:
    path = photo(workspace.root / "photos/a.jpg", 1)
    touched = photo(workspace.root / "photos/b.jpg", 2)
    before = run(workspace)
    path.rename(workspace.root / "photos/z.jpg")
    shutil.copyfile(workspace.root / "photos/z.jpg", workspace.root / "photos/copy.jpg")
    os.utime(touched, (1, 1))
    after = run(workspace, night="2026-07-09")
    assert after.n_decoded == 0
    assert set(by_uri(after)) == {"photos/b.jpg", "photos/copy.jpg"}
    assert set(after.photos.column("first_night").to_pylist()) == {date(2026, 7, 1)}
    assert after.photos.column("sharpness").equals(before.photos.column("sharpness"))


def test_a_label_file_and_a_source_that_cannot_be_read_are_told_and_a_folder_in_it_is_not(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("metadata.csv", "expenses.csv", "lost+found/x.txt"):
        (workspace.root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / "photos" / name).write_text("file\n")

    def refused(address: str) -> bytes:
        raise PermissionError(13, "Permission denied", address)

    monkeypatch.setattr("resight.ingest.sidecars.read_bytes", refused)
    assert [Path(place).name for place in run(workspace).not_read] == ["metadata.csv"]
    listed = os.scandir
    for folder in ("lost+found", "photos"):
        monkeypatch.setattr(
            os, "scandir", lambda path, f=folder: refused(str(path)) if Path(path).name == f else listed(path)
        )
        assert [Path(p).name for p in run(workspace).not_read if not p.endswith(".csv")] == ["photos"] * (
            folder == "photos"
        )


def test_overwritten_file_is_another_photo(workspace: Workspace) -> None:
    path = photo(workspace.root / "photos/a.jpg", 1)
    old = by_uri(run(workspace))["photos/a.jpg"]["photo_id"]
    photo(path, 2)
    result = run(workspace)
    assert result.n_decoded == 1
    assert by_uri(result)["photos/a.jpg"]["photo_id"] != old


def test_many_small_parts_become_few_that_say_the_same(workspace: Workspace) -> None:
    for i in range(4):
        photo(workspace.root / f"photos/{i}.jpg", i)
        first = run(workspace, night=f"2026-07-0{i + 1}")
    shutil.copy(workspace.root / "photos/0.jpg", workspace.root / "photos/copy.jpg")
    before = run(workspace, night="2026-07-05")
    photo(workspace.root / "photos/new.jpg", 9)
    after = run(workspace, night="2026-07-06")
    assert len(list(workspace.store.rglob("*.parquet"))) <= 2 and after.n_decoded == 1
    again = run(workspace, night="2026-07-07")
    assert again.n_decoded == 0 and again.photos.equals(after.photos)
    rows = {uri: row for uri, row in by_uri(after).items() if uri != "photos/new.jpg"}
    assert rows == by_uri(before) and len(first.photos) == 4


def test_moved_workspace_decodes_nothing(tmp_path: Path) -> None:
    photo(tmp_path / "laptop/photos/a.jpg", 1)
    first = run(Workspace(tmp_path / "laptop"))
    (tmp_path / "laptop").rename(tmp_path / "server")
    second = run(Workspace(tmp_path / "server"))
    assert second.n_decoded == 0
    assert second.photos.equals(first.photos)


def test_first_night_outlives_a_changed_limit(workspace: Workspace) -> None:
    photo(workspace.root / "photos/a.jpg", 1)
    run(workspace, night="2026-07-01")
    result = run(workspace, night="2026-08-01", ingest={"min_side_px": 400})
    row = by_uri(result)["photos/a.jpg"]
    assert result.n_decoded == 1
    assert (row["reason"], row["first_night"]) == ("too_small", date(2026, 7, 1))
    assert "photos/a.jpg is 471 x 313 px" in row["message"]


def test_sources_are_never_written_to(workspace: Workspace, tmp_path: Path) -> None:
    inbox = tmp_path / "card"
    photo(inbox / "a.jpg", 1)
    (inbox / "bad.jpg").write_bytes(b"")
    (inbox / "metadata.csv").write_text("file,individual_id\na.jpg,Ada\n")

    def state() -> dict[str, tuple[int, bytes]]:
        return {
            str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"")
            for p in [inbox, *sorted(inbox.rglob("*"))]
        }

    before = state()
    result = run(workspace, str(inbox))
    assert state() == before
    assert set(by_uri(result)) == {(inbox / "a.jpg").as_posix(), (inbox / "bad.jpg").as_posix()}


def test_bad_files_are_rows_and_the_rest_goes_on(workspace: Workspace) -> None:
    good = photo(workspace.root / "photos/good.jpg", 1)
    bad = {"empty.jpg": b"", "text.jpg": b"not a picture", "cut.jpg": good.read_bytes()[:900]}
    for name, data in bad.items():
        (workspace.root / "photos" / name).write_bytes(data)
    (workspace.root / "photos/empty too.jpg").write_bytes(b"")
    (workspace.root / "photos/dead link.jpg").symlink_to("nowhere.jpg")
    rows = by_uri(run(workspace))
    reasons = {uri: row["reason"] for uri, row in rows.items() if row["status"] == "rejected"}
    assert reasons == {
        "photos/cut.jpg": "truncated",
        "photos/dead link.jpg": "unreadable",
        "photos/empty too.jpg": "empty_file",
        "photos/text.jpg": "not_an_image",
    }
    assert all(
        row["message"].startswith(uri) and row["message"].endswith(".") for uri, row in rows.items() if row["message"]
    )
    assert rows["photos/empty too.jpg"]["n_files"] == 2
    assert rows["photos/dead link.jpg"]["sha256"] == ""


def test_unreadable_file_is_tried_again(workspace: Workspace) -> None:
    link = workspace.root / "photos/a.jpg"
    link.parent.mkdir()
    link.symlink_to(workspace.root / "late.jpg")
    assert by_uri(run(workspace))["photos/a.jpg"]["reason"] == "unreadable"
    photo(workspace.root / "late.jpg", 1)
    row = by_uri(run(workspace, night="2026-07-05"))["photos/a.jpg"]
    assert (row["status"], row["first_night"]) == ("ok", date(2026, 7, 5))


class LosesPoison:
    """A runner whose workers die of every block that holds a file of that name."""

    def __init__(self) -> None:
        self.dead = {"poison.jpg"}

    def run(
        self, label: str, function: Callable[[Any], Any], blocks: list[Any], **_: Any
    ) -> tuple[list[Any], list[Failure]]:
        lost = [b for b in blocks if any(Path(job.file.address).name in self.dead for job in b.jobs)]
        return [(b, function(b)) for b in blocks if b not in lost], [Failure(b, "the worker died") for b in lost]


def test_only_the_culprit_of_a_lost_block_is_given_up(workspace: Workspace) -> None:
    for i, name in enumerate(("a.jpg", "poison.jpg", "z.jpg")):
        photo(workspace.root / "photos" / name, i)
    runner = LosesPoison()
    result = run(workspace, runner=runner)
    rows = by_uri(result)
    assert result.n_decoded == 2
    assert {uri: row["reason"] for uri, row in rows.items()} == {
        "photos/a.jpg": "",
        "photos/poison.jpg": "unreadable",
        "photos/z.jpg": "",
    }
    assert "the worker died" in rows["photos/poison.jpg"]["message"]
    runner.dead.clear()
    healed = run(workspace, runner=runner)
    assert healed.n_decoded == 1
    assert by_uri(healed)["photos/poison.jpg"]["status"] == "ok"


class DiesAfter:
    """A runner that is killed after some blocks."""

    def __init__(self, blocks: int) -> None:
        self.left = blocks

    def run(
        self, label: str, function: Callable[[Any], Any], blocks: list[Any], **_: Any
    ) -> tuple[list[Any], list[Failure]]:
        for block in blocks:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            function(block)
        return [], []


@pytest.mark.usefixtures("small_blocks")
def test_a_killed_run_goes_on_where_it_was(workspace: Workspace) -> None:
    for i in range(6):
        photo(workspace.root / f"photos/{i}.jpg", i)
    with pytest.raises(KeyboardInterrupt):
        run(workspace, runner=DiesAfter(2))
    assert run(workspace).n_decoded == 2


def test_result_does_not_depend_on_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for size in (1, 3, 32):
        monkeypatch.setattr("resight.ingest.files.PHOTOS_PER_TASK", size)
        place = Workspace(tmp_path / str(size))
        for i in range(7):
            photo(place.root / f"photos/{i % 5}{i}.jpg", i % 5)
        tables.append(run(place).photos)
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_a_missing_part_file_is_made_again(workspace: Workspace) -> None:
    photo(workspace.root / "photos/a.jpg", 1)
    before = run(workspace)
    for part in workspace.store.rglob("*.parquet"):
        part.unlink()
    after = run(workspace)
    assert after.n_decoded == 1
    assert after.photos.equals(before.photos)


def test_hidden_and_system_files_and_own_results_are_not_photos(workspace: Workspace) -> None:
    photo(workspace.root / "in/a.jpg", 1)
    for name in (
        "in/.hidden.jpg",
        "in/.trash/b.jpg",
        "in/__MACOSX/._a.jpg",
        "in/@eaDir/c.jpg",
        "store/d.jpg",
        "runs/x/e.jpg",
    ):
        photo(workspace.root / name, 2)
    (workspace.root / "in/Thumbs.db").write_bytes(b"x")
    assert set(by_uri(run(workspace, "."))) == {"in/a.jpg"}


@pytest.mark.parametrize("folder", ["day [1] #2", "ünter wasser & so", "100% *"])
def test_folder_names_with_special_characters(workspace: Workspace, folder: str) -> None:
    photo(workspace.root / folder / "a.jpg", 1)
    photo(workspace.root / folder / "deep/er/B.JPG", 2)
    assert set(by_uri(run(workspace, folder))) == {f"{folder}/a.jpg", f"{folder}/deep/er/B.JPG"}


def test_globs_single_files_and_overlaps(workspace: Workspace) -> None:
    for i, name in enumerate(("2025/a.jpg", "2026/b.jpg", "2026/c.png", "x.bin")):
        photo(workspace.root / name, i)
    assert set(by_uri(run(workspace, "2026/*.png"))) == {"2026/c.png"}
    assert set(by_uri(run(workspace, "202*"))) == {"2025/a.jpg", "2026/b.jpg", "2026/c.png"}
    assert set(by_uri(run(workspace, "**/*.jpg", "2025", "x.bin"))) == {"2025/a.jpg", "2026/b.jpg", "x.bin"}
    assert set(by_uri(run(workspace, "file://" + (workspace.root / "2025").as_posix()))) == {"2025/a.jpg"}


def test_linked_folders_are_followed_once(workspace: Workspace, tmp_path: Path) -> None:
    photo(tmp_path / "nas/a.jpg", 1)
    (tmp_path / "nas/loop").symlink_to(tmp_path / "nas")
    (workspace.root / "photos").symlink_to(tmp_path / "nas")
    result = run(workspace)
    assert (result.n_files, set(by_uri(result))) == (1, {"photos/a.jpg"})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "nowhere does not exist"),
        ("photos/*.xyz", "Nothing fits the source"),
        ("memory://nowhere", "memory://nowhere does not exist"),
        ("nosuch://bucket/a", "nosuch"),
        ("zip://a.jpg::b.zip", "unpack it"),
    ],
)
def test_a_source_that_is_not_there_stops_the_run(workspace: Workspace, source: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("*", r"\*")):
        run(workspace, source)


def test_missing_driver_names_the_extra(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    def fail(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", fail)
    with pytest.raises(SettingsError, match=r"pip install 'resight\[s3\]'"):
        run(workspace, "s3://bucket/photos")


def test_no_photos_is_a_note(workspace: Workspace) -> None:
    (workspace.root / "photos").mkdir()
    result = run(workspace)
    assert (result.n_files, result.photos.num_rows) == (0, 0)
    assert "No photos were found in photos" in result.notes[0]


def test_raw_files_and_videos_are_mentioned(workspace: Workspace) -> None:
    photo(workspace.root / "photos/a.jpg", 1)
    for name in ("a.CR2", "b.cr2", "dive.mp4", "notes.txt"):
        (workspace.root / "photos" / name).write_bytes(b"x")
    assert run(workspace).notes == (
        "Files with these endings are not read: .cr2 (2), .mp4 (1); export them as JPEG, PNG, WebP, TIFF or HEIC.",
    )


@pytest.fixture
def bucket() -> Any:
    """An empty folder of fsspec's memory file system."""
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe("/bucket/keep", b"")
    yield fs
    fs.rm("/bucket", recursive=True)


def test_remote_photos_with_labels(workspace: Workspace, bucket: Any, tmp_path: Path) -> None:
    bucket.pipe("/bucket/day 1/a.jpg", photo(tmp_path / "a.jpg", 1).read_bytes())
    bucket.pipe("/bucket/day 1/.b.jpg", b"hidden")
    bucket.pipe("/bucket/day 1/empty.jpg", b"")
    bucket.pipe("/bucket/metadata.csv", b"file,individual_id,viewpoint\nday 1/a.jpg,Ada,left\n")
    first = run(workspace, "memory://bucket")
    rows = {row["uri"].rsplit("/", 1)[1]: row for row in first.photos.to_pylist()}
    assert set(rows) == {"a.jpg", "empty.jpg"}
    assert (rows["a.jpg"]["individual_id"], rows["a.jpg"]["viewpoint"], rows["a.jpg"]["width_px"]) == (
        "Ada",
        "left",
        471,
    )
    assert rows["a.jpg"]["uri"].startswith("memory://")
    assert load_rgb(rows["a.jpg"]["uri"], 150).shape == (313, 471, 3)
    assert run(workspace, "memory://bucket").n_decoded == 0
    assert run(workspace, "memory://bucket/day 1/*.jpg").n_files == 2
    assert run(workspace, "memory://bucket/day 1/a.jpg").n_files == 1


@pytest.mark.usefixtures("small_blocks")
def test_real_dask_workers_give_the_same(workspace: Workspace, tmp_path: Path) -> None:
    for i in range(4):
        photo(workspace.root / f"photos/{i}.jpg", i)
    other = Workspace(tmp_path / "inline")
    shutil.copytree(workspace.root / "photos", other.root / "photos")
    with Runner(DaskParams(workers=1), quiet=True) as runner:
        on_dask = run(workspace, runner=runner)
    assert on_dask.photos.equals(run(other).photos)


def test_encounters(workspace: Workspace) -> None:
    for i, name in enumerate(("given.jpg", "dated.jpg", "bare.jpg", "labelled.jpg", "timed.jpg")):
        photo(workspace.root / "photos" / name, i)
    (workspace.root / "photos/metadata.csv").write_text(
        "file,individual_id,taken_at,encounter_id\n"
        "given.jpg,Ada,2010-07-02,dive 7\n"
        "dated.jpg,Ada,2010-07-02,\n"
        "labelled.jpg,Ada,,NA\n"
        "timed.jpg,,2010-07-02 14:07:16,\n"
    )

    def encounters(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[str, str]]:
        return {
            uri.removeprefix("photos/"): (row["encounter_id"], row["encounter_source"]) for uri, row in rows.items()
        }

    rows = by_uri(run(workspace))
    alone = {name: f"photo-{rows[f'photos/{name}']['photo_id']}" for name in ("bare.jpg", "labelled.jpg", "timed.jpg")}
    assert encounters(rows) == {
        "given.jpg": ("dive 7", "metadata"),
        "dated.jpg": ("Ada-2010-07-02", "label_and_day"),
        "bare.jpg": (alone["bare.jpg"], "photo"),
        "labelled.jpg": (alone["labelled.jpg"], "photo"),
        "timed.jpg": (alone["timed.jpg"], "photo"),
    }
    assert (rows["photos/dated.jpg"]["taken_at"], rows["photos/dated.jpg"]["taken_on"]) == (None, date(2010, 7, 2))
    assert rows["photos/timed.jpg"]["taken_at"] == datetime(2010, 7, 2, 14, 7, 16)
    by_folder = encounters(by_uri(run(workspace, encounter={"unlabelled": "folder"})))
    assert by_folder["timed.jpg"] == ("photos-2010-07-02", "folder_and_day")
    assert by_folder["bare.jpg"] == ("photos-undated", "folder_and_day")
    assert by_folder["labelled.jpg"] == (alone["labelled.jpg"], "photo")


def test_labels_are_read_afresh(workspace: Workspace) -> None:
    photo(workspace.root / "photos/a.jpg", 1)
    table = workspace.root / "photos/metadata.csv"
    table.write_text("file,individual_id\na.jpg,Ada\n")
    assert by_uri(run(workspace))["photos/a.jpg"]["individual_id"] == "Ada"
    table.write_text("file,individual_id\na.jpg,Bea\n")
    corrected = run(workspace)
    assert corrected.n_decoded == 0
    assert by_uri(corrected)["photos/a.jpg"]["individual_id"] == "Bea"


def test_real_photos(workspace: Workspace, shared_data: Path) -> None:
    result = run(workspace, str(shared_data / "bonaire"))
    rows = result.photos.to_pylist()
    assert (result.n_files, len(rows), len(result.annotations), result.notes) == (16, 16, 16, ())
    assert {row["individual_id"] for row in rows} == {"Crush", "Donatello", "Leonardo", "Michelangelo", "Rafael"}
    assert sorted(row["role"] for row in rows) == ["gallery"] * 10 + ["query"] * 6
    for row in rows:
        for outline in result.annotations[row["photo_id"]]:
            x, y, width, height = outline.bbox_xywh_px
            assert 0 <= x < x + width <= row["width_px"] + 1 and 0 <= y < y + height <= row["height_px"] + 1
    assert has_outlines(str(shared_data / "bonaire"))
    assert not has_outlines(str(shared_data / "bonaire/queries"))


def test_the_offset_of_a_clock_is_kept_where_it_belongs_to_the_time(workspace: Workspace) -> None:
    details = {ExifTags.Base.DateTimeOriginal: "2026:06:14 09:00:00", ExifTags.Base.OffsetTimeOriginal: "+02:30"}
    folder = workspace.root / "photos"
    for seed, name in enumerate(("camera", "said", "zone", "other day", "column")):
        file = photo(folder / f"{name}.jpg", seed)
        picture = Image.open(file)
        exif = picture.getexif()
        exif.get_ifd(ExifTags.IFD.Exif).update(details)
        picture.save(file, exif=exif)
    rows = ["said.jpg,2026-06-14 09:00:00,", "zone.jpg,2026-06-14 09:00:00+03:00,", "other day.jpg,2026-06-15 09:00,"]
    text = "\n".join(["file,taken_at,time_zone", *rows, "column.jpg,,Europe/Athens"])
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    found = {uri: row["utc_offset"] for uri, row in by_uri(run(workspace)).items()}
    assert found == {
        "photos/camera.jpg": "+02:30", "photos/said.jpg": "+02:30", "photos/zone.jpg": "+03:00",
        "photos/other day.jpg": None, "photos/column.jpg": "+03:00",
    }  # fmt: skip
