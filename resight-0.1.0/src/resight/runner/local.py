"""Workers on this machine."""

from __future__ import annotations

import logging
import os
from typing import Any

from resight.errors import DeviceError

LOOPBACK = "127.0.0.1"  # nobody authenticates to a local worker, so nothing local may be reachable from the network
# Dask's own default gives freed memory back at once; the matcher then pays a page fault for every few kilobytes of every pair.
WORKER_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)}
# Dask looks after itself less often: its defaults take 2 to 5 % of every core that computes, and nobody reads the profiles.
QUIET_CLUSTER = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
}


def local_cluster(n: int, device: str) -> Any:
    """A scheduler and ``n`` workers of one thread, each with a GPU of its own if the device is cuda."""
    import dask
    from distributed import Nanny, SpecCluster
    from distributed.scheduler import Scheduler

    dask.config.set(
        {
            "distributed.worker.daemon": True,
            "distributed.comm.timeouts.connect": "60s",
            "distributed.nanny.pre-spawn-environ": dict(WORKER_MEMORY),
        }
        | QUIET_CLUSTER
    )
    env = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
    specs = {}
    for i in range(n):
        options: dict[str, Any] = {"host": LOOPBACK, "nthreads": 1, "env": dict(env), "dashboard": False, "silence_logs": logging.ERROR}  # fmt: skip
        if device == "cuda":
            options |= {"resources": {"GPU": 1}, "env": env | {"CUDA_VISIBLE_DEVICES": str(i)}}
        specs[f"worker-{i}"] = {"cls": Nanny, "options": options}
    scheduler = {
        "cls": Scheduler,
        "options": {"host": LOOPBACK, "port": 0, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"},
    }
    return SpecCluster(workers=specs, scheduler=scheduler, silence_logs=logging.ERROR)


def default_workers(device: str) -> int:
    """One for each core that this process may use, or for each GPU.

    Raises:
        DeviceError: No GPU is here.
    """
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise DeviceError(
                "device = 'cuda', but this machine has no CUDA GPU that torch can see; set device = 'cpu'."
            )
        return torch.cuda.device_count()
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
