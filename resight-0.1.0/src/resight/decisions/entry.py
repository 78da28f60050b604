"""One decision of one person, as a line of the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any

from resight.errors import SettingsError
from resight.status import Viewpoint
from resight.store.fingerprint import canonical_json

FORMAT = 1
CUT_OFF = "it is not whole"
ID_CHARS = 20
MOST_NAME_CHARS = 100
MOST_NOTE_CHARS = 2000


class Kind(StrEnum):
    """What can be decided."""

    CONFIRM = "confirm"
    NEW = "new"
    SAME_AS = "same_as"
    REJECT = "reject"
    SPLIT = "split"
    CANNOT_TELL = "cannot_tell"
    BAD_CROP = "bad_crop"
    NOT_A_HEAD = "not_a_head"
    DOES_NOT_BELONG = "does_not_belong"
    SIDE = "side"
    RENAME = "rename"
    MERGE = "merge"
    APART = "apart"
    SECOND_OPINION = "second_opinion"
    UNDO = "undo"


IDENTITY = frozenset({Kind.CONFIRM, Kind.NEW, Kind.SAME_AS, Kind.CANNOT_TELL})
NAMING = frozenset({Kind.CONFIRM, Kind.NEW, Kind.SAME_AS})
ABOUT_PHOTOS = frozenset(Kind) - {Kind.RENAME, Kind.MERGE, Kind.APART, Kind.UNDO}
NEEDS = {
    Kind.CONFIRM: ("individual_id",),
    Kind.NEW: ("individual_id",),
    Kind.SAME_AS: ("individual_id",),
    Kind.REJECT: ("individual_id",),
    Kind.SPLIT: ("parts",),
    Kind.SIDE: ("viewpoint",),
    Kind.RENAME: ("individual_id", "into"),
    Kind.MERGE: ("individual_id", "into"),
    Kind.APART: ("individual_id", "into"),
    Kind.UNDO: ("undoes",),
}
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A decision. Photos are named by what is in them, so that files may move and encounters may be formed anew.

    Attributes:
        kind: What was decided.
        by: Who decided.
        at: UTC, ISO with microseconds; the order in which decisions count.
        photos: photo_ids that it is about, sorted.
        encounter_id: What the encounter was called then; for people to read.
        individual_id: The animal; for ``rename`` and ``merge`` the name that ends; for ``apart`` one of two names.
        into: ``rename``, ``merge``: the name that stays; ``apart``: the other name.
        parts: ``split``: photo_ids of each animal.
        viewpoint: ``side``: the side of the head that is seen.
        crop_box_px: ``bad_crop``, ``not_a_head``, ``side``: the crop that is meant, as x, y, width, height in the upright photo; all crops of
            the photo if missing.
        box_px: ``bad_crop``: where the head really is.
        undoes: ``undo``: decision_id of the decision that no longer counts.
        labels: By photo, the name that label files gave it then; who comes later is told by what has changed since.
        run_id, model: What was looked at, and the model that computed it.
        evidence: What the screen showed: candidates with probabilities and fitting points.
        note: In the person's own words.
        request: Made up by who asks, so that a request that is sent twice is one decision.
    """

    kind: Kind
    by: str
    at: str = ""
    photos: tuple[str, ...] = ()
    encounter_id: str = ""
    individual_id: str | None = None
    into: str | None = None
    parts: tuple[tuple[str, ...], ...] = ()
    viewpoint: str | None = None
    crop_box_px: Box | None = None
    box_px: Box | None = None
    undoes: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    run_id: str | None = None
    model: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    request: str = ""

    @cached_property
    def decision_id(self) -> str:
        """Made from everything that the entry says."""
        return sha256(canonical_json(self._plain()).encode()).hexdigest()[:ID_CHARS]

    @property
    def moment(self) -> datetime:
        """When it was decided, UTC."""
        return datetime.fromisoformat(self.at)

    def _plain(self) -> dict[str, Any]:
        """Everything that is said, without what is not."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"format": FORMAT} | {k: _listed(v) for k, v in values.items() if v not in (None, "", (), {})}

    def line(self) -> bytes:
        """A line of the log."""
        return json.dumps(
            {"decision_id": self.decision_id} | self._plain(), ensure_ascii=False, sort_keys=True, allow_nan=False
        ).encode() + b"\n"  # fmt: skip


def entry_of(line: bytes) -> Entry:
    """The decision on a line of the log.

    Raises:
        ValueError: The line is damaged, was changed, or a newer version wrote it; with the reason.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(CUT_OFF) from None
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise ValueError("it is no decision")
    if value["format"] > FORMAT:
        raise ValueError("a newer version of Resight wrote it; update Resight")
    identity = value.pop("decision_id", None)
    try:
        known = {f.name for f in fields(Entry)}
        entry = checked(Entry(**{k: _tupled(k, v) for k, v in value.items() if k in known}))
        is_moment = datetime.fromisoformat(entry.at).utcoffset() == timedelta(0)
    except (SettingsError, TypeError, ValueError):
        raise ValueError("it is no decision") from None
    if not is_moment:
        raise ValueError("it does not say when")
    if entry.decision_id != identity:
        raise ValueError("it was changed after it was written")
    return entry


