"""From a form of the page to a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from resight.decisions.desk import Desk
from resight.decisions.entry import ABOUT_PHOTOS, Entry, Kind
from resight.decisions.state import Decided
from resight.errors import SettingsError
from resight.review.board import Board, Card

Fields = Mapping[str, Sequence[str]]
MOST_BYTES = 200_000
PAGES_OWN = {"csrf", "next"}


def read_form(body: bytes) -> Fields:
    """Fields of a form; odd bytes become question marks.

    Raises:
        SettingsError: It has very many fields.
    """
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=2000)
    except ValueError:
        raise SettingsError("The form has too many fields.") from None


def one(form: Fields, name: str) -> str:
    """The last value of a field; '' if it is not there."""
    return (form.get(name) or [""])[-1].strip()


def decide(board: Board, card: Card, form: Fields, by: str) -> Entry:
    """Take the decision that a form asks for.

    Raises:
        SettingsError: It does not fit what is known; the sentence is for the reviewer.
    """
    desk, kind = board.desk, _kind(one(form, "kind"))
    photos = [p for p in form.get("photo", ()) if p in card.photos]
    said: dict[str, Any] = {"note": one(form, "note"), "request": one(form, "request")[:64]}
    if kind is Kind.SAME_AS:
        other = board.cards().get(one(form, "other"))
        if other is None:
            raise SettingsError("Choose the other encounter.")
        entry = _same_as(desk, board, card, other, by, said)
        return desk.decide(entry)
    if kind is Kind.SPLIT:
        rest = tuple(sorted(set(card.photos) - set(photos)))
        if not photos or not rest:
            raise SettingsError("Mark the photos of the other animal: at least one, and not all.")
        said["parts"], photos = (rest, tuple(sorted(photos))), list(card.photos)
    if kind in (Kind.CONFIRM, Kind.REJECT):
        said["individual_id"] = one(form, "name")
    elif kind is Kind.NEW:
        said["individual_id"] = one(form, "name") or desk.provisional_name(card.encounter_id)
    elif kind is Kind.SIDE:
        said["viewpoint"] = one(form, "side")
    if kind in (Kind.BAD_CROP, Kind.NOT_A_HEAD, Kind.SIDE):
        said |= _boxes(form)
        if kind is Kind.BAD_CROP and not photos:
            raise SettingsError("Choose the photo whose crop is bad.")
    entry = desk.entry(kind, by, photos or card.photos, **said)
    return desk.decide(entry, really_new=one(form, "really_new") == "yes")


def undo_last(desk: Desk, by: str, request: str) -> Entry | None:
    """Take back the reviewer's last decision that counts; gives that one back, or None where there is none."""
    decided: Decided = desk.decided
    for entry in reversed(decided.entries):
        if entry.request and request and entry.request == request:
            return next((e for e in decided.entries if e.decision_id == entry.undoes), None)
    mine = (e for e in reversed(decided.entries) if e.by == by and decided.counts(e) and e.kind is not Kind.UNDO)
    last = next(mine, None)
    if last is not None:
        desk.decide(desk.entry(Kind.UNDO, by, undoes=last.decision_id, request=request))
    return last


def _same_as(desk: Desk, board: Board, card: Card, other: Card, by: str, said: dict[str, Any]) -> Entry:
    if other.key == card.key:
        raise SettingsError("That is the same encounter; choose another one.")
    if other.name:
        return desk.entry(Kind.CONFIRM, by, card.photos, individual_id=other.name, **said)
    if card.name:
        return desk.entry(Kind.CONFIRM, by, other.photos, individual_id=card.name, **said)
    name = desk.provisional_name(other.encounter_id)
    return desk.entry(Kind.SAME_AS, by, [*card.photos, *other.photos], individual_id=name, **said)


def _kind(text: str) -> Kind:
    try:
        kind = Kind(text)
    except ValueError:
        raise SettingsError("That cannot be decided here.") from None
    if kind not in ABOUT_PHOTOS:
        raise SettingsError("That cannot be decided here.")
    return kind


def _boxes(form: Fields) -> dict[str, Any]:
    found = {}
    for name in ("box_px", "crop_box_px"):
        text = one(form, name)
        if text:
            try:
                x, y, width, height = (float(v) for v in text.split(","))
            except ValueError:
                raise SettingsError("Draw the box again.") from None
            found[name] = (x, y, width, height)
    return found
