"""The pages' templates, all loaded alike: they extend ``base.html`` and use ``pieces.html``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).resolve().parent


@cache
def template(name: str, folder: Path = FOLDER) -> Template:
    """A page's template, from ``folder`` or beside this file; a missing value is an error, and values are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # where it is used: few commands draw a page

    loader = FileSystemLoader([folder, FOLDER])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)
