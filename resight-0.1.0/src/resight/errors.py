"""What can go wrong in a way that a person can cure. Each message names the thing and the cure in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REASON_CHARS = 500
AGAIN = "then run the same command again, it does the rest"
GONE = f"The disk or the network share with {{path}} went away; connect it again, {AGAIN}."
# Of the machine, never of a photo or a pair: whatever is under way has to stop, or nights would be wrong in silence.
MACHINE = {
    errno.ENOSPC: f"The disk with {{path}} is full; free some space, {AGAIN}.",
    errno.EDQUOT: f"The space that you may use on the disk with {{path}} is used up; free some, {AGAIN}.",
    errno.EFBIG: f"The disk with {{path}} takes no file of that size; move the workspace to another one, {AGAIN}.",
    errno.EROFS: f"The disk with {{path}} can only be read; mount it for writing, {AGAIN}.",
    errno.EACCES: f"You have no permission for {{path}}; change its owner or its mode, {AGAIN}.",
    errno.EPERM: f"You have no permission for {{path}}; change its owner or its mode, {AGAIN}.",
    errno.EIO: f"The disk or the network share with {{path}} reports an input or output error; check it, {AGAIN}.",
    errno.ENOMEM: f"There is not enough memory (at {{path}}); close other programs or set a lower dask.workers, {AGAIN}.",
    errno.EMFILE: f"Too many files are open at once (at {{path}}); raise the limit (ulimit -n 4096), {AGAIN}.",
    errno.ENFILE: f"Too many files are open on this machine (at {{path}}); close other programs, {AGAIN}.",
    errno.ESTALE: GONE,
    errno.ENOTCONN: GONE,
    errno.ENODEV: GONE,
    errno.ENXIO: GONE,
} | dict.fromkeys(
    (errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH),
    f"The network connection for {{path}} failed; check it, {AGAIN}.",
)


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


class MachineError(ResightError):
    """The machine fails, not the thing it works on: full disk, no permission, no memory.

    Args:
        number: Its ``errno``, one of `MACHINE`.
        path: What was read or written; '' where nobody knows.
    """

    def __init__(self, number: int, path: str = "") -> None:
        super().__init__(number, path)
        self.number, self.path = number, path

    def __str__(self) -> str:
        return MACHINE[self.number].replace("{path}", self.path or "the workspace or temporary files")


class NothingToMeasure(ResightError):
    """There are no labels from which accuracy could be measured."""


class KeptAside(ResightError):
    """A run was computed but not published; ``summary`` is what it would have given back."""

    def __init__(self, summary: dict[str, Any]) -> None:
        super().__init__(summary["reason"])
        self.summary = summary

    def __reduce__(self) -> tuple[type[KeptAside], tuple[dict[str, Any]]]:
        return type(self), (self.summary,)


class Refused(KeptAside):
    """A new model is not accepted."""


def machine_error(error: BaseException, place: str = "") -> MachineError | None:
    """The error as one of the machine; None where it is about the thing that was worked on.

    Args:
        error: What was raised.
        place: What is named if the error names no path.
    """
    if isinstance(error, MachineError):
        return error if error.path or not place else MachineError(error.number, place)
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno if isinstance(error, OSError) else None
    if number not in MACHINE:
        return None
    path = getattr(error, "filename", None)
    return MachineError(number, path if isinstance(path, str) else place)


def in_the_way(error: BaseException) -> ResightError | None:
    """One sentence where a file lies in the place of a folder of the workspace, or a folder in the place of a file."""
    if not isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError) or error.filename is None:
        return None
    return WorkspaceError(f"{error.filename} cannot be used ({error.strerror}): move away what lies there, {AGAIN}.")


@contextmanager
def machine_errors_at(place: object) -> Iterator[None]:
    """Errors of the machine in the block become sentences; ``place`` is named where they name no path.

    Raises:
        MachineError: The machine fails.
    """
    try:
        yield
    except (OSError, MemoryError, MachineError) as error:
        sentence = machine_error(error, str(place))
        if sentence is None or sentence is error:
            raise
        raise sentence from error


def one_line(error: Exception, own: tuple[type[Exception], ...] = ()) -> str:
    """The reason that a table keeps: the message in one line, after the type where no person was meant to read it.

    Args:
        error: What happened to a photo, crop or pair.
        own: Errors that are the thing's own although the machine raises them too.

    Raises:
        MachineError: The machine fails, which is nobody's status.
    """
    if not isinstance(error, own) and (sentence := machine_error(error)):
        raise sentence from error
    text = str(error) if isinstance(error, ResightError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:REASON_CHARS]
