"""The command line. Everything heavy is imported inside the commands, so that `resight --help` is instant."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import pkgutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from typer.core import TyperGroup

from resight.cli.options import Panel
from resight.cli.signals import ending_on_signals
from resight.errors import ResightError, in_the_way, machine_error

# Objects until Python looks for cycles among them. With its own number, some hundred, a command spends about a twentieth of its time on that, while
# it imports libraries and reads tables, and finds nothing.
GARBAGE_AFTER = 50_000


class ByPanel(TyperGroup):
    """Lists the commands under their headings, in the headings' order."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        panels = list(Panel)
        return sorted(self.commands, key=lambda name: panels.index(self.commands[name].rich_help_panel))  # type: ignore[attr-defined]


app = typer.Typer(
    name="resight",
    help="Which sea turtle is this, or has nobody seen it before?",
    cls=ByPanel,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _add_commands() -> None:
    """Take the commands of every file of this package that has some; a new file needs no line anywhere else."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        topic = getattr(importlib.import_module(f"resight.cli.{module.name}"), f"{module.name}_app", None)
        if topic:
            app.add_typer(topic, rich_help_panel=topic.rich_help_panel)


def main() -> None:
    """Entry point: errors that a person can cure are one sentence and exit code 1."""
    gc.set_threshold(GARBAGE_AFTER)
    try:
        with ending_on_signals():
            app()
    except (ResightError, OSError, MemoryError) as error:
        sentence = error if isinstance(error, ResightError) else machine_error(error) or in_the_way(error)
        if sentence is None:
            raise
        text = escape(str(sentence).encode("utf-8", "backslashreplace").decode())
        Console(stderr=True).print(f"[bold red]Error:[/] {text}", highlight=False, soft_wrap=True)
        logging.getLogger("resight").debug("Where it happened:", exc_info=error)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _start(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what happens in detail.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if show_version:
        from resight.version import __version__

        print(__version__)
        raise typer.Exit
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=Console(stderr=True), show_path=False, show_time=False, markup=False)],
    )
    logging.getLogger("resight").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("httpx").setLevel(logging.ERROR)
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO" if verbose else "WARNING")


_add_commands()

if __name__ == "__main__":
    main()
