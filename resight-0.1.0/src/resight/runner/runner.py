"""Fan-out in blocks with a bounded window.

A block is a small picklable description; its function writes its own file and returns something tiny. The flow's own
process drives the blocks, so that a block which kills its worker cannot take the run with it, and a run that is killed
finds the blocks that were done on disk.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from resight.errors import ResightError, one_line
from resight.runner.children import deaf_to_interrupt, kill_workers
from resight.runner.connect import client_at, quiet_dask, require_gpu
from resight.runner.crew import Crew
from resight.runner.handshake import Needs, guarded
from resight.runner.local import default_workers, local_cluster
from resight.runner.made import Report, made_cluster
from resight.runner.params import DaskParams
from resight.runner.progress import track

log = logging.getLogger("resight")
TICK_S = 2.0
WAIT_S = 0.2  # without anything under way: no worker is there
NOBODY_S = 60.0  # a local worker that dies while it starts is sometimes not replaced
RESULT_S = 30.0  # results are tiny; one that went with its worker Dask may wait for without end
LOST = "KilledWorker"
Outcomes = Iterable[tuple[int, Any, str]]  # index of a block, its result, and why there is none
BLOCKS_PER_WORKER = 2  # in flight: one under way, one waiting; more would be lost time at the end


class ClusterLost(ResightError):
    """The scheduler went away; what was finished is on disk, and running again does the rest."""


class MadeWay(ResightError):
    """Somebody else waits for the workspace and goes first; what was finished is on disk, and running again does the rest."""

    def __init__(self) -> None:
        super().__init__("Another run waits for the workspace and goes first.")


class Stalled(ResightError):
    """No block came back for too long."""


@dataclass(frozen=True)
class Failure:
    """A block that did not come back; ``reason`` is one line."""

    block: Any
    reason: str


class Runner:
    """Starts workers when the first real work comes, and stops them at the end.

    A run with nothing to do starts nothing.

    Args:
        dask: Where the work runs.
        device: Where networks run.
        quiet: Show no progress.
        needs: What every worker must have beside the same code.
        is_wanted: Whether somebody waits for whom this run makes way; asked between blocks.
    """

    def __init__(
        self,
        dask: DaskParams,
        device: str = "cpu",
        quiet: bool = False,
        needs: Needs | None = None,
        is_wanted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._asked, self._device, self.quiet, self._needs = dask, device, quiet, needs or Needs()
        self._is_wanted = is_wanted
        self._dask = dask
        self._client: Any = None
        self._cluster: Any = None  # ours, on this machine
        self._made: Any = None  # by dask.cluster; its workers are treated as those at an address
        self._report: Report | None = None
        self._crew: Crew | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, error: type[BaseException] | None = None, *_: object) -> None:
        if self._cluster is not None and error is not None and not issubclass(error, Exception):  # Ctrl-C and the like
            kill_workers(self._cluster)
        opened = (self._made, self._cluster, self._client, self._report, self._crew)
        self._crew = self._client = self._cluster = self._made = self._report = None
        self._dask = self._asked
        with ExitStack() as closing:  # the last first; where one cannot be closed, the others still are
            for resource in opened:
                if resource is not None:
                    closing.callback(resource.close)

    @property
    def started(self) -> bool:
        """Whether there was work that workers were started or asked for."""
        return self._client is not None

    @property
    def _is_remote(self) -> bool:
        """Whether workers are elsewhere, so that each must show what it is."""
        return bool(self._dask.address or self._dask.cluster)

    @property
    def n_workers(self) -> int:
        """Workers that blocks are spread over, to size blocks by."""
        if self._dask.mode == "inline":
            return 1
        if self._is_remote:
            return max(1, len(self._connect()[0].ncores()))
        return self._dask.workers or default_workers(self._device)

    def make_way(self) -> None:
        """End here if somebody waits for whom this run makes way.

        Raises:
            MadeWay: So it is.
        """
        if self._is_wanted():
            raise MadeWay

    def differences(self) -> dict[str, list[str]]:
        """What each worker that is there has otherwise than this process, in words; nothing for those that may work.

        Raises:
            DeviceError: No scheduler answers.
        """
        return self._connect()[1].differences()

    def run(
        self,
        label: str,
        function: Callable[[Any], Any],
        blocks: Sequence[Any],
        *,
        size: Callable[[Any], int] = lambda _: 1,
        unit: str = "blocks",
        gpu: bool = False,
    ) -> tuple[list[tuple[Any, Any]], list[Failure]]:
        """Run ``function`` (module level) on every block.

        Args:
            label: Stage name for the progress display.
            function: Gets a block, returns something small.
            blocks: Small picklable descriptions.
            size, unit: Units of work in a block, for rate and ETA, and what they are.
            gpu: Whether the block needs a device of its own.

        Returns:
            ``(block, result)`` of those that came back, in the order of ``blocks``, and the failures.

        Raises:
            ClusterLost: The scheduler went away.
            MadeWay: Somebody waits, and goes first; blocks that had begun were finished.
            Stalled: No block came back within the set time.
            ForeignWorker: A worker has other code, packages or weights, or does not see the workspace.
            NoWorkers: The scheduler had no worker for the set time.
            DeviceError: No worker offers a GPU.
            MachineError: A full disk or the like, on whatever machine.
        """
        blocks = list(blocks)
        if not blocks:
            return [], []
        with track(label, unit, sum(map(size, blocks)), self.quiet) as tracker:
            results: dict[int, Any] = {}
            failures: list[Failure] = []
            for index, result, reason in self._outcomes(function, blocks, gpu and self._device == "cuda"):
                if reason:
                    log.warning("%s: a block failed: %s", label, reason)
                    failures.append(Failure(blocks[index], reason))
                else:
                    results[index] = result
                tracker.advance(size(blocks[index]))
        return [(blocks[i], results[i]) for i in sorted(results)], failures

    def _outcomes(self, function: Callable[[Any], Any], blocks: list[Any], gpu: bool) -> Outcomes:
        alone = len(blocks) == 1 and not self._is_remote and self._client is None
        if alone or self._dask.mode == "inline":
            return self._inline(function, blocks)
        return self._on_dask(function, blocks, gpu)

    def _inline(self, function: Callable[[Any], Any], blocks: list[Any]) -> Outcomes:
        for index, block in enumerate(blocks):
            self.make_way()
            try:
                yield index, function(block), ""
            except ResightError:
                raise
            except Exception as error:
                log.debug("block failed", exc_info=True)
                yield index, None, one_line(error)

    def _on_dask(self, function: Callable[[Any], Any], blocks: list[Any], gpu: bool) -> Outcomes:
        """All blocks, and those whose worker died once more alone: Dask also blames those that only waited there."""
        suspects = []
        for index, result, reason in self._in_window(function, blocks, gpu):
            if reason.startswith(LOST):
                suspects.append(index)
            else:
                yield index, result, reason
        for suspect in suspects:
            for _, result, reason in self._in_window(function, [blocks[suspect]], gpu):
                yield suspect, result, reason

    def _in_window(self, function: Callable[[Any], Any], blocks: list[Any], gpu: bool) -> Outcomes:
        client, crew = self._connect()
        crew.wait()
        if gpu:
            require_gpu(client, self._dask.wait_for_workers_seconds if self._dask.address else 0.0)
        resources = {"GPU": 1} if gpu else None
        waiting = list(reversed(range(len(blocks))))
        pending: dict[Any, _Placed] = {}
        last = somebody = time.monotonic()
        leaves = False
        try:
            while waiting or pending:
                leaves = leaves or (bool(waiting) and self._is_wanted())
                if leaves and not pending:
                    raise MadeWay
                workers = crew.present()
                window = 0 if leaves else BLOCKS_PER_WORKER * max(1, len(workers))
                while waiting and len(pending) < window and (workers or self._cluster):
                    index = waiting.pop()
                    allowed = workers if self._dask.address else None
                    future = _submit(client, function, blocks[index], resources, allowed, crew.code)
                    pending[future] = _Placed(index, workers)
                done = _finished(client, pending)
                for future in done:
                    yield _outcome(future, pending.pop(future).index)
                    future.release()
                if self._dask.address:
                    yield from _left_alone(pending, workers)
                now = time.monotonic()
                last = now if done or not pending else last
                somebody = now if done or self._cluster is None or client.ncores() else somebody
                if now - somebody > NOBODY_S:
                    client, crew = self._start_again()
                    somebody = time.monotonic()
                    yield from ((placed.index, None, f"{LOST}: all workers died") for placed in pending.values())
                    pending.clear()
                if now - last > self._dask.stall_seconds:
                    raise _stalled(self._dask.stall_seconds, len(pending))
        finally:
            for future in pending:
                future.release()

    def _start_again(self) -> tuple[Any, Crew]:
        log.warning("No worker is left on this machine; new ones are started.")
        self.__exit__()
        return self._connect()

    def _connect(self) -> tuple[Any, Crew]:
        """Dask's client, and the workers."""
        if self._client is None:
            quiet_dask()
            from distributed import Client

            if self._dask.cluster:
                self._made = made_cluster(self._dask)
                self._dask = self._dask.model_copy(update={"address": self._made.scheduler_address})
                self._client = Client(self._made)
            elif self._dask.address:
                self._client = client_at(self._dask)
            else:
                with deaf_to_interrupt():
                    self._cluster = local_cluster(self._dask.workers or default_workers(self._device), self._device)
                self._client = Client(self._cluster, set_as_default=True)
            self._report = Report(self._dask.performance_report) if self._dask.performance_report else None
        if self._crew is None:
            self._crew = Crew(self._client, self._needs, self._dask.address, self._dask.wait_for_workers_seconds)
        return self._client, self._crew


