"""How a command's result reaches the user: as one JSON object, or as lines and tables for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

screen = Console()


def print_result(result: dict[str, Any], as_json: bool, show: Callable[[Console, dict[str, Any]], None]) -> None:
    """Print ``result`` as JSON (paths and dates as text), or let ``show`` put it on the screen."""
    if as_json:
        print(json.dumps(result, default=str, allow_nan=False))
    else:
        show(screen, result)


def line(console: Console, text: str) -> None:
    """A line that rich neither colours nor breaks, so that paths in it can be copied."""
    console.print(text, highlight=False, soft_wrap=True)


def print_notes(console: Console, result: dict[str, Any]) -> None:
    """What people should know about a result, a line each."""
    for note in result["notes"]:
        line(console, f"[yellow]Note:[/] {escape(note)}")
