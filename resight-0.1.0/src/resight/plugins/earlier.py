"""What stood for settings in the names of outputs until 2026-11-28, and still does where they could be made then.

Until that day a name was a hash over the name of the settings' class, its revision and all its settings. What was computed
then is found again, because kinds and settings of then keep their names: ``until_2026_11_28.json`` holds classes, revisions
and settings of that day, by kind. It is frozen; no kind that came later has an entry.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Earlier:
    """What stands for a kind's settings in names that were given until 2026-11-28."""

    class_name: str
    revision: int
    settings: dict[str, Any]


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
