"""A folder that may not be listed is no empty folder."""

import os
from pathlib import Path

import pytest

from resight.decisions.log import DecisionLog
from resight.store.listing import matching
from resight.store.parts import part_files
from resight.store.workspace import Workspace


@pytest.mark.parametrize("pattern", ["*", "[!.]*.parquet", "[!.]*/runs.parquet", "*/deep/a.json", ".*", "runs.parquet"])
def test_it_finds_what_glob_finds(tmp_path: Path, pattern: str) -> None:
    for name in ("a.parquet", ".b.parquet", "runs.parquet", "r1/runs.parquet", ".r2/runs.parquet", "r3/deep/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert matching(tmp_path, pattern) == sorted(tmp_path.glob(pattern)) != []
    assert matching(tmp_path / "not there", pattern) == matching(tmp_path / "a.parquet", pattern) == []


def test_what_may_not_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = DecisionLog(Workspace(tmp_path))
    log.folder.mkdir(parents=True)

    def refused(path: os.PathLike[str]) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError):
        log.entries()
    with pytest.raises(PermissionError):
        part_files(log.folder)


def test_what_is_the_systems_own_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lost+found", "r1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "runs.parquet").touch()
    assert matching(tmp_path, "*/runs.parquet") == [tmp_path / "r1" / "runs.parquet"]