@dataclass(frozen=True)
class _Placed:
    """A block under way, and the workers that it may go to."""

    index: int
    workers: frozenset[str]


def _stalled(seconds: float, n_pending: int) -> Stalled:
    return Stalled(
        f"No block came back for {seconds:.0f} s and {n_pending} are under way; look at the workers' logs, or raise dask.stall_seconds, "
        "then run the same command again."
    )


def _submit(client: Any, function: Callable[[Any], Any], block: Any, resources: Any, workers: Any, code: str) -> Any:
    """Hand out one block; ``workers`` None: our own may all have it, also those that are started instead of one that died."""
    if workers is None:
        return client.submit(function, block, pure=False, resources=resources)
    key = f"{getattr(function, '__name__', 'block')}-{uuid.uuid4().hex}"
    where = {"resources": resources, "workers": sorted(workers)}
    return client.submit(guarded, function, block, code, key=key, pure=False, **where)


def _left_alone(pending: dict[Any, _Placed], workers: frozenset[str]) -> Iterator[tuple[int, Any, str]]:
    """Take out the blocks of which every worker that may have them is gone; Dask would keep them without end."""
    for future in [f for f, placed in pending.items() if placed.workers.isdisjoint(workers)]:
        yield pending.pop(future).index, None, f"{LOST}: its workers went away"
        future.release()


