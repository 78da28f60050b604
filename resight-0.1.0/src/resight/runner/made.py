"""Clusters that other packages make (dask-jobqueue, dask-kubernetes, Coiled, …), and Dask's own page about a run."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resight.errors import DeviceError, SettingsError
from resight.runner.params import DaskParams


def made_cluster(dask: DaskParams) -> Any:
    """What ``dask.cluster`` makes with ``dask.cluster_settings``, asked for ``dask.workers`` workers if that is not 0.

    Raises:
        SettingsError: There is no such factory, or an address is set too.
        DeviceError: It makes no cluster.
    """
    if dask.address:
        raise SettingsError("Both dask.address and dask.cluster are set; keep the one that you mean.")
    module, _, name = dask.cluster.partition(":")
    try:
        factory = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise SettingsError(
            f"dask.cluster = '{dask.cluster}' cannot be used ({error}); write it as MODULE:FACTORY, e.g. dask_jobqueue:SLURMCluster, and "
            "install that package beside Resight."
        ) from None
    cluster = None
    try:
        cluster = factory(**dask.cluster_settings)
        if dask.workers:
            cluster.scale(dask.workers)
    except Exception as error:  # of whatever package it is
        if cluster is not None:  # its jobs would go on without anybody to end them
            with suppress(Exception):
                cluster.close()
        raise DeviceError(
            f"dask.cluster = '{dask.cluster}' made no cluster ({type(error).__name__}: {error}); check section dask.cluster_settings, "
            "which holds its arguments."
        ) from error
    return cluster


class Report:
    """Dask's performance report of everything from now until it is closed.

    Args:
        file: Where the page goes.

    Raises:
        SettingsError: Bokeh, which draws it, is not installed.
    """

    def __init__(self, file: str) -> None:
        if find_spec("bokeh") is None:
            raise SettingsError(
                "dask.performance_report needs Bokeh: pip install 'resight[dashboard]', or leave it empty."
            )
        from distributed import performance_report

        path = Path(file).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._report: Any = performance_report(filename=str(path))
        self._report.__enter__()

    def close(self) -> None:
        """Write the page."""
        self._report.__exit__(None, None, None)
