"""A stage is a Prefect task inside a flow run and a plain function everywhere else."""

import functools
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from resight.run.run import Run
from resight.runner.progress import at_work
from resight.runner.runner import MadeWay

log = logging.getLogger("resight")
P = ParamSpec("P")
T = TypeVar("T")
Task = Callable[Concatenate[Run, P], T]


def stage(name: str) -> Callable[[Task[P, T]], Task[P, T]]:
    """Turn ``function(run, …)`` into the stage ``name``; called directly, never submitted, it stays in the flow's process."""

    def decorate(function: Task[P, T]) -> Task[P, T]:
        @functools.wraps(function)
        def call(run: Run, /, *args: P.args, **kwargs: P.kwargs) -> T:
            run.env.runner.make_way()
            start = time.perf_counter()
            work = functools.partial(function, run, *args, **kwargs)
            try:
                with at_work(name):
                    return _as_task(name, work, inspect.getdoc(function) or "") if _in_flow_run() else work()
            finally:
                run.seconds[name] = time.perf_counter() - start
                run.note_damage()

        return call

    return decorate


def _in_flow_run() -> bool:
    import sys

    if "prefect" not in sys.modules:  # nobody can be in a flow run then, and importing Prefect takes seconds
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def _as_task(name: str, work: Callable[[], T], description: str) -> T:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    def bound() -> T | MadeWay:  # without parameters, so that Prefect does not search tables and settings for futures
        try:
            return work()
        except MadeWay as made_way:  # nothing has failed
            return made_way

    # Prefect's cache is off: ours are content-addressed files (DECISIONS.md).
    settings: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
    in_prefect: Any = task(name=name, description=description, **settings)(bound)
    result: T | MadeWay = in_prefect()
    if isinstance(result, MadeWay):
        raise result
    return result
