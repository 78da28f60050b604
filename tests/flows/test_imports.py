"""What a command loads: seconds of start-up are imports, and nobody waits for those that their command does not use."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flow_helpers import FIRST_NIGHT
from receivers import http_receiver
from stopping import MAIN

from resight.errors import SettingsError
from resight.flows import lazy, nightly
from resight.store.workspace import Workspace

LOADED = "import atexit, json, os, sys\natexit.register(lambda: open(os.environ['LOADED'], 'w').write(json.dumps(sorted(sys.modules))))\n"
SMALL = ["--set", "extract.max_keypoints=300", "--set", "crop.head_side_px=320", "--set", "dask.mode=inline"]
HEAVY = {"prefect", "distributed", "torch", "kornia", "zarr", "jinja2", "scipy.stats", "scipy.optimize"}


def loaded(folder: Path, *arguments: str, **environment: str) -> set[str]:
    """Modules that the command has loaded when it ends."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    env |= {"LOADED": str(folder / "loaded.json"), "PREFECT_HOME": str(folder), **environment}
    done = subprocess.run(
        [sys.executable, "-c", LOADED + MAIN, *arguments], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return set(json.loads((folder / "loaded.json").read_text(encoding="utf-8")))


def test_a_night_without_anything_new_loads_nothing_heavy(night_workspace: Workspace, tmp_path: Path) -> None:
    place = str(night_workspace.root)
    modules = loaded(tmp_path, "nightly", "--json", "--night", FIRST_NIGHT, "-w", place, *SMALL)
    assert not HEAVY & modules


def test_help_loads_no_stage(tmp_path: Path) -> None:
    assert not {"numpy", "pyarrow", "pydantic", *HEAVY} & loaded(tmp_path, "--help")


def test_prefect_is_asked_where_a_server_is_set_or_records_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))

    def is_flow(plain: bool = False, record: bool = False) -> bool:
        return lazy.as_asked(nightly, "nightly", plain=plain, record=record) is not nightly.run_nightly

    assert not is_flow()
    assert is_flow(record=True)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    said: list[str] = []  # Prefect, once imported, takes the log away from pytest
    monkeypatch.setattr(lazy.log, "warning", lambda text, *parts: said.append(text % parts))
    assert not is_flow() and "127.0.0.1:9/api cannot be reached" in said[0], "the work goes on without its server"
    with http_receiver() as (address, _):
        monkeypatch.setenv("PREFECT_API_URL", f"{address}api")
        assert is_flow()
        assert not is_flow(plain=True)
    with pytest.raises(SettingsError, match="--record"):
        is_flow(plain=True, record=True)


def test_a_server_that_a_profile_names_is_found(tmp_path: Path) -> None:
    profile = 'active = "field"\n[profiles.field]\nPREFECT_API_URL = "http://127.0.0.1:4200/api"\n'
    (tmp_path / "profiles.toml").write_text(profile, encoding="utf-8")
    code = "from resight.flows.lazy import has_server; print(has_server())"
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {"PREFECT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
    (tmp_path / "profiles.toml").write_text('active = "none"\n[profiles.none]\n', encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_a_module_names_what_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="no attribute 'weekly'"):
        nightly.weekly  # noqa: B018
