"""Only workers that have the flow's code, weights and workspace get work; the others are named with what they have otherwise."""

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import resight
import resight.catalog
from resight.errors import DeviceError, SettingsError
from resight.run.doctor import examine
from resight.runner import crew as crew_module
from resight.runner.crew import Crew, NoWorkers
from resight.runner.handshake import ForeignWorker, Needs, introduce, leave_token
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.store.workspace import open_workspace

ROOT = Path(__file__).parents[2]
WORKER = "from distributed.cli.dask_worker import main; main()"
BLIND = """
import pathlib
read_text = pathlib.Path.read_text
def blind(self, *args, **how):
    if self.name.startswith(".seen-by-workers-"):
        raise FileNotFoundError(2, "No such file or directory", str(self))
    return read_text(self, *args, **how)
pathlib.Path.read_text = blind
"""


@dataclass(frozen=True)
class WeightsOfTheProcess:
    """Weights that every process has its own of."""

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(names, f"{os.getpid():012}")


def touch(path: str) -> int:
    Path(path).touch()
    return os.getpid()


def pause(path: str) -> int:
    time.sleep(0.3)
    return touch(path)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A scheduler that somebody else runs, without workers."""
    from distributed import LocalCluster

    monkeypatch.setattr(crew_module, "LOOK_EVERY_S", 0.2)
    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def other_code(tmp_path: Path) -> Path:
    """The package again, with one line more."""
    package = tmp_path / "other" / "resight"
    leave = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(Path(resight.__file__).parent, package, ignore=leave)
    shutil.copytree(Path(resight.catalog.__file__).parent, package / "catalog", ignore=leave, dirs_exist_ok=True)
    with (package / "score" / "distances.py").open("a", encoding="utf-8") as file:
        file.write("# another version\n")
    return package.parent


@contextmanager
def worker(address: str, *path: Path, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    command = [
        sys.executable,
        "-c",
        WORKER,
        address,
        "--nthreads",
        "1",
        "--no-nanny",
        "--no-dashboard",
        "--host",
        "127.0.0.1",
        "--worker-port",
        str(port),
    ]
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def dask(address: str, **more: float) -> DaskParams:
    return DaskParams(address=address, **{"wait_for_workers_seconds": 60.0} | more)  # type: ignore[arg-type]


def refused(address: str, tmp_path: Path, needs: Needs | None = None) -> str:
    """Why a run does not begin; nothing of it has been done."""
    with Runner(dask(address), quiet=True, needs=needs) as runner, pytest.raises(ForeignWorker) as error:
        runner.run("test", touch, [str(tmp_path / "a"), str(tmp_path / "b")])
    assert not list(tmp_path.glob("[ab]")), "no block was run"
    sentence = str(error.value)
    assert "\n" not in sentence and "worker at tcp://127.0.0.1:" in sentence
    return sentence


def test_a_worker_with_other_code_is_refused_before_any_work(address: str, other_code: Path, tmp_path: Path) -> None:
    with worker(address, other_code):
        sentence = refused(address, tmp_path)
    assert "other code of Resight" in sentence and "workspace (" not in sentence


def test_a_worker_that_does_not_see_the_workspace_or_has_other_weights_is_refused(address: str, tmp_path: Path) -> None:
    (tmp_path / "blind").mkdir()
    (tmp_path / "blind" / "sitecustomize.py").write_text(BLIND)
    store = tmp_path / "store"
    with worker(address, tmp_path / "blind"):
        sentence = refused(address, tmp_path, Needs(store, WeightsOfTheProcess(), ("xfeat",)))
    assert "does not see this workspace" in sentence and str(store) in sentence
    assert "it has weights xfeat" in sentence and "other code" not in sentence
    assert not list(store.iterdir()), "the token is taken away"


def test_whoever_joins_later_is_checked_before_it_gets_work(
    address: str, other_code: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as workers, Runner(dask(address), quiet=True, needs=Needs(tmp_path / "store")) as runner:
        first = workers.enter_context(worker(address))
        assert {pid for _, pid in runner.run("test", touch, [str(tmp_path / "0")])[0]} == {first.pid}
        foreign = workers.enter_context(worker(address, other_code))
        second = workers.enter_context(worker(address))
        done, failures = runner.run("test", pause, [str(tmp_path / f"{n}") for n in range(60)])
    pids = {pid for _, pid in done}
    assert len(done) == 60 and not failures
    assert foreign.pid not in pids and pids == {first.pid, second.pid}
    assert "other code of Resight" in caplog.text and "go on without it" in caplog.text


def test_a_worker_that_was_started_again_is_checked_again(
    address: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "blind").mkdir()
    (tmp_path / "blind" / "sitecustomize.py").write_text(BLIND)
    port = free_port()

    def pids_with(*path: Path) -> tuple[bool, set[int]]:
        """Whether a worker at that port got blocks, and who got some."""
        with worker(address, *path, port=port) as process:
            until(lambda: there() == 2)
            done, failures = runner.run("test", pause, [str(tmp_path / f"{n}") for n in range(12)])
            assert len(done) == 12 and not failures
        until(lambda: there() == 1)
        return process.pid in {pid for _, pid in done}, {pid for _, pid in done}

    with Runner(dask(address), quiet=True, needs=Needs(tmp_path / "store")) as runner, worker(address) as first:
        there = lambda: len(runner._connect()[0].ncores())  # noqa: E731
        assert {pid for _, pid in runner.run("test", touch, [str(tmp_path / "0")])[0]} == {first.pid}
        assert pids_with(tmp_path / "blind") == (False, {first.pid})
        assert f"127.0.0.1:{port} cannot take part" in caplog.text
        assert pids_with()[0], "it was put right and listens where it did before"
        assert pids_with(tmp_path / "blind") == (False, {first.pid})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_worker_with_other_plug_ins_or_libraries_is_refused(address: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("scipy", "my-plug-in", "timm"):
        about = other / f"{name.replace('-', '_')}-0.0.1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.1\n")
    (other / "my_plug_in-0.0.1.dist-info" / "entry_points.txt").write_text("[resight.matchers]\nmine = nowhere:Mine\n")
    with worker(address, other):
        sentence = refused(address, tmp_path)
    assert "it has scipy 0.0.1 (here " in sentence
    assert "it has plug-ins my-plug-in 0.0.1 (here none)" in sentence
    assert ("timm" in sentence) == (find_spec("timm") is not None), "what only one of them has is no difference"


def test_doctor_asks_each_worker_of_a_cluster_what_it_has(address: str, other_code: Path, tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path)
    (tmp_path / "resight.toml").write_text(f'dask.address = "{address}"\n')
    running = leave_token(workspace.store)

    def workers() -> dict[bool, str]:
        return {f.ok: f.says for f in examine(workspace) if f.what == "workers"}

    assert "has no worker" in workers()[False]
    with worker(address), worker(address, other_code):
        until(lambda: len(workers()) == 2)
        told = workers()
    assert "1 of 2 agree (same code, packages, weights and workspace): tcp://127.0.0.1:" in told[True]
    assert "other code of Resight" in told[False] and "worker at tcp://127.0.0.1:" in told[False]
    assert running.exists(), "a run under way keeps its token"
    assert len(list(workspace.store.glob(".seen-by-workers-*"))) == 1


def test_what_can_be_closed_is_closed_where_something_else_cannot(tmp_path: Path) -> None:
    closed: list[str] = []

    def closing(name: str) -> Any:
        def close() -> None:
            closed.append(name)
            if name == "client":
                raise OSError(5, "Input/output error")

        return SimpleNamespace(close=close)

    runner = Runner(DaskParams(), quiet=True)
    runner._crew, runner._client, runner._cluster = closing("crew"), closing("client"), closing("cluster")
    with pytest.raises(OSError, match="Input/output"):
        runner.__exit__()
    assert closed == ["crew", "client", "cluster"] and not runner.started


def test_a_token_that_cannot_be_taken_away_ends_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew(None, Needs(tmp_path / "store"), "", 1)

    def fail(*_: object, **__: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(Path, "unlink", fail)
    crew.close()


def test_a_scheduler_without_workers_is_said_at_once_and_ends_the_run(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    start = time.monotonic()
    with (
        caplog.at_level(logging.WARNING),
        Runner(dask(address, wait_for_workers_seconds=1.5), quiet=True) as runner,
        pytest.raises(NoWorkers, match=r"No Dask worker has joined .* check that workers run"),
    ):
        runner.run("test", touch, ["a", "b"])
    assert time.monotonic() - start < 30
    assert "has no worker; waiting up to 2 s" in caplog.text


def test_blocks_of_a_worker_that_goes_away_are_done_by_the_others(address: str, tmp_path: Path) -> None:
    with ExitStack() as workers, Runner(dask(address), quiet=True) as runner:
        first = workers.enter_context(worker(address))
        runner.run("test", touch, [str(tmp_path / "0")])
        second = workers.enter_context(worker(address))
        runner.run("test", lose(first.pid), [str(tmp_path / "1")])
        done, failures = runner.run("test", pause, [str(tmp_path / f"{n}") for n in range(4)])
    assert len(done) == 4 and not failures and {pid for _, pid in done} == {second.pid}


def lose(pid: int) -> Callable[[str], int]:
    return Lost(pid)


@dataclass(frozen=True)
class Lost:
    """A block that ends one worker and is done by any other."""

    pid: int

    def __call__(self, path: str) -> int:
        if os.getpid() == self.pid:
            os._exit(1)
        return touch(path)


def test_saying_what_a_process_has_takes_no_time(tmp_path: Path) -> None:
    introduce(Needs(), None)
    start = time.process_time()
    introduce(Needs(), None)
    assert time.process_time() - start < 0.01


def test_certificates_encrypt_the_way_to_the_scheduler(tmp_path: Path) -> None:
    from distributed import LocalCluster
    from distributed.security import Security

    temporary = Security.temporary()
    files = {
        "tls_ca": temporary.tls_ca_file,
        "tls_cert": temporary.tls_client_cert,
        "tls_key": temporary.tls_client_key,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    paths = {name: str(tmp_path / name) for name in files}
    how = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(security=temporary, protocol="tls://", host="127.0.0.1", **how) as cluster:
        place = cluster.scheduler_address
        with Runner(DaskParams(address=place, **paths), quiet=True) as runner:
            assert len(runner.run("test", touch, [str(tmp_path / "a"), str(tmp_path / "b")])[0]) == 2
        with Runner(DaskParams(address=place), quiet=True) as runner, pytest.raises(DeviceError, match="No Dask"):
            runner.run("test", touch, ["a", "b"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tls_key": "/nowhere/key.pem"}, "dask.tls_key = '/nowhere/key.pem' is not there"),
        ({"tls_cert": ""}, "dask.tls_cert is empty"),
        ({"address": "tcp://127.0.0.1:9"}, "is not encrypted"),
    ],
)
def test_a_certificate_that_is_missing_is_one_sentence(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    file = tmp_path / "file.pem"
    file.touch()
    settings = {"address": "tls://127.0.0.1:9", "tls_ca": str(file), "tls_cert": str(file), "tls_key": str(file)}
    with (
        Runner(DaskParams(**settings | changed), quiet=True) as runner,  # type: ignore[arg-type]
        pytest.raises(SettingsError, match=said) as error,
    ):
        runner.run("test", touch, ["a", "b"])
    assert "\n" not in str(error.value)
