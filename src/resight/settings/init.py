"""`resight init`: a workspace with a commented settings file. What runs is chosen here, openly, and nowhere else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from resight.catalog.views import home_line, views, with_parts
from resight.errors import WorkspaceError
from resight.plugins.params import Params
from resight.settings import SETTINGS_FILE, Settings
from resight.settings.choice import Choice, choose
from resight.settings.kinds import KINDS
from resight.store.durable import write_bytes
from resight.store.workspace import refuse_address
from resight.weights.store import WeightStore

VIEWS_FILE = "catalog.sql"
HOME_LINE = re.compile(rb"^SET VARIABLE home = '.*';$", re.MULTILINE)
EXPERT_NOTE = (
    "# ---------------------------------------------------------------------------------------------------------------",
    "# For experts: good results need none of these. To change one, copy its line without the '#' into its section above",
    "# (or write the section if it is not there).",
)
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
        WorkspaceError: There is a settings file already, and nothing is overwritten; or ``root`` is an address.
    """
    refuse_address(root)
    file = root / SETTINGS_FILE
    if file.exists():
        raise WorkspaceError(f"{file} is there already; edit it, or remove it first to have a new one written.")
    choice = choose(weights or WeightStore())
    inbox = root / "photos"
    inbox.mkdir(parents=True, exist_ok=True)
    note = inbox / "README.txt"
    if not note.exists():
        note.write_text(INBOX_NOTE, encoding="utf-8")
    (root / VIEWS_FILE).write_text(views(root), encoding="utf-8")
    file.write_text(settings_text(choice, novelty), encoding="utf-8")
    return choice


def correct_views(root: Path) -> None:
    """Where ``catalog.sql`` names another folder than the workspace is in now, because that was moved or copied, name this one.

    What an earlier version wrote learns of tables in parts, which it would take for tables without rows.
    """
    file = root / VIEWS_FILE
    if not file.exists():
        return
    text = file.read_bytes()
    text_now = with_parts(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    corrected = HOME_LINE.sub(lambda _: home_line(root).encode(), text_now, count=1)
    if corrected != text:
        write_bytes(file, corrected)


def settings_text(choice: Choice, novelty: dict[str, Any] | None = None) -> str:
    """The commented settings file.

    What was chosen is set. What a field team may want to set follows in its section as a comment with its default; what only
    experts need is listed below all sections.
    """
    chosen = choice.sections | {"novelty": choice.novelty | (novelty or {})}
    defaults = Settings()
    groups = {name: _group(name, value, chosen) for name, value in defaults if isinstance(value, Params)}
    single = [name for name in Settings.model_fields if name not in groups]
    lines = [
        "# Settings of this Resight workspace. Lines that begin with '#' show the default; remove the '#' to change one.",
        "# The command line (--set extract.max_keypoints=512) overrides the environment (RESIGHT_EXTRACT__MAX_KEYPOINTS=512),",
        "# and the environment overrides this file.",
        "",
        f"# Extractor, matcher, score and vectors were chosen by `resight init`, the matcher because {choice.why}.",
        "# They stay as they are until you change them here. Run `resight rebuild` afterwards.",
        "",
        *(_line(defaults, name, set_here=False) for name in single),
    ]
    for name, group in groups.items():
        settings = list(_section(group, name, chosen.get(name, {})))
        if settings:
            lines += ["", f"[{name}]  # {_first_sentence(type(group))}", *settings]
    lines += ["", *EXPERT_NOTE]
    for name, group in groups.items():
        settings = list(_for_experts(group, name, chosen.get(name, {})))
        lines += ["#", f"# Section [{name}]", *settings] if settings else []
    return "\n".join(lines) + "\n"


def _group(name: str, default: Params, chosen: dict[str, dict[str, Any]]) -> Params:
    """The section as the new workspace has it."""
    if name in ("extract", "match"):
        return KINDS[name][chosen[name]["kind"]](**chosen[name])
    return default.model_copy(update=chosen.get(name, {}))


def _section(group: Params, section: str, chosen: dict[str, Any]) -> Iterator[str]:
    """What is set, and what a field team may want to set."""
    nested = [name for name, value in group if isinstance(value, Params)]
    for name in sorted(type(group).model_fields, key=lambda field: field != "kind"):
        if name == "kind":
            yield f"{_line(group, name, name in chosen)}  # one of {', '.join(KINDS[section])}"
        elif name not in nested and (name in chosen or not type(group).is_expert(name)):
            yield _line(group, name, name in chosen)
    for name in nested:
        inner, default = getattr(group, name), type(group).model_fields[name].default
        if inner != default:
            # A section header alone already replaces the default of the whole group, so all that differs is written out.
            own = type(inner)().model_dump()
            yield f"[{section}.{name}]  # {_first_sentence(type(inner))}"
            yield from (_line(inner, field, True) for field, value in inner if value != own[field])


def _for_experts(group: Params, section: str, chosen: dict[str, Any]) -> Iterator[str]:
    """All other settings, as comments."""
    for name, value in group:
        if isinstance(value, Params):
            as_usual = value == type(group).model_fields[name].default
            fields = [f for f, inner in value if as_usual or inner == type(value).model_fields[f].default]
            yield from [f"# Section [{section}.{name}]"] if fields else []
            yield from (_line(value, field, set_here=False) for field in fields)
        elif type(group).is_expert(name) and name not in chosen:
            yield _line(group, name, set_here=False)


def _line(group: Params, name: str, set_here: bool) -> str:
    value, description = getattr(group, name), type(group).model_fields[name].description
    note = f"  # {description}" if description else ""
    return f"# {name}{note}" if value is None else f"{'' if set_here else '# '}{name} = {_toml(value)}{note}"


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
