"""The command line. Each file of this package that holds ``NAME_app`` (NAME is the file's name) adds its commands."""

from resight.cli.app import app, main

__all__ = ["app", "main"]
