"""Two commands in one workspace: the second waits for as long as it was told to, and its turn comes."""

from __future__ import annotations

import threading
import time

import pytest

from resight.errors import WorkspaceError
from resight.run.conditions import open_conditions
from resight.settings import settings_from
from resight.store.attempts import attempt
from resight.store.workspace import Workspace


def test_without_waiting_the_second_is_refused_at_once(workspace: Workspace) -> None:
    with workspace.lock(), pytest.raises(WorkspaceError, match="Another run is at work"), workspace.lock():
        pass


def test_who_waits_gets_the_lock_before_who_has_just_let_go(workspace: Workspace) -> None:
    """As a rebuild of many hours lets a night through between its stages."""
    order: list[str] = []

    def night() -> None:
        with workspace.lock(wait_s=30):
            order.append("night")

    waiting = threading.Thread(target=night)
    with workspace.lock():
        waiting.start()
        time.sleep(1.0)  # it stands in the queue by now
        order.append("first stage")
    with workspace.lock(wait_s=30):
        order.append("second stage")
    waiting.join()
    assert order == ["first stage", "night", "second stage"]


def test_waiting_says_for_whom_and_ends(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_from({"wait_minutes": 0.01, "dask": {"mode": "inline"}})
    with attempt(workspace, "rebuild"), workspace.lock():
        before = time.monotonic()
        with pytest.raises(WorkspaceError), open_conditions(workspace, settings):
            pass
        assert time.monotonic() - before >= 0.6
    assert "waiting up to 0.01 minutes" in caplog.text
    with open_conditions(workspace, settings):
        pass
