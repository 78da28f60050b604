"""A stage is a Prefect task inside a flow run and a plain function everywhere else."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from resight.run.run import Run

log = logging.getLogger("resight")
T = TypeVar("T")


def stage(name: str) -> Callable[[Callable[[Run], T]], Callable[[Run], T]]:
    """Turn ``function(run)`` into the stage ``name``; called directly, never submitted, it stays in the flow's process."""

    def decorate(function: Callable[[Run], T]) -> Callable[[Run], T]:
        @functools.wraps(function)
        def call(run: Run) -> T:
            start = time.perf_counter()
            try:
                return _as_task(name, function, run) if _in_flow_run() else function(run)
            finally:
                run.seconds[name] = time.perf_counter() - start

        return call

    return decorate


def _in_flow_run() -> bool:
    import sys

    if "prefect" not in sys.modules:  # nobody can be in a flow run then, and importing Prefect takes seconds
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def _as_task(name: str, function: Callable[[Run], T], run: Run) -> T:
    from prefect import task
    from prefect.cache_policies import NO_CACHE
    from prefect.utilities.annotations import quote

    # Prefect's cache is off: ours are content-addressed files (DECISIONS.md). Quoted, so that it does not look for futures.
    in_prefect: Any = task(name=name, cache_policy=NO_CACHE, persist_result=False)(function)
    result: T = in_prefect(quote(run))
    return result
