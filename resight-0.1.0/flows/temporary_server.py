"""The temporary server that Prefect starts where no server is set: one that neither Ctrl-C nor a kill leaves behind."""

from __future__ import annotations

import os
import subprocess
from typing import Any, TypeVar

from resight.runner.children import ends_with_us

F = TypeVar("F")


def with_server(flow: F) -> F:
    """``flow``, ready to be called from the command line with or without a Prefect server of one's own.

    Prefect's own temporary server gets Ctrl-C with the rest of the process group, so that a flow run that was
    interrupted waits for a server that is gone; and it goes on when this process is killed. Ours does neither.
    """
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        from prefect.server.api.server import SubprocessASGIServer

        server: Any = SubprocessASGIServer()  # the one of this process
        server._run_uvicorn_command = lambda: _start(server.port)
    return flow


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
