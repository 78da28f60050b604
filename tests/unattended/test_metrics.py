"""Numbers for Prometheus, as its own parser reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from resight.errors import SettingsError
from resight.run.telling import attempted
from resight.store.workspace import Workspace


def samples(file: Path) -> dict[str, float]:
    """Sample with its labels, and its value; each name has its HELP and TYPE before it."""
    found, typed = {}, set()
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# TYPE"):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name.partition("{")[0] in typed and name not in found
            found[name] = float(value)
    return found


def test_the_last_attempt_of_each_command_is_there(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "zante.prom"
    (workspace.root / "resight.toml").write_text(f"site = 'zante'\nmetrics = '{file}'\n", encoding="utf-8")
    with attempted(workspace, "rebuild") as tried:
        tried.result({
            "status": "accepted", "reason": "", "work": {"pairs_matched": 50}, "seconds": {"match": 4.0},
            "counts": {"ingest": {"in": 3, "out": {"ok": 2, "rejected": 1}}},
        })  # fmt: skip
    with pytest.raises(SettingsError), attempted(workspace, "accuracy"):
        raise SettingsError("no")
    found = samples(file)
    of = 'site="zante",command="rebuild"'
    assert (
        found[f"resight_last_exit_code{{{of}}}"] == 0
        and found['resight_last_exit_code{site="zante",command="accuracy"}'] == 1
    )
    assert (
        found[f"resight_pairs_per_second{{{of}}}"] == 12.5
        and found[f'resight_stage_seconds{{{of},stage="match"}}'] == 4
    )
    assert found[f'resight_stage_items{{{of},stage="ingest",status="rejected"}}'] == 1
    assert found[f"resight_last_success_seconds{{{of}}}"] == found[f"resight_last_end_seconds{{{of}}}"] > 1.7e9
    assert 'resight_last_success_seconds{site="zante",command="accuracy"}' not in found
    assert found['resight_free_bytes{site="zante"}'] > 0
    assert found['resight_under_way{site="zante"}'] == 0


def test_a_file_that_cannot_be_written_fails_nothing(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    (workspace.root / "resight.toml").write_text("metrics = '/proc/none/x.prom'\n", encoding="utf-8")
    with attempted(workspace, "rebuild"):
        pass
    assert "could not be written" in caplog.text
