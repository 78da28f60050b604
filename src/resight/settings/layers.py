"""Reading settings, in layers: arguments, then environment, then ``resight.toml``, then defaults.

``RESIGHT_EXTRACT__MAX_KEYPOINTS=512`` sets ``extract.max_keypoints``. Unknown keys stop the run and name the nearest
setting. Choosing another ``kind`` in a higher layer drops the lower layers' options of the old kind.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resight.errors import SettingsError, machine_errors_at
from resight.settings.explain import explain
from resight.settings.kinds import refuse_broken_plugins
from resight.settings.removed import say_once, without_removed
from resight.settings.settings import DEFAULT_KIND, Settings

SETTINGS_FILE = "resight.toml"
ENV_PREFIX = "RESIGHT_"
OTHER_ENV = {
    "RESIGHT_WEIGHTS", "RESIGHT_SHARED", "RESIGHT_TORTURE", "RESIGHT_WORKSPACE",
    "RESIGHT_REVIEWER", "RESIGHT_REVIEW_PASSWORD", "RESIGHT_SCREENSHOTS",
}  # fmt: skip


def load_settings(
    workspace: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    without_file: Mapping[str, Any] | None = None,
) -> Settings:
    """Read all layers.

    Args:
        workspace: Folder that may hold ``resight.toml``.
        overrides: Highest layer, nested dicts or dotted keys (``{"extract.kind": "xfeat"}``).
        environ: Defaults to ``os.environ``.
        without_file: Lowest layer where there is no ``resight.toml``.

    Raises:
        SettingsError: A key is unknown or a value does not fit; the message names both and the nearest setting.
    """
    file = workspace / SETTINGS_FILE if workspace else None
    layers = [
        _read_toml(file) if file and file.exists() else dict(without_file or {}),
        _read_environ(os.environ if environ is None else environ),
        nest(overrides or {}),
    ]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = lay_over(merged, layer)
    return settings_from(merged, str(file) if file else "settings")


def settings_from(
    data: Mapping[str, Any], where: str = "settings", stored: bool = False, say: Callable[[str], None] = say_once
) -> Settings:
    """Validate a nested dict; see `load_settings` for the errors.

    Settings that are gone are left out with a sentence to ``say``.

    Args:
        where: Where the settings stand, for messages.
        stored: They are those of an earlier run or model, which nobody can edit: what is gone is mentioned only if it
            was changed.
    """
    refuse_broken_plugins()
    try:
        return Settings.model_validate(dict(data))
    except ValidationError as error:
        kept, sentences = without_removed(data, error, where, stored)
        if kept == data:
            raise SettingsError(explain(error, where)) from None
    for sentence in sentences:
        say(sentence)
    return settings_from(kept, where, stored, say)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``; nested input stays as it is."""
    out: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = out
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = nest(value) if isinstance(value, Mapping) else value
    return out


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn ``extract.max_keypoints=512`` from the command line into a nested dict."""
    flat: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment!r} has no '='; write it as --set extract.max_keypoints=512")
        flat[key.strip()] = _plain_value(value.strip())
    return nest(flat)


def lay_over(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``high`` over ``low``; where it chooses another kind, the options of the old kind are dropped."""
    out = dict(low)
    for key, value in high.items():
        below = out.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            other_kind = "kind" in value and value["kind"] != below.get("kind", DEFAULT_KIND.get(key))
            out[key] = value if other_kind else lay_over(below, value)
        else:
            out[key] = value
    return out


def _plain_value(text: str) -> Any:
    if text[:1] in "[{" or text in {"true", "false", "null"}:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{text!r} is not valid JSON: {error}") from None
    return text


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        with machine_errors_at(file):
            return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, IsADirectoryError) as error:
        raise SettingsError(
            f"{file} is not valid TOML ({error}); correct that line, or write a new file with `resight init`"
        ) from None


def _read_environ(environ: Mapping[str, str]) -> dict[str, Any]:
    variables = {k: v for k, v in environ.items() if k.startswith(ENV_PREFIX) and k not in OTHER_ENV}
    return nest({k.removeprefix(ENV_PREFIX).lower().replace("__", "."): _plain_value(v) for k, v in variables.items()})
