"""What can go wrong in a way that a person can cure. Each message names the thing and the cure in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

REASON_CHARS = 500


class ResightError(Exception):
    """Root of all errors that are meant to be read by the user; the command line prints them without a traceback."""


class SettingsError(ResightError):
    """A setting is unknown, misspelt or does not fit another one."""


class WeightsError(ResightError):
    """A weights file is missing, has the wrong digest, or does not fit the model."""


class MissingWeightsError(WeightsError):
    """A weights file is not on this machine (and could not be fetched)."""


class DeviceError(ResightError):
    """The device or worker resource that was asked for is not there."""


class BrokenCountError(ResightError):
    """A stage did not give back as many things as went in; the run must not be believed."""


class WorkspaceError(ResightError):
    """The workspace is missing, locked by another run, or was written by a newer version."""


class DamagedError(WorkspaceError):
    """A file of the workspace does not hold what was written into it.

    Attributes:
        path: The file, or the folder that cannot be used without it.
        why: What is wrong.
        cure: What a person can do.
    """

    def __init__(self, path: Path, why: str, cure: str = "run the same command again, it computes the rest") -> None:
        super().__init__(f"{path} is damaged ({why}); {cure}.")
        self.path, self.why, self.cure = path, why, cure

    def __reduce__(self) -> tuple[type[DamagedError], tuple[Path, str, str]]:
        return type(self), (self.path, self.why, self.cure)


class LeakError(ResightError):
    """An evaluation split has photos of one animal and one day on both sides."""


class NothingToMeasure(ResightError):
    """There are no labels from which accuracy could be measured."""


class KeptAside(ResightError):
    """A run was computed but not published; ``summary`` is what it would have given back."""

    def __init__(self, summary: dict[str, Any]) -> None:
        super().__init__(summary["reason"])
        self.summary = summary


def one_line(error: Exception) -> str:
    """The reason that a table keeps: the message in one line, after the type where no person was meant to read it."""
    text = str(error) if isinstance(error, ResightError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:REASON_CHARS]
