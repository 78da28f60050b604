"""A workspace with weights of its own, moved to another place and run again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from warm import make_season

from resight.errors import MissingWeightsError, SettingsError
from resight.flows.nightly import run_nightly
from resight.run.doctor import examine
from resight.segment.kinds.head_finder import BUNDLED
from resight.store.workspace import Workspace

NIGHT = "2026-06-04"


@pytest.mark.parametrize("path", ["models/weights/mine.safetensors", "{old}/models/weights/mine.safetensors"])
def test_a_workspace_is_moved_with_its_weights_and_nothing_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    old, new = tmp_path / "old", tmp_path / "on another disk" / "new"
    make_season(old)
    weights = old / "models" / "weights" / "mine.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(Path(BUNDLED).read_bytes())
    file, written = old / "resight.toml", f'kind = "head-finder"\nweights = "{path.format(old=old)}"'
    file.write_text(file.read_text().replace('kind = "whole"', written))
    first = run_nightly(old, NIGHT, quiet=True)
    there = _stored(old)
    assert any("segment" in name for name in there)
    new.parent.mkdir()
    shutil.move(old, new)
    monkeypatch.chdir(tmp_path)
    again = run_nightly(new, NIGHT, quiet=True)
    assert again["run_id"] == first["run_id"] and not any(again["work"].values()) and _stored(new) == there
    assert [found.says for found in examine(Workspace(new)) if not found.ok] == []
    moved = new / "models" / "weights" / "mine.safetensors"
    moved.write_bytes(moved.read_bytes()[:-4] + bytes(4))  # another file of that name is not taken for it
    with pytest.raises((MissingWeightsError, SettingsError)):
        run_nightly(new, NIGHT, quiet=True)


def _stored(place: Path) -> list[str]:
    """What has been computed: the drawn photos have no head that the finder finds, so there are verdicts on photos and no crops."""
    return sorted(file.relative_to(place).as_posix() for file in (place / "store").rglob("*.parquet"))
