"""A cluster that another package makes: its workers are checked, late ones get their share, and it ends with the run."""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from resight.errors import DeviceError, SettingsError
from resight.runner import crew as crew_module
from resight.runner.made import made_cluster
from resight.runner.params import DaskParams
from resight.runner.runner import Runner

# Dask's own cluster of processes stands in for those of dask-jobqueue, dask-kubernetes or Coiled, which share its interface.
LOCAL: dict[str, Any] = {
    "cluster": "distributed:LocalCluster",
    "cluster_settings": {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 40},
}


def worked(seconds: float) -> tuple[str, float]:
    """Which worker it was, and when it ended."""
    from distributed import get_worker

    time.sleep(seconds)
    return get_worker().address, time.time()


def test_six_late_workers_get_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "LOOK_EVERY_S", 0.2)
    light = {**LOCAL, "cluster_settings": {**LOCAL["cluster_settings"], "processes": False, "protocol": "tcp://"}}
    with Runner(DaskParams.model_validate(light), quiet=True) as runner:
        first, _ = runner.run("first", worked, [0.0])
        runner._made.scale(7)
        done, failures = runner.run("late", worked, [0.25] * 210)
        scheduler = runner._made.scheduler_address
    assert not failures and len(done) == 210
    ends = [end for _, end in done]
    all_there = max(min(end for one, end in ends if one == worker) for worker in {worker for worker, _ in ends})
    share = Counter(worker for worker, end in ends if end >= all_there)
    alone = share.pop(first[0][1][0])
    assert len(share) == 6 and sum(share.values()) >= 5 * alone >= 25, (alone, share)
    with socket.socket() as asking:
        host, port = scheduler.removeprefix("tcp://").rsplit(":", 1)
        assert asking.connect_ex((host, int(port))), "the cluster has ended with the run"


@pytest.mark.parametrize(
    ("dask", "says"),
    [
        ({"cluster": "no_such_package:Cluster"}, "cannot be used"),
        ({"cluster": "distributed"}, "cannot be used"),
        ({"cluster": "distributed:LocalCluster", "cluster_settings": {"colour": "red"}}, "made no cluster"),
        (LOCAL | {"address": "tcp://10.0.0.1:8786"}, "Both dask.address and dask.cluster"),
    ],
)
def test_what_makes_no_cluster_is_one_sentence(dask: dict[str, Any], says: str) -> None:
    with pytest.raises((SettingsError, DeviceError), match=says), Runner(DaskParams.model_validate(dask)) as runner:
        runner.run("test", worked, [0.0, 0.0])


class Refusing:
    """A cluster whose queue takes no jobs."""

    closed = 0

    def scale(self, n: int) -> None:
        raise RuntimeError(f"{n} jobs are too many")

    def close(self) -> None:
        type(self).closed += 1


def test_a_cluster_that_refuses_workers_is_closed() -> None:
    with pytest.raises(DeviceError, match="3 jobs are too many"):
        made_cluster(DaskParams(cluster=f"{__name__}:Refusing", workers=3))
    assert Refusing.closed == 1


def test_a_gpu_is_waited_for_and_then_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    dask = DaskParams.model_validate(LOCAL | {"wait_for_workers_seconds": 1.0})
    with pytest.raises(DeviceError, match="no Dask worker offers a GPU"), Runner(dask, "cuda", quiet=True) as runner:
        runner.run("test", worked, [0.0, 0.0], gpu=True)
    assert "waiting up to 1 s" in caplog.text


def test_the_real_package_for_queues_makes_a_cluster(tmp_path: Path) -> None:
    """Its cluster without a queue writes job scripts and starts them as those of SLURM and others do."""
    pytest.importorskip("dask_jobqueue", reason="needs dask-jobqueue, of the extra dev")
    settings: dict[str, Any] = {
        "cores": 1, "processes": 1, "memory": "1GB", "interface": None, "python": sys.executable,
        "log_directory": str(tmp_path), "scheduler_options": {"dashboard_address": None, "host": "127.0.0.1"},
    }  # fmt: skip
    dask = DaskParams(cluster="dask_jobqueue.local:LocalCluster", cluster_settings=settings, workers=1)
    with Runner(dask, quiet=True) as runner:
        done, failures = runner.run("queue", worked, [0.0] * 4)
        assert "JobQueueCluster" in {base.__name__ for base in type(runner._made).__mro__}
    assert not failures and len({worker for _, (worker, _) in done}) == 1


def test_a_performance_report_is_written_or_says_what_it_needs(tmp_path: Path) -> None:
    page = tmp_path / "pages" / "run.html"
    dask = DaskParams.model_validate(LOCAL | {"performance_report": str(page)})
    if find_spec("bokeh") is None:
        with pytest.raises(SettingsError, match="needs Bokeh"), Runner(dask, quiet=True) as runner:
            runner.run("test", worked, [0.0, 0.0])
        return
    with Runner(dask, quiet=True) as runner:
        runner.run("test", worked, [0.0, 0.0])
    assert "bokeh" in page.read_text(encoding="utf-8").lower()
