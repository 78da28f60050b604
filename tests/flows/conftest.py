"""A small rendered survey, workspaces around it, and one finished night that tests copy instead of making their own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from flow_helpers import FIRST_NIGHT, SMALL, MakeOnce
from stopping import own_prefect, wait_for

from resight.demo.survey import render_survey
from resight.settings.init import init_workspace
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

NIGHT = f"""
import json, sys
from resight.flows.nightly import run_nightly
result = run_nightly(sys.argv[1], {FIRST_NIGHT!r}, {SMALL!r}, quiet=True)
sys.stdout.write(json.dumps(result, allow_nan=False))
"""


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Fills a folder once for all worker processes of a test run; nobody may change what is in it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, fill: Callable[[Path], None]) -> Path:
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                unfinished = shared / f"{name} unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def survey(make_once: MakeOnce) -> Path:
    """Three known animals met twice each, and four query encounters, one of them a new animal."""

    def render(folder: Path) -> None:
        render_survey(
            folder / "June 2026, bay [1]", n_individuals=3, n_new=1, photos_per_encounter=1, size_px=(600, 450)
        )

    return make_once("survey", render) / "June 2026, bay [1]"


@pytest.fixture(scope="session")
def finished_night(make_once: MakeOnce, survey: Path) -> Path:
    """A folder with a workspace after its first night, and what the night answered. Copy the workspace, or only read."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            workspace = _with_survey(Workspace(folder / "workspace"), survey, monkeypatch)
            # In a process of its own: what earlier tests have set in this one (threads, say) changes last digits.
            done = subprocess.run([sys.executable, "-c", NIGHT, str(workspace.root)], check=True, capture_output=True)
        json.loads(done.stdout)
        (folder / "result.json").write_bytes(done.stdout)

    return make_once("finished night", make)


@pytest.fixture
def field_workspace(workspace: Workspace, survey: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace without any weights on the machine, with the survey in its inbox."""
    return _with_survey(workspace, survey, monkeypatch)


@pytest.fixture
def night_workspace(workspace: Workspace, finished_night: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """`field_workspace` after the night of FIRST_NIGHT with the settings SMALL."""
    _hide_weights(workspace, monkeypatch)
    shutil.copytree(finished_night / "workspace", workspace.root, dirs_exist_ok=True)
    return workspace


@pytest.fixture
def night_result(finished_night: Path) -> dict[str, Any]:
    """What the night of `night_workspace` answered; its folder is that of the original."""
    result: dict[str, Any] = json.loads((finished_night / "result.json").read_text(encoding="utf-8"))
    return result


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server with an empty database, once for the session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def prefect_database(make_once: MakeOnce) -> Path:
    """A server's database before its first flow run; to make its tables takes ten seconds. Copy it."""

    def make(folder: Path) -> None:
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
        subprocess.run(command, env=os.environ | own_prefect(folder), check=True, timeout=120)

    return make_once("prefect database", make) / "prefect.db"


@pytest.fixture
def whole_server(tmp_path: Path, prefect_database: Path) -> Iterator[str]:
    """A server with all its services, as `prefect server start` runs it; the temporary one has no scheduler."""
    shutil.copyfile(prefect_database, tmp_path / "prefect.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = (tmp_path / "server.log").open("wb")
    process = subprocess.Popen(
        command, env=os.environ | own_prefect(tmp_path), stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_for(lambda: _healthy(port), process)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def _with_survey(workspace: Workspace, survey: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    _hide_weights(workspace, monkeypatch)
    init_workspace(workspace.root, WeightStore(allow_download=False))
    shutil.copytree(survey, workspace.root / "photos" / "survey")
    return workspace


def _hide_weights(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace.root / "no cache"))


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


REVIEWED_NIGHT = f"""
import sys
from resight.flows.nightly import run_nightly
run_nightly(sys.argv[1], {FIRST_NIGHT!r}, {SMALL!r}, quiet=True)
"""


@pytest.fixture(scope="session")
def reviewed_night(make_once: MakeOnce) -> Path:
    """A workspace after a night with two photos in each encounter, in a folder whose name needs care in addresses. Copy it."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            workspace = Workspace(folder / "workspace")
            _hide_weights(workspace, monkeypatch)
            init_workspace(workspace.root, WeightStore(allow_download=False))
            inbox = workspace.root / "photos" / "dive #4, 100 % <b>ü"
            render_survey(inbox, n_individuals=4, n_new=2, photos_per_encounter=2, size_px=(600, 450))
            subprocess.run([sys.executable, "-c", REVIEWED_NIGHT, str(workspace.root)], check=True)

    return make_once("reviewed night", make) / "workspace"


@pytest.fixture
def reviewed_workspace(workspace: Workspace, reviewed_night: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of `reviewed_night` of one's own."""
    _hide_weights(workspace, monkeypatch)
    shutil.copytree(reviewed_night, workspace.root, dirs_exist_ok=True)
    return workspace
