"""The temporary server that Prefect starts where no server is set: one that neither Ctrl-C nor a kill leaves behind."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from resight.errors import ResightError
from resight.runner.children import ends_with_us

T = TypeVar("T")
log = logging.getLogger("resight")
PREFECT_LOGGERS = ("", "prefect", "prefect.flow_runs", "prefect.task_runs", "prefect.server", "prefect.client")


class ServerLost(ResightError):
    """The Prefect server does not answer any more."""


def with_server(flow: Callable[..., T]) -> Callable[..., T]:
    """``flow``, ready to be called from the command line with or without a Prefect server of one's own.

    Prefect's own temporary server gets Ctrl-C with the rest of the process group, so that a flow run that was
    interrupted waits for a server that is gone; and it goes on when this process is killed. Ours does neither.

    Calling it raises `ServerLost` where the server goes away.
    """
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        from prefect.server.api.server import SubprocessASGIServer

        server: Any = SubprocessASGIServer()  # the one of this process
        server._run_uvicorn_command = lambda: _start(server.port)

    def call(*arguments: Any, **named: Any) -> T:
        with _server_needed():
            return flow(*arguments, **named)

    return call


@contextmanager
def _server_needed() -> Iterator[None]:
    """What Prefect says about a server that went away becomes one sentence; its pages of traceback go.

    Raises:
        ServerLost: It went away.
    """
    from prefect.settings import PREFECT_API_URL

    # Prefect's own handlers print the traceback of every message that they cannot send.
    before, logging.raiseExceptions = logging.raiseExceptions, log.isEnabledFor(logging.DEBUG)
    handlers = [handler for name in PREFECT_LOGGERS for handler in logging.getLogger(name).handlers]
    for handler in handlers:
        handler.addFilter(_is_news)
    try:
        yield
    except Exception as error:
        if not _of_the_server(error):
            raise
        address = PREFECT_API_URL.value() or "the temporary one of this command"
        raise ServerLost(
            f"The Prefect server ({address}) went away during the run; what was finished is kept. Start it again, or add --plain "
            "to do without one, then run the same command again, it does the rest."
        ) from error
    finally:
        logging.raiseExceptions = before
        for handler in handlers:
            handler.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message of Prefect is about something else than the lost server."""
    error = record.exc_info[1] if record.exc_info else None
    return log.isEnabledFor(logging.DEBUG) or not (isinstance(error, Exception) and _of_the_server(error))


def _of_the_server(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is that Prefect's server cannot be reached."""
    import httpx

    while error is not None:
        if isinstance(error, httpx.TransportError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _start(port: int) -> subprocess.Popen[Any]:
    """As `SubprocessASGIServer._run_uvicorn_command`, in a session of its own and with an eye on its parent."""
    import prefect
    from prefect.settings import get_current_settings

    without_pages = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    application = [
        "--app-dir",
        str(prefect.__module_path__.parent),
        "--factory",
        "prefect.server.api.server:create_app",
    ]
    address = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"]
    return subprocess.Popen(
        ends_with_us("uvicorn", [*application, *address]),
        env={**os.environ, **without_pages, **settings},
        start_new_session=True,
    )
