"""`resight init`: a workspace with a commented settings file. What runs is chosen here, openly, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from resight.errors import WorkspaceError
from resight.settings import SETTINGS_FILE, Settings
from resight.settings.choice import Choice, choose
from resight.settings.kinds import KINDS
from resight.weights.store import WeightStore

VIEWS_FILE = "catalog.sql"
INBOX_NOTE = """Put survey photos here, in any sub-folders you like; Resight never changes them.

Who is already known goes into a file metadata.csv in this folder:

    file,individual_id,taken_at,encounter_id,viewpoint
    known/leonardo left.jpg,Leonardo,2024-06-01 09:30:00,,left

Only `file` is needed. Photos without an individual_id are the ones that Resight identifies.
Outlines of heads, if you have some, go beside it as annotations.coco.json.
"""


def init_workspace(root: Path, weights: WeightStore | None = None, novelty: dict[str, Any] | None = None) -> Choice:
    """Make folders and ``resight.toml``; ``novelty`` holds settings of that section to write out.

    Raises:
        WorkspaceError: There is a settings file already; nothing is overwritten.
    """
    file = root / SETTINGS_FILE
    if file.exists():
        raise WorkspaceError(f"{file} is there already; edit it, or remove it first to have a new one written.")
    choice = choose(weights or WeightStore())
    inbox = root / "photos"
    inbox.mkdir(parents=True, exist_ok=True)
    note = inbox / "README.txt"
    if not note.exists():
        note.write_text(INBOX_NOTE, encoding="utf-8")
    (root / VIEWS_FILE).write_text(
        files("resight.catalog").joinpath("views.sql").read_text(encoding="utf-8"), encoding="utf-8"
    )
    file.write_text(settings_text(choice, novelty), encoding="utf-8")
    return choice


def settings_text(choice: Choice, novelty: dict[str, Any] | None = None) -> str:
    """The commented settings file: what was chosen stands as it is, every other setting as a comment with its default."""
    lines = [
        "# Settings of this Resight workspace. Lines that begin with '#' show the default; remove the '#' to change one.",
        "# Order of layers: command line (--set extract.max_keypoints=512), environment (RESIGHT_EXTRACT__MAX_KEYPOINTS=512), this file.",
        "",
        f"# Extractor and matcher were chosen by `resight init` because {choice.why}.",
        "# Nothing changes them by itself. After changing them here, run `resight rebuild`.",
        "",
    ]
    chosen = {"extract": choice.extract, "match": choice.match, "score": choice.score, "novelty": novelty or {}}
    plain = [
        (n, f)
        for n, f in Settings.model_fields.items()
        if n not in ("segment", "extract", "match") and not isinstance(f.default, BaseModel)
    ]
    lines += [_setting(name, field.default, field, False) for name, field in plain]
    for name, field in Settings.model_fields.items():
        group = _group(name, field, chosen)
        if group is not None:
            lines += ["", f"[{name}]  # {_first_sentence(type(group))}", *_section(group, name, chosen.get(name, {}))]
    return "\n".join(lines) + "\n"


def _group(name: str, field: FieldInfo, chosen: dict[str, dict[str, Any]]) -> BaseModel | None:
    if name in ("extract", "match"):
        return KINDS[name].get(chosen[name]["kind"])(**chosen[name])
    return field.default.model_copy(update=chosen.get(name, {})) if isinstance(field.default, BaseModel) else None


def _section(group: BaseModel, prefix: str, chosen: dict[str, Any]) -> Iterator[str]:
    later = []
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            later.append((name, value))
        elif name == "kind" and prefix in KINDS:
            kinds = ", ".join(KINDS[prefix])
            yield f"{'' if name in chosen else '# '}kind = {_toml(value)}  # one of {kinds}"
        else:
            # A section header alone already replaces the parent's default for it, so what differs must be written out.
            yield _setting(name, value, field, name in chosen or ("." in prefix and value != field.default))
    for name, value in later:
        yield f"[{prefix}.{name}]  # {_first_sentence(type(value))}"
        yield from _section(value, f"{prefix}.{name}", chosen.get(name, {}))


def _setting(name: str, value: Any, field: FieldInfo, chosen: bool) -> str:
    note = f"  # {field.description}" if field.description else ""
    if value is None:
        return f"# {name}{note}"
    return f"{'' if chosen else '# '}{name} = {_toml(value)}{note}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return repr(value)


def _first_sentence(cls: type[BaseModel]) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]
