"""The command line."""

from resight.cli.app import app, main

__all__ = ["app", "main"]
