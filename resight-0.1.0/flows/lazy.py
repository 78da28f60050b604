"""Flows that are made when somebody asks for them: importing Prefect takes seconds, and most commands need none of it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from resight.errors import SettingsError

log = logging.getLogger("resight")
ANSWER_S = 10.0
FILES_OF_PREFECT = ("prefect.toml", "pyproject.toml", ".env")  # in the current folder, where Prefect looks for settings


def made(module: str, name: str, functions: Mapping[str, Callable[..., Any]], **options: Any) -> Any:
    """The flow ``name`` of a module, for its ``__getattr__``; it is made once and put into the module.

    Args:
        module: ``__name__`` of the module.
        name: What is asked for.
        functions: What becomes a flow, by the flow's name.
        options: Of Prefect's ``flow``.

    Raises:
        AttributeError: The module has no such flow.
    """
    if name not in functions:
        raise AttributeError(f"module '{module}' has no attribute '{name}'")
    from prefect import flow

    function = functions[name]
    function.__name__ = function.__qualname__ = name  # Prefect finds a flow again by module and name
    in_prefect: Any = flow(name=name, persist_result=False, **options)(function)
    setattr(sys.modules[module], name, in_prefect)
    return in_prefect


def as_asked(module: ModuleType, name: str, *, plain: bool, record: bool) -> Any:
    """What the command line calls: ``run_NAME`` of a module, or its flow NAME where a server is set or records are asked for.

    Args:
        module: With both.
        name: Of the flow.
        plain: Without Prefect, whatever is set.
        record: As a flow, with a temporary server where none is set.

    Raises:
        SettingsError: Both are asked for.
    """
    if plain and record:
        raise SettingsError("--plain runs without Prefect, and --record keeps Prefect's records; choose one of them.")
    job = getattr(module, f"run_{name}")
    if plain or not (record or has_server()):
        return job
    if not record and (why := _unreachable()):
        log.warning("%s; the work goes on, but no server records it.", why)
        return job
    from resight.flows.temporary_server import with_server

    return with_server(getattr(module, name))


def has_server() -> bool:
    """Whether a Prefect server is set. Prefect is asked only where something could set one."""
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    if not profiles.exists() and not any(_speaks_of_prefect(Path(name)) for name in FILES_OF_PREFECT):
        return False
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def _unreachable() -> str:
    """Why the Prefect server that is set cannot be reached; '' if it can. Any answer counts: who may do what is told later."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    address = os.environ.get("PREFECT_API_URL", "")
    if not address:  # as a profile or a file sets it
        from prefect.settings import PREFECT_API_URL

        address = str(PREFECT_API_URL.value())
    try:
        with urlopen(f"{address.rstrip('/')}/health", timeout=ANSWER_S):
            return ""
    except HTTPError:
        return ""
    except (OSError, ValueError) as error:
        return f"The Prefect server at {address} cannot be reached ({error})"


def _speaks_of_prefect(file: Path) -> bool:
    try:
        return b"prefect" in file.read_bytes().lower()
    except OSError:
        return False