def _finished(client: Any, pending: Iterable[Any]) -> set[Any]:
    """Futures that ended within the next tick."""
    from distributed import wait
    from distributed.client import FuturesCancelledError

    if not pending:
        time.sleep(WAIT_S)
        return set()
    try:
        done = wait(list(pending), timeout=TICK_S, return_when="FIRST_COMPLETED").done
    except TimeoutError:
        done = set()
    except FuturesCancelledError as error:
        raise ClusterLost(
            f"The Dask scheduler went away ({error}); run the same command again, it does the rest."
        ) from error
    if client.status != "running":
        raise ClusterLost(
            f"The connection to the Dask scheduler is {client.status}; run the same command again, it does the rest."
        )
    # one that is pending again lost its result with a worker and runs once more
    return {future for future in done if future.status != "pending"}


def _outcome(future: Any, index: int) -> tuple[int, Any, str]:
    if future.status == "finished":
        try:
            return index, future.result(timeout=RESULT_S), ""
        except Exception as lost:  # the block itself was fine: its worker died before the result was fetched
            return index, None, f"{LOST}: its result went with its worker ({type(lost).__name__})"
    error = future.exception() if future.status == "error" else None
    if isinstance(error, ResightError):
        raise error
    return index, None, one_line(error) if error else f"{LOST}: its worker died"
