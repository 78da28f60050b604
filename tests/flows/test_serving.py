"""How long served runs wait for the workspace."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from resight.store.workspace import Workspace


class _NoRunner:
    def __init__(self, **_: Any) -> None: ...

    def handle_sigterm(self, *_: Any) -> None: ...

    async def start(self) -> None: ...


@pytest.mark.parametrize(
    ("text", "environment", "overrides", "given"),
    [
        ("", None, {"dask.workers": 1}, {"wait_minutes": 180.0, "dask.workers": 1}),
        ("wait_minutes = 0\n", None, None, {}),
        ("wait_minutes = 7\n", None, None, {}),
        ("", "0", None, {}),
        ("", None, {"wait_minutes": 0}, {"wait_minutes": 0}),
    ],
)
def test_served_runs_wait_three_hours_unless_they_are_told_otherwise(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    environment: str | None,
    overrides: dict[str, Any] | None,
    given: dict[str, Any],
) -> None:
    from resight.flows import serving

    asked: list[Any] = []

    def served(_: str, settings: Any, site: str) -> list[Any]:
        asked.append(settings)
        return []

    monkeypatch.setattr(serving, "_Runner", _NoRunner)
    monkeypatch.setattr(serving, "served_deployments", served)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv(serving.SERVED_BY, "")
    if environment is not None:
        monkeypatch.setenv("RESIGHT_WAIT_MINUTES", environment)
    (workspace.root / "resight.toml").write_text(text, encoding="utf-8")
    serving.serve_flows(str(workspace.root), overrides)
    assert asked == [given]
