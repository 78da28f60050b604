"""From a form of the page to a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs

from resight.decisions.asking import sentence
from resight.decisions.desk import Desk
from resight.decisions.entry import ABOUT_PHOTOS, Entry, Kind
from resight.decisions.state import Decided
from resight.errors import SettingsError
from resight.review.board import Board, Card
from resight.store.fingerprint import canonical_json

Fields = Mapping[str, Sequence[str]]
MOST_BYTES = 200_000
PAGES_OWN = {"csrf", "next", "seen"}


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
    desk, kind, photos = board.desk, _kind(one(form, "kind")), list(form.get("photo", ()))
    if not set(photos) <= set(card.photos):
        raise SettingsError("That photo is no longer in this encounter; look again, then decide.")
    _check_nothing_is_newer(board, card, form, by)
    said: dict[str, Any] = {"note": one(form, "note"), "request": request_of(form)}
    if kind is Kind.SAME_AS:
        other = board.cards().get(one(form, "other"))
        if other is None:
            raise SettingsError("Choose the other encounter.")
        return desk.decide(desk.same_as(card.encounter_id, other.encounter_id, by, **said))
    if kind is Kind.SPLIT:
        said["parts"], photos = desk.split_off(card.photos, photos), list(card.photos)
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


def request_of(form: Fields) -> str:
    """Names what a form asks for: sent twice it is one decision, while another choice on the same page is another one."""
    said = {name: list(values) for name, values in form.items() if name not in PAGES_OWN}
    return sha256(canonical_json(said).encode()).hexdigest()[:32] if one(form, "request") else ""


def sent_before(desk: Desk, form: Fields) -> Entry | None:
    """The decision that the same form has brought already."""
    request = request_of(form)
    return next((e for e in reversed(desk.decided.entries) if request and e.request == request), None)


def _check_nothing_is_newer(board: Board, card: Card, form: Fields, by: str) -> None:
    """Whoever decides must have seen what others have decided: ``seen`` is the newest decision on their page."""
    if "seen" not in form:
        return
    since = next((e.at for e in board.desk.decided.entries if e.decision_id == one(form, "seen")), "")
    newer = next((e for e in board.story(card) if e.at > since and e.by != by), None)
    if newer is not None:
        raise SettingsError(
            f"Meanwhile {newer.by} has decided: {sentence(newer)}. What you pressed was not kept; look again."
        )


def undo_last(desk: Desk, by: str, request: str) -> Entry | None:
    """Take back the reviewer's last decision that counts; gives that one back, or None where there is none."""
    decided: Decided = desk.decided
    for entry in reversed(decided.entries):
        if entry.kind is Kind.UNDO and request and entry.request == request:
            return next((e for e in decided.entries if e.decision_id == entry.undoes), None)
    mine = (e for e in reversed(decided.entries) if e.by == by and decided.counts(e) and e.kind is not Kind.UNDO)
    last = next(mine, None)
    if last is not None:
        desk.decide(desk.entry(Kind.UNDO, by, undoes=last.decision_id, request=request))
    return last


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
