"""Decisions as they are typed, and what was decided as sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resight.decisions.desk import Desk
from resight.decisions.entry import Box, Entry, Kind
from resight.errors import SettingsError
from resight.store.workspace import Workspace

SENTENCES = {
    Kind.CONFIRM: "{encounter} is {name}",
    Kind.NEW: "{encounter} is a new animal, {name}",
    Kind.SAME_AS: "{encounter} and another encounter are one animal, {name}",
    Kind.REJECT: "{encounter} is not {name}",
    Kind.SPLIT: "{encounter} shows {n_parts} animals",
    Kind.CANNOT_TELL: "nobody can tell who {encounter} is",
    Kind.BAD_CROP: "the crop of {photos} in {encounter} is bad",
    Kind.NOT_A_HEAD: "the crop of {photos} in {encounter} is no head",
    Kind.DOES_NOT_BELONG: "{photos} in {encounter} do not belong to the survey",
    Kind.SIDE: "{photos} in {encounter} show the side {side}",
    Kind.RENAME: "{name} is called {into}",
    Kind.MERGE: "{name} and {into} are one animal, {into}",
    Kind.APART: "{name} and {into} are two animals",
    Kind.SECOND_OPINION: "a second opinion is wanted on {encounter}",
    Kind.UNDO: "decision {undoes} no longer counts",
}

OF_ONE_PHOTO = frozenset(
    {Kind.BAD_CROP, Kind.NOT_A_HEAD, Kind.SIDE}
)  # said of the photo that is named, of all where the encounter is


@dataclass(frozen=True)
class Asked:
    """A decision as it is typed: see `resight decide --help`."""

    kind: str
    what: str
    answer: str | None
    photos: tuple[str, ...]
    box: str | None
    by: str
    note: str
    really_new: bool


def sentence(entry: Entry) -> str:
    """What was decided, for people."""
    n = len(entry.photos)
    return SENTENCES[entry.kind].format(
        encounter=entry.encounter_id, name=entry.individual_id, into=entry.into, n_parts=len(entry.parts),
        photos="1 photo" if n == 1 else f"{n} photos", side=entry.viewpoint, undoes=(entry.undoes or "")[:8],
    )  # fmt: skip


def decide_asked(workspace: Workspace, asked: Asked) -> dict[str, Any]:
    """Take the decision, and say it.

    Raises:
        SettingsError: It is about nothing that is there, or does not fit what is known.
        WorkspaceError: There is no run yet.
    """
    desk = Desk(workspace)
    entry = desk.decide(_entry(desk, asked), really_new=asked.really_new)
    return {
        "decision_id": entry.decision_id,
        "sentence": sentence(entry),
        "kind": str(entry.kind),
        "by": entry.by,
        "at": entry.at,
    }


def list_decisions(workspace: Workspace, other: Workspace | None = None) -> dict[str, Any]:
    """All decisions, the newest first, and all animals; after those of another copy were taken over."""
    desk = Desk(workspace)
    taken = desk.log.merge(other) if other is not None else None
    decided = desk.decided
    rows = [
        {"decision_id": e.decision_id, "at": e.at, "by": e.by, "kind": str(e.kind), "counts": decided.counts(e),
         "sentence": sentence(e), "note": e.note}
        for e in reversed(decided.entries)
    ]  # fmt: skip
    earlier: dict[str, list[str]] = {}
    for old, now in sorted(decided.current_name.items()):
        earlier.setdefault(now, []).append(old)
    animals = desk.animals() if desk.has_run else {}
    listed = [
        {"individual_id": name, "n_photos": n, "earlier_names": earlier.get(name, [])}
        for name, n in sorted(animals.items())
    ]
    return {"decisions": rows, "animals": listed, "notes": list(desk.log.notes), "taken_over": taken}


def _entry(desk: Desk, asked: Asked) -> Entry:
    kind = _kind(asked.kind)
    if kind is Kind.UNDO:
        return desk.entry(kind, asked.by, undoes=desk.entry_called(asked.what).decision_id, note=asked.note)
    if kind in (Kind.RENAME, Kind.MERGE, Kind.APART):
        return desk.entry(
            kind, asked.by, individual_id=asked.what, into=_answer(asked, "the other name"), note=asked.note
        )
    encounter, photos = desk.find(asked.what)
    chosen = [_one_of(desk, photos, text) for text in asked.photos]
    said: dict[str, Any] = {"note": asked.note}
    if kind is Kind.SPLIT:
        said["parts"] = desk.split_off(photos, chosen)  # the other animal's photos are named with --photo
        return desk.entry(kind, asked.by, photos, **said)
    if kind is Kind.SAME_AS:
        return desk.same_as(encounter, desk.find(_answer(asked, "the other encounter"))[0], asked.by, note=asked.note)
    if kind in (Kind.CONFIRM, Kind.REJECT):
        said["individual_id"] = _answer(asked, "the animal")
    elif kind is Kind.NEW:
        said["individual_id"] = asked.answer or desk.provisional_name(encounter)
    elif kind is Kind.SIDE:
        said["viewpoint"] = _answer(asked, "left, right, top, front, back or unknown")
    if kind in OF_ONE_PHOTO:
        if kind is Kind.BAD_CROP and asked.box:
            said["box_px"] = _box(asked.box)
        if asked.what != encounter or "box_px" in said:
            chosen = chosen or [_one_of(desk, photos, asked.what)]
    return desk.entry(kind, asked.by, chosen or photos, **said)


def _kind(text: str) -> Kind:
    try:
        return Kind(text.replace("-", "_"))
    except ValueError:
        kinds = ", ".join(k.replace("_", "-") for k in Kind)
        raise SettingsError(f"{text!r} cannot be decided; there are {kinds}.") from None


def _answer(asked: Asked, what: str) -> str:
    if not asked.answer:
        raise SettingsError(f"`resight decide {asked.kind}` needs one more word: {what}.")
    return asked.answer


def _one_of(desk: Desk, photos: list[str], text: str) -> str:
    hits = [p for p in photos if desk.is_called(p, text)]
    if len(hits) != 1:
        raise SettingsError(
            f"{text!r} names {len(hits) or 'no'} photos of this encounter; write more of the path, or name it with --photo."
        )
    return hits[0]


def _box(text: str) -> Box:
    try:
        x, y, width, height = (float(v) for v in text.split(","))
    except ValueError:
        raise SettingsError(f"{text!r} is no box; write x,y,width,height, e.g. 120,80,640,480.") from None
    return x, y, width, height
