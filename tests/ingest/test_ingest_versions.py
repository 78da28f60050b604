"""A changed content is seen even where size and time of change say that nothing happened; what was known before stays known."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from resight.ingest import versions
from resight.ingest.addresses import opened
from resight.ingest.stage import IngestResult
from resight.ingest.versions import time_in, version_of
from resight.store.workspace import Workspace

Read = Callable[..., IngestResult]


def photo(path: Path, shade: int) -> Path:
    """A picture whose file has the same size and time whatever its shade."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full((64, 96, 3), shade, np.uint8)).save(path, "TIFF")
    os.utime(path, ns=(10**18, 10**18))
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of the photos that a worker opens."""
    addresses: list[str] = []

    def count(address: str) -> object:
        addresses.append(Path(address).name)
        return opened(address)

    monkeypatch.setattr("resight.ingest.block.opened", count)
    return addresses


def in_place(path: Path) -> None:
    photo(path, 60)


def replaced(path: Path) -> None:
    os.replace(photo(path.with_name(".b.tif"), 60), path)


@pytest.mark.parametrize("change", [in_place, replaced])
def test_a_change_under_the_same_size_and_time_is_seen(
    workspace: Workspace, read_photos: Read, change: Callable
) -> None:
    path = photo(workspace.root / "photos/a.tif", 50)
    (before,) = read_photos("photos").photos["photo_id"].to_pylist()
    size = path.stat().st_size
    change(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (size, 10**18)
    result = read_photos("photos")
    assert result.n_decoded == 1 and result.photos["photo_id"].to_pylist() != [before]
    again = read_photos("photos")
    assert again.n_decoded == 0 and again.photos.equals(result.photos)


def test_an_untouched_file_is_not_opened_again(workspace: Workspace, read_photos: Read, reads: list[str]) -> None:
    path = photo(workspace.root / "photos/a.tif", 50)
    read_photos("photos")
    read_photos("photos")
    assert reads == ["a.tif"]
    path.chmod(0o600)
    assert read_photos("photos").n_decoded == 0
    assert reads == ["a.tif"] * 2, "hashed, since nobody can tell, but not decoded"


def test_an_older_store_stays_known_and_learns_the_full_version(
    workspace: Workspace, read_photos: Read, reads: list[str]
) -> None:
    path = photo(workspace.root / "photos/a.tif", 50)
    other = photo(workspace.root / "photos/b.tif", 80)
    before = read_photos("photos").photos
    for part in workspace.store.rglob("*.parquet"):
        table = pq.read_table(part)
        old = pa.array([time_in(version) for version in table["version"].to_pylist()])
        pq.write_table(table.set_column(table.column_names.index("version"), "version", old), part)
    reads.clear()
    for _ in range(2):
        assert read_photos("photos").photos.equals(before) and reads == []
    in_place(path)
    after = read_photos("photos")
    assert reads == ["a.tif"] and after.n_decoded == 1
    assert not after.photos.equals(before)
    os.utime(other, (1, 1))
    assert read_photos("photos").n_decoded == 0


def test_file_systems_that_make_inodes_up_keep_the_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = photo(tmp_path / "a.tif", 1).stat()
    mounts = tmp_path / "mountinfo"
    for kind, full in (("exfat", False), ("vfat", False), ("fuse.sshfs", False), ("ext4", True), ("nfs4", True)):
        mounts.write_text(
            f"36 35 {os.major(stat.st_dev)}:{os.minor(stat.st_dev)} / /mnt rw shared:1 - {kind} /dev/x rw\n"
        )
        monkeypatch.setattr(versions, "MOUNTS", mounts)
        versions._makes_inodes_up.cache_clear()
        assert (version_of(stat) != str(10**18)) == full
    versions._makes_inodes_up.cache_clear()
    assert time_in("12-34-56") == "12" and time_in("-12-34-56") == time_in("-12") == "-12" and time_in("etag") == "etag"
