"""The schedules on one machine, without a work pool."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prefect.runner import Runner
from prefect.schedules import Schedule
from prefect.types.entrypoint import EntrypointType

from resight.errors import SettingsError
from resight.flows.deploying import deployment_name, existing_deployment, refuse_foreign, tags_of
from resight.flows.evaluation import accuracy
from resight.flows.nightly import nightly
from resight.runner.children import SERVED_BY
from resight.settings import load_settings
from resight.store.workspace import open_workspace

NIGHTLY_CRON = "30 2 * * *"
ACCURACY_CRON = "0 4 * * 0"
WAIT_MINUTES = 180.0  # for a rebuild, say, where the settings do not say how long
FLOW_RUNS_S = 2.3  # for flow runs to close their workers and to tell the server how they ended
TELL_S = 0.7  # for us to tell it of those that did not


def served_deployments(workspace: str, overrides: Mapping[str, Any] | None = None, site: str = "") -> list[Any]:
    """The deployments that `resight serve` keeps running."""
    parameters = {"workspace": workspace, "overrides": dict(overrides) if overrides else None}
    common: dict[str, Any] = {
        "parameters": parameters,
        "concurrency_limit": 1,
        "entrypoint_type": EntrypointType.MODULE_PATH,
        "tags": tags_of(site),
    }
    times = {nightly: NIGHTLY_CRON, accuracy: ACCURACY_CRON}
    return [
        job.to_deployment(
            name=deployment_name(job.name, site), schedules=[Schedule(cron=cron, slug=job.name)], **common
        )
        for job, cron in times.items()
    ]


def serve_flows(workspace: str, overrides: Mapping[str, Any] | None = None) -> None:
    """Serve until stopped. Needs a Prefect server (`prefect server start`, PREFECT_API_URL).

    Raises:
        SettingsError: The server has deployments of these names that are of another workspace, or that a work pool runs.
        ServerError: No server is set, or it cannot be reached.
    """
    place = open_workspace(workspace)
    runner, settings = _Runner(pause_on_shutdown=True), load_settings(place.root, overrides)
    waiting = {} if "wait_minutes" in settings.model_fields_set else {"wait_minutes": WAIT_MINUTES}
    for deployment in served_deployments(workspace, waiting | dict(overrides or {}), settings.site):
        existing = existing_deployment(deployment.flow_name, deployment.name)
        refuse_foreign(existing, deployment.name, workspace)
        if existing and existing.work_pool_name:
            raise SettingsError(
                f"{deployment.flow_name}/{deployment.name} is run by workers of the pool {existing.work_pool_name} (`resight deploy`); "
                f"to serve it here instead: prefect deployment delete '{deployment.flow_name}/{deployment.name}'."
            )
        runner.add_deployment(deployment)
    os.environ[SERVED_BY] = str(os.getpid())
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as background jobs of scripts have it
        signal.signal(signal.SIGINT, runner.handle_sigterm)
    asyncio.run(runner.start())


class _Runner(Runner):
    """Prefect's runner, but at Ctrl-C and SIGTERM flow runs end first.

    Prefect's own stops listening and then kills them, so that they would stay "Running" on the server for ever. Here they
    report by themselves that they crashed, and of one that is too slow we see the end and report it.
    """

    _ending: threading.Thread | None = None
    _serving: asyncio.AbstractEventLoop | None = None

    async def start(self, run_once: bool = False, webserver: bool | None = None) -> None:
        """As Prefect's."""
        self._serving = asyncio.get_running_loop()
        await super().start(run_once, webserver)

    def handle_sigterm(self, *_: Any, **__: Any) -> None:
        """Let flow runs end while this process goes on listening, then interrupt it."""
        if self._serving is None:
            raise KeyboardInterrupt
        if self._ending is None:
            self.stopping = True
            self._ending = threading.Thread(
                target=self._end, args=(self._serving,), name="end of flow runs", daemon=True
            )
            self._ending.start()

    @staticmethod
    def _end(loop: asyncio.AbstractEventLoop) -> None:
        if _end_flow_runs():
            time.sleep(TELL_S)
        loop.call_soon_threadsafe(_interrupt)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _end_flow_runs() -> bool:
    """Ask the processes of flow runs to end, and end those that do not; whether there were any."""
    import psutil

    flow_runs = psutil.Process().children()
    for process in flow_runs:
        with suppress(psutil.Error):
            process.terminate()
    end = time.monotonic() + FLOW_RUNS_S
    while (left := [process for process in flow_runs if _runs(process)]) and time.monotonic() < end:
        time.sleep(0.05)
    for process in left:
        with suppress(psutil.Error):
            for member in [*process.children(recursive=True), process]:
                member.kill()
    return bool(flow_runs)


def _runs(process: Any) -> bool:
    """Whether it has not ended. Waiting for it is left to Prefect, which gets to know its exit code so."""
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
