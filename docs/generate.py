"""Pages of the site that are made at build time: reference pages from the code, and documents that live elsewhere in the repository.

A hook of mkdocs (``hooks`` in mkdocs.yml). No page is written to disk.
"""

from __future__ import annotations

import inspect
import json
import posixpath
import re
import shutil
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic.fields import FieldInfo

REPOSITORY = Path(__file__).resolve().parents[1]
# Page of the site: document of the repository. The text stands once, links are rewritten for the site.
DOCUMENTS = {
    "index.md": "README.md",
    "how-to/run-on-a-cluster.md": "deploy/README.md",
    "reference/tables.md": "catalog/DICTIONARY.md",
    "benchmarks.md": "benchmarks/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "decisions.md": "DECISIONS.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_startup(**_: Any) -> None:
    """Lay the mapped folders (flows, tasks, catalog) where an installed package has them: mkdocstrings reads files, not imports."""
    package = REPOSITORY / "build" / "api" / "resight"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    mapped = [REPOSITORY / name for name in ("flows", "tasks", "catalog")]
    for source in [*(REPOSITORY / "src" / "resight").iterdir(), *mapped]:
        (package / source.name).symlink_to(source)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not files below ``docs/``."""
    pages = {page: (REPOSITORY / document).read_text(encoding="utf-8") for page, document in DOCUMENTS.items()}
    pages |= {
        "reference/settings.md": settings_page(),
        "reference/command-line.md": command_line_page(),
        "reference/python.md": python_page(),
        "how-to/open-a-run.md": notebook_page(REPOSITORY / "docs/notebooks/open_a_run.ipynb"),
    }
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links between documents of the repository to the pages that show them."""
    uri = page.file.src_uri
    document = DOCUMENTS.get(uri, f"docs/{uri}")
    pages = {source: target for target, source in DOCUMENTS.items()}
    pages["docs/notebooks/open_a_run.ipynb"] = "how-to/open-a-run.md"

    def lead(link: re.Match[str]) -> str:
        picture, text, target, anchor = link.groups()
        if "://" in target or target.startswith("mailto:"):
            return link.group()
        source = posixpath.normpath(posixpath.join(posixpath.dirname(document), target))
        source = f"{source}/README.md" if f"{source}/README.md" in pages else source
        inside = pages.get(source, source.removeprefix("docs/") if source.startswith("docs/") else None)
        if inside is None:  # a file that the site does not show
            return text if (REPOSITORY / source).exists() else link.group()
        return f"{picture}[{text}]({posixpath.relpath(inside, posixpath.dirname(uri) or '.')}{anchor or ''})"

    return LINK.sub(lead, markdown)


# ---- settings


def settings_page() -> str:
    """Every section and kind of the settings: first what a field team sets, then what an expert sets."""
    from resight.settings import Settings

    lines = [
        "# Settings",
        "",
        "Generated from the program. `resight init` writes them into `resight.toml` with comments, and sets extractor, matcher, score,",
        "vectors and, with the bundled matcher, the limit for names otherwise than the defaults shown here. A value is taken from the",
        "first of: the command line (`--set extract.max_keypoints=512`), the environment (`RESIGHT_EXTRACT__MAX_KEYPOINTS=512`),",
        "`resight.toml`, the default. A misspelt key stops the run and the message offers the nearest name.",
        "",
        "What a setting affects: `model` gives other results, which `resight rebuild` compares and accepts; `run` gives another run under the",
        "same model; `execution` says where and how fast, and changes no result.",
    ]
    for expert, title in ((False, "For field teams"), (True, "For experts")):
        lines += ["", f"## {title}", ""]
        lines += table_of(Settings, [n for n, f in Settings.model_fields.items() if not models_of(f)], expert)
        for name, field in Settings.model_fields.items():
            lines += section_of(name, models_of(field), expert) if models_of(field) else []
    return "\n".join(lines) + "\n"


def models_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The settings groups that a field may hold: one for a plain section, several for one with kinds."""
    return [member for member in members(field.annotation) if inspect.isclass(member) and issubclass(member, BaseModel)]


def members(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from members(member)
    else:
        yield annotation


def section_of(name: str, models: list[type[BaseModel]], expert: bool) -> list[str]:
    lines: list[str] = []
    for model in models:
        rows = table_of(model, [field for field in model.model_fields if field != "kind"], expert)
        kind = model.model_fields["kind"].default if "kind" in model.model_fields else None
        if rows or (kind and not expert):
            lines += [
                "",
                f'#### {name}.kind = "{kind}"' if kind else "",
                "",
                *([] if expert else [summary(model), ""]),
                *rows,
            ]
    choice = (
        ["", f"Choose with `{name}.kind`; each kind has its own settings."] if len(models) > 1 and not expert else []
    )
    return ["", f"### {name}", *choice, *lines] if lines else []


def table_of(model: type[BaseModel], names: list[str], expert: bool, prefix: str = "") -> list[str]:
    rows = rows_of(model, names, expert, prefix)
    return (
        ["| setting | meaning | default | type | affects |", "| --- | --- | --- | --- | --- |", *rows] if rows else []
    )


def rows_of(model: type[BaseModel], names: list[str], expert: bool, prefix: str) -> list[str]:
    """A row per setting; groups inside a group are laid out flat."""
    rows = []
    for name in names:
        field = model.model_fields[name]
        marks = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        groups = models_of(field)
        if len(groups) == 1 and not marks.get("expert"):
            rows += rows_of(groups[0], list(groups[0].model_fields), expert, f"{prefix}{name}.")
        elif bool(marks.get("expert")) == expert:
            affects = marks.get("affects") or getattr(model, "affects", "")
            values = f"{cell(default_text(field))} | {cell(type_text(field.annotation))} | {affects}"
            rows.append(f"| `{prefix}{name}` | {cell(field.description or '')} | {values} |")
    return rows


def type_text(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return type_text(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(type_text(member) for member in get_args(annotation))
    if get_origin(annotation) in (tuple, list):
        inner = [type_text(member) for member in get_args(annotation) if member is not Ellipsis]
        return f"list of {', '.join(inner)}" if inner else "list"
    names = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "nothing"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def default_text(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return f"`{json.dumps(value, default=str, ensure_ascii=False)}`"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def summary(described: Any) -> str:
    """First paragraph of a docstring, with single back-quotes."""
    return " ".join((inspect.getdoc(described) or "").split("\n\n")[0].split()).replace("``", "`")


# ---- command line


def command_line_page() -> str:
    """Every command with its arguments and options."""
    import typer

    from resight.cli.app import app

    lines = [
        "# Command line",
        "",
        "Generated from the program. Every command prints the same with `--help`. The exit code is 0 where it worked, 1 where a",
        "person has to do something (one sentence says what), 2 for a misspelt option, 3 where a night or a rebuild is kept aside,",
        "130 after Ctrl-C, 143 after SIGTERM.",
    ]
    for path, command in commands(typer.main.get_command(app), "resight"):
        lines += ["", f"## {path}", "", " ".join((command.help or "").split()).replace("``", "`"), ""]
        lines += parameters_of(command)
    return "\n".join(lines) + "\n"


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def parameters_of(command: Any) -> list[str]:
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
            continue
        is_argument = parameter.param_type_name == "argument"
        name = (parameter.metavar or parameter.name).upper() if is_argument else ", ".join(parameter.opts)
        default = (
            ""
            if parameter.default in (None, "", False, ()) or callable(parameter.default)
            else f"`{parameter.default}`"
        )
        default = "required" if parameter.required else default
        rows.append(f"| `{name}` | {cell(parameter.help or '')} | {default} |")
    return ["| argument or option | meaning | default |", "| --- | --- | --- |", *rows] if rows else []


# ---- Python and the notebook


def python_page() -> str:
    """What ``import resight`` offers, by mkdocstrings: functions, then classes, then errors."""
    import resight

    public = [getattr(resight, name) for name in getattr(resight, "__all__", ())]
    errors = [value for value in public if inspect.isclass(value) and issubclass(value, Exception)]
    classes = [value for value in public if inspect.isclass(value) and value not in errors]
    lines = [
        "# Python",
        "",
        "Generated from the program; [Resight from Python](../python-api.md) has examples. What is not on this page may change without notice.",
    ]
    for title, members in (
        ("Functions", [v for v in public if inspect.isfunction(v)]),
        ("Classes", classes),
        ("Errors", errors),
    ):
        lines += ["", f"## {title}"]
        for value in members:
            lines += ["", f"::: {value.__module__}.{value.__qualname__}"]
            lines += ["    options: {members: false}"] if hasattr(value, "model_fields") else []
    return "\n".join(lines) + "\n"


def notebook_page(file: Path) -> str:
    """The notebook as a page: its text as it is, its code in blocks."""
    lines = []
    for block in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        source = "".join(block["source"]).strip()
        lines += [source if block["cell_type"] == "markdown" else f"```python\n{source}\n```", ""]
    return "\n".join(lines)
