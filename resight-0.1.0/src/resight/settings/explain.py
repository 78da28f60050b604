"""What is wrong with settings, in words, and the nearest setting that exists."""

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from resight.plugins.params import Params
from resight.settings.kinds import KINDS
from resight.settings.settings import DEFAULT_KIND, Settings


def explain(error: ValidationError, where: str) -> str:
    """One line per problem."""
    lines = []
    for problem in error.errors():
        name = dotted(problem["loc"])
        if problem["type"] == "extra_forbidden":
            candidates = known_keys() if "." in name else list(Settings.model_fields)
            near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.4)
            lines.append(f"{where}: there is no setting '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        elif problem["type"] == "union_tag_invalid":
            context = problem["ctx"]
            lines.append(f"{where}: {name}.kind = '{context['tag']}' is unknown; it can be {context['expected_tags']}")
        elif problem["type"] == "value_error":
            lines.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}")
        else:
            lines.append(f"{where}: {name} = {problem.get('input')!r} does not fit: {problem['msg']}")
    return "\n".join(lines)


def dotted(loc: tuple[Any, ...]) -> str:
    """A pydantic location as people write it: ``extract.max_keypoints``."""
    parts = [str(part) for part in loc]
    if parts and parts[0] in DEFAULT_KIND and len(parts) > 1:
        parts.pop(1)  # pydantic puts the chosen kind between section and key
    return ".".join(parts)


def known_keys() -> list[str]:
    """All dotted keys, those of every kind included."""
    keys: set[str] = set()
    for name, field in Settings.model_fields.items():
        groups = [*KINDS[name].values()] if name in KINDS else [type(field.default)]
        sections = [group for group in groups if issubclass(group, Params)]
        keys |= {key for group in sections for key in _keys_of(group, name)} if sections else {name}
    return sorted(keys)


def _keys_of(group: type[BaseModel], prefix: str) -> list[str]:
    keys = []
    for name, field in group.model_fields.items():
        if isinstance(field.default, BaseModel):
            keys += _keys_of(type(field.default), f"{prefix}.{name}")
        else:
            keys.append(f"{prefix}.{name}")
    return keys
