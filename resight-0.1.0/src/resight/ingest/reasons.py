"""Why a photo is refused, in one sentence that names the file and the cure."""

from __future__ import annotations

from resight.errors import machine_error
from resight.ingest.notes import printable
from resight.status import PhotoReason

SENTENCES = {
    PhotoReason.EMPTY_FILE: "{uri} is empty (0 bytes); copy it again from the camera.",
    PhotoReason.NOT_AN_IMAGE: "{uri} is not a JPEG, PNG, WebP, TIFF or HEIC picture, whatever its name says; export it as JPEG.",
    PhotoReason.TRUNCATED: "{uri} is cut off or damaged; copy it again from the camera.",
    PhotoReason.TOO_LARGE: "{uri} is {detail}; cut it to the animal, or raise that setting.",
    PhotoReason.TOO_SMALL: "{uri} is {detail}; use the original photo instead of a thumbnail, or lower that setting.",
    PhotoReason.DECOMPRESSION_BOMB: "{uri} claims to be {detail}; save it smaller, or raise that setting if the photo is real.",
    PhotoReason.UNREADABLE: "{uri} cannot be read ({detail}); check the disk and the permissions, the next run tries again.",
}


class PhotoError(OSError):
    """A photo cannot be used; ``reason`` says why, ``message`` is one sentence with the cure.

    No `ResightError`: one bad photo is a row, and never the end of a run.
    """

    def __init__(self, reason: PhotoReason, message: str, detail: str = "") -> None:
        super().__init__(reason, message, detail)
        self.reason, self.message, self.detail = reason, message, detail

    def __str__(self) -> str:
        return self.message


def complaint(reason: PhotoReason, uri: str, n_files: int = 1, detail: str = "") -> str:
    """The sentence for a rejected photo.

    Args:
        reason: Why.
        uri: File that is named.
        n_files: Files with this content.
        detail: What the sentence has to say besides, e.g. size and limit.
    """
    named = uri if n_files == 1 else f"{uri} (like {n_files - 1} more with the same content)"
    return printable(SENTENCES[reason].replace("{detail}", detail).replace("{uri}", named))


def photo_error(reason: PhotoReason, uri: str, detail: str = "") -> PhotoError:
    """The error that says so."""
    return PhotoError(reason, complaint(reason, uri, detail=detail), detail)


def raise_if_machine(error: Exception, place: str) -> None:
    """Leave what may be wrong with one file; whatever is the machine's must not become a photo's reason.

    Raises:
        MachineError: The disk, the memory or the network fails; ``place`` is named where the error names no path.
    """
    sentence = machine_error(error, place)
    if sentence and not isinstance(error, PermissionError):  # a single file may well be another user's
        raise sentence from error