def checked(entry: Entry) -> Entry:
    """The entry with clean texts.

    Raises:
        SettingsError: It lacks what its kind needs, or a text is no name.
    """
    try:
        kind = Kind(entry.kind)
    except ValueError:
        raise SettingsError(f"{entry.kind!r} cannot be decided; there are {', '.join(Kind)}.") from None
    if not isinstance(entry.by, str) or not entry.by.strip():
        raise SettingsError("A decision needs the name of the person who decides.")
    for need in NEEDS.get(kind, ()):
        if not getattr(entry, need):
            raise SettingsError(f"The decision '{kind}' needs {need}.")
    if kind in ABOUT_PHOTOS and not entry.photos:
        raise SettingsError(f"The decision '{kind}' is about no photo.")
    if kind is Kind.SPLIT:
        _check_parts(entry)
    if entry.viewpoint is not None and entry.viewpoint not in set(Viewpoint):
        raise SettingsError(f"{entry.viewpoint!r} is no side of the head; there are {', '.join(Viewpoint)}.")
    for box in (entry.box_px, entry.crop_box_px):
        if box is not None and not (len(box) == 4 and all(abs(v) < 1e6 for v in box) and box[2] > 0 and box[3] > 0):
            raise SettingsError("A box is x, y, width and height in pixels of the upright photo, e.g. 120,80,640,480.")
    names: dict[str, Any] = {
        key: clean_name(value) for key in ("individual_id", "into") if (value := getattr(entry, key))
    }
    return replace(entry, kind=kind, by=clean_name(entry.by), note=clean_note(entry.note), **names)


def clean_name(text: str) -> str:
    """A name without control characters and spaces around it.

    Raises:
        SettingsError: Nothing is left, or it is very long.
    """
    if not isinstance(text, str):
        raise SettingsError("A name is a text.")
    plain = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    name = " ".join(plain.split())
    if not name or len(name) > MOST_NAME_CHARS:
        raise SettingsError(f"A name has 1 to {MOST_NAME_CHARS} characters.")
    return name


def clean_note(text: str) -> str:
    """A note without control characters but for line breaks, at most 2000 characters long."""
    if str(text).isprintable():
        return str(text).strip()[:MOST_NOTE_CHARS]
    return "".join(c if c.isprintable() or c == "\n" else " " for c in str(text)).strip()[:MOST_NOTE_CHARS]


def _check_parts(entry: Entry) -> None:
    together = [p for part in entry.parts for p in part]
    if len(entry.parts) < 2 or not all(entry.parts) or sorted(together) != sorted(entry.photos):
        raise SettingsError("A split needs two parts or more, and every photo of the encounter in exactly one of them.")


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _tupled(key: str, value: Any) -> Any:
    if key == "parts":
        return tuple(tuple(str(p) for p in part) for part in value)
    if key == "photos":
        return tuple(str(p) for p in value)
    if key in ("box_px", "crop_box_px"):
        return tuple(float(v) for v in value)
    if key in ("labels", "evidence") and not isinstance(value, dict):
        raise ValueError(key)
    return value
