"""Names of outputs that last, and what the same output was called until 2026-11-28.

Until that day a name was a hash over the name of the settings' class, its revision and all its settings. What was computed
under such a name is found again: ``until_2026_11_28.json`` holds classes, revisions and settings of then, by kind. It is
frozen; no kind that came later has an entry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from resight.store.fingerprint import fingerprint


@dataclass(frozen=True)
class OutputName:
    """Name of what a stage computes.

    Attributes:
        now: Under which new workspaces keep it.
        before: Under which it was kept until 2026-11-28; None where these settings could not be made then.
    """

    now: str
    before: str | None = None

    def used_in(self, folder: Path | None) -> str:
        """The name that counts where results are kept in ``folder``: the one of before if there are results under it."""
        return self.before if folder and self.before and (folder / self.before).exists() else self.now


@dataclass(frozen=True)
class Earlier:
    """What stood for a kind's settings in names until 2026-11-28."""

    class_name: str
    revision: int
    settings: dict[str, Any]


def combined(label: str, *parts: Any) -> OutputName:
    """Name over a label and plain parts or other names."""
    now = [part.now if isinstance(part, OutputName) else part for part in parts]
    before = [part.before if isinstance(part, OutputName) else part for part in parts]
    return OutputName(fingerprint(label, *now), None if None in before else fingerprint(label, *before))


def earlier(label: str, revision: int, values: Mapping[str, Any], differing: Mapping[str, Any]) -> Earlier | None:
    """How the settings of a kind looked until 2026-11-28.

    Args:
        label: Kind, or label of a group without kinds.
        revision: Of today.
        values: All settings of today.
        differing: Those of them that are not at their default.

    Returns:
        None where there was no such kind, its algorithm has changed, or a setting that is newer has been changed.
    """
    then = _frozen().get(label)
    if then is None or then["revision"] != revision:
        return None
    settings = _as_then(then["fields"], values, differing)
    return None if settings is None else Earlier(then["class"], revision, settings)


def _as_then(then: Mapping[str, Any], values: Mapping[str, Any], differing: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings of then with the values of today; what is gone has its default of then."""
    if set(differing) - set(then):
        return None
    settings = dict(then)
    for name in then.keys() & values.keys():
        settings[name] = values[name]
        if isinstance(then[name], dict):
            revision, within = differing.get(name, (1, {}))
            settings[name] = _as_then(then[name], values[name], within) if revision == 1 else None
            if settings[name] is None:
                return None
    return settings


@cache
def _frozen() -> dict[str, dict[str, Any]]:
    text = files("resight.plugins").joinpath("until_2026_11_28.json").read_text(encoding="utf-8")
    frozen: dict[str, dict[str, Any]] = json.loads(text)
    return frozen
