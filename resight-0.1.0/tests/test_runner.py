"""Blocks on workers: nothing is lost, a poisonous block costs itself alone."""

import os
import time
from pathlib import Path

import psutil
import pytest

from resight.errors import DeviceError, WeightsError
from resight.runner import runner as runner_module
from resight.runner.local import WORKER_MEMORY
from resight.runner.params import DaskParams
from resight.runner.runner import MadeWay, Runner, Stalled


def double(n: int) -> int:
    return 2 * n


def fail_on_three(n: int) -> int:
    if n == 3:
        raise ValueError("three is wrong")
    return n


def die_on_three(n: int) -> int:
    if n == 3:
        os._exit(1)
    return n


def die_once(path: str) -> str:
    if not Path(path).exists():
        Path(path).touch()
        os._exit(1)
    return path


def leave_a_mark(path: str) -> None:
    Path(path).write_text("begun")
    time.sleep(0.05)
    Path(path).write_text("done")


def complain(_: int) -> int:
    raise WeightsError("no weights")


@pytest.mark.parametrize("mode", ["inline", "processes"])
def test_results_come_in_the_order_of_the_blocks_and_failures_are_named(mode: str) -> None:
    with Runner(DaskParams(mode=mode, workers=2), quiet=True) as runner:
        done, failures = runner.run("test", fail_on_three, range(6))
        assert runner.run("test", double, [4, 5])[0] == [(4, 8), (5, 10)]
    assert [b for b, _ in done] == [0, 1, 2, 4, 5]
    assert [(f.block, f.reason) for f in failures] == [(3, "ValueError: three is wrong")]


def test_local_schedulers_workers_and_nannies_listen_on_loopback_only() -> None:
    with Runner(DaskParams(workers=2), quiet=True) as runner:
        runner.run("test", double, range(4))
        me = psutil.Process()
        listening = [
            (process.pid, socket.laddr.ip)
            for process in [me, *me.children(recursive=True)]
            for socket in process.net_connections(kind="inet")
            if socket.status == psutil.CONN_LISTEN
        ]
    assert len({pid for pid, _ in listening}) >= 3, "the scheduler with its nannies here, and two workers"
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::1"}


@pytest.mark.kill
def test_a_block_that_kills_its_worker_costs_itself_alone(tmp_path: Path) -> None:
    with Runner(DaskParams(workers=2), quiet=True) as runner:
        done, failures = runner.run("test", die_on_three, range(6))
        once, none = runner.run("test", die_once, [str(tmp_path / "a"), str(tmp_path / "b")])
    assert [b for b, _ in done] == [0, 1, 2, 4, 5]
    assert [f.block for f in failures] == [3]
    assert len(once) == 2 and not none, "a worker that dies once is replaced and its block done again"


@pytest.mark.kill
def test_workers_that_nobody_replaces_are_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Nanny

    async def nobody(*_: object) -> None:
        return None

    monkeypatch.setattr(runner_module, "NOBODY_S", 3.0)
    with Runner(DaskParams(workers=1), quiet=True) as runner:
        assert runner.run("test", double, [1, 2])[0] == [(1, 2), (2, 4)]
        with monkeypatch.context() as during:
            during.setattr(Nanny, "_on_worker_exit", nobody)
            for known in "bc":
                (tmp_path / known).touch()
            paths = [str(tmp_path / name) for name in "abc"]
            done, failures = runner.run("test", die_once, paths)
    assert len(done) == 3 and not failures


@pytest.mark.parametrize("mode", ["inline", "processes"])
def test_an_error_that_a_person_must_cure_stops_the_run(mode: str) -> None:
    with (
        Runner(DaskParams(mode=mode, workers=1), quiet=True) as runner,
        pytest.raises(WeightsError, match="no weights"),
    ):
        runner.run("test", complain, [1, 2])


def test_nothing_to_do_starts_nothing() -> None:
    with Runner(DaskParams(address="tcp://127.0.0.1:9"), quiet=True) as runner:
        assert runner.run("test", double, []) == ([], [])


def test_a_scheduler_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    original = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: original(address, timeout=1))
    with (
        Runner(DaskParams(address="tcp://127.0.0.1:9"), quiet=True) as runner,
        pytest.raises(DeviceError, match="No Dask scheduler"),
    ):
        runner.run("test", double, [1, 2])


def test_a_gpu_that_nobody_offers_stops_before_the_fan_out() -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        runner = Runner(
            DaskParams(address=cluster.scheduler_address, wait_for_workers_seconds=1), device="cuda", quiet=True
        )
        with runner, pytest.raises(DeviceError, match="no Dask worker offers a GPU"):
            runner.run("test", double, [1, 2], gpu=True)


def test_a_gpu_resource_is_used_where_it_is_offered() -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, resources={"GPU": 1}
        ) as cluster,
        Runner(DaskParams(address=cluster.scheduler_address), device="cuda", quiet=True) as runner,
    ):
        start = time.monotonic()
        done, _ = runner.run("test", time.sleep, [0.2, 0.2, 0.2], gpu=True)
        spent = time.monotonic() - start
    assert len(done) == 3
    assert spent >= 0.6, "one at a time per GPU, although the worker has two threads"


def test_a_run_that_hangs_says_so() -> None:
    with (
        Runner(DaskParams(workers=1, stall_seconds=1.0), quiet=True) as runner,
        pytest.raises(Stalled, match="No block came back"),
    ):
        runner.run("test", time.sleep, [30, 30])


def memory_setting(name: str) -> str | None:
    return os.environ.get(name)


def test_local_workers_keep_freed_memory() -> None:
    with Runner(DaskParams(workers=1), quiet=True) as runner:
        done, _ = runner.run("test", memory_setting, list(WORKER_MEMORY))
    assert dict(done) == WORKER_MEMORY


@pytest.mark.parametrize("mode", ["inline", "processes"])
def test_a_run_that_makes_way_finishes_what_it_has_begun_and_begins_nothing_more(tmp_path: Path, mode: str) -> None:
    asked = list[int]()

    def is_wanted() -> bool:
        asked.append(len(asked))
        return len(asked) > 2

    runner = Runner(DaskParams(mode=mode, workers=1), quiet=True, is_wanted=is_wanted)
    with runner, pytest.raises(MadeWay):
        runner.run("test", leave_a_mark, [str(tmp_path / str(n)) for n in range(20)])
    marks = list(tmp_path.iterdir())
    assert 2 <= len(marks) <= 6 and all(mark.read_text() == "done" for mark in marks)
