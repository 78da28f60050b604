"""What the page of an encounter shows."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from resight.decisions.asking import sentence
from resight.decisions.names import similar
from resight.novelty.uncompared import Obstacle
from resight.report.words import BADGES, percent
from resight.review.board import Board, Candidate, Card, Crop
from resight.status import CALLED_NEW, NAMED, Decision, Viewpoint

MOST_PHOTOS = 24
MOST_AHEAD = 40  # small pictures of the next screen; more are read when they come into view
MOST_OTHERS = 60
HEADLINES = {
    Decision.KNOWN: "Known: {name}",
    Decision.LIKELY: "Likely {name}",
    Decision.UNSURE: "Perhaps {name}",
    Decision.NEW: "Perhaps a new animal",
    Decision.LIKELY_NEW: "Perhaps a new animal",
    Decision.NOT_COMPARED: "Could not be compared",
}


def screen(
    board: Board, card: Card, by: str, *, chosen: str = "", query: str = "", gallery: str = ""
) -> dict[str, Any]:
    """Everything on the screen of an encounter.

    Args:
        board, card, by: All encounters, the one to show, and the reviewer.
        chosen: The animal to compare with; the best candidate if not given.
        query, gallery: Crops to compare; the best pair if not given.
    """
    candidates = board.candidates(card)
    known = board.desk.animals()
    selected = next((c for c in candidates if c.name == chosen), None)
    if selected is None and chosen in known:
        selected = Candidate(chosen, None, None, None, None)
    if selected is None and not chosen:
        selected = next((c for c in candidates if not c.refused), None)
    own = _own(board, card)
    theirs = board.photos_of(selected.name) if selected else []
    left, right = _pair(selected, own, theirs, query, gallery)
    waiting = board.queue(by)
    shown = _says(board, card, candidates) | _constants()
    return shown | {
        "card": card,
        "title": _title(card, own),
        "line": _line(card, candidates, selected, left, right),
        "own": own,
        "photos": _one_each(own),
        "candidates": [(k, c, _sides(board.photos_of(c.name))) for k, c in enumerate(candidates, 1)],
        "selected": selected,
        "theirs": _sides(theirs),
        "left": left,
        "photo_size": _photo_size(board, left or next(iter(own), None)),
        "right": right,
        "others": [(c, _title(c, [])) for c in list(board.cards().values())[:MOST_OTHERS] if c.key != card.key],
        "animals": sorted(known),
        "near": similar(chosen, known) if chosen and selected is None else [],
        "story": [(e, sentence(e), board.desk.decided.counts(e)) for e in board.story(card)],
        "next": _next(waiting, card),
        "ahead": _ahead(board, _next(waiting, card)),
        "provisional": board.desk.provisional_name(card.encounter_id),
        "n_tonight": sum(c.tonight for c in waiting),
        "n_waiting": len(waiting),
    }


def _says(board: Board, card: Card, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What the encounter is taken for."""
    said = card.verdict.get("individual_id")
    headline = _headline(card, candidates, board.desk.decided.called(said) if said else None)
    return {"headline": headline, "share": _share(card, candidates), "badge": BADGES[card.decision]}


def _constants() -> dict[str, Any]:
    sides = [side for side in Viewpoint if side is not Viewpoint.UNKNOWN]
    return {"request": secrets.token_hex(12), "sides": sides, "percent": percent}


def _pair(
    selected: Candidate | None, own: Sequence[Crop], theirs: Sequence[Crop], query: str, gallery: str
) -> tuple[Crop | None, Crop | None]:
    """The two crops that stand side by side."""
    best = selected.pair if selected and selected.pair else (None, None)
    left = _called(own, query) or _called(own, best[0]) or next(iter(own), None)
    same_side = [c for c in theirs if left and c.viewpoint == left.viewpoint and c.crop_id]
    right = _called(theirs, gallery) or _called(theirs, best[1]) or next(iter([*same_side, *theirs]), None)
    return left, right


def _photo_size(board: Board, crop: Crop | None) -> tuple[int, int]:
    """Width and height of the upright photo; 1 by 1 where it could not be read."""
    row = board.facts.tables.photos[crop.photo_id] if crop else {}
    return int(row.get("width_px") or 1), int(row.get("height_px") or 1)


def _called(crops: Sequence[Crop], crop_id: str | None) -> Crop | None:
    return next((c for c in crops if crop_id and c.crop_id == crop_id), None)


def _title(card: Card, crops: Sequence[Crop]) -> str:
    """Files as people know them; the encounter's name where it says more."""
    names = list(dict.fromkeys(c.uri for c in crops))
    if not names:
        return card.encounter_id
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _headline(card: Card, candidates: Sequence[Candidate], said: str | None) -> str:
    """``said`` is the animal of the verdict, as it is called now."""
    if card.state == "named":
        return f"{card.name or 'Several animals'}, decided"
    if card.state == "cannot_tell":
        return "Decided: nobody can tell"
    if card.state == "taken_out":
        return "Taken out of the survey"
    best = next((c for c in candidates if not c.refused), None)
    if best is None:
        none_left = candidates or card.verdict.get("reason") == Obstacle.REJECTED
        return "No candidate is left" if none_left else HEADLINES[Decision.NOT_COMPARED]
    if card.decision in NAMED and best.name != said:  # that one was refused; nothing says so much of the next
        return HEADLINES[Decision.UNSURE].format(name=best.name)
    return HEADLINES[card.decision].format(name=best.name)


def _share(card: Card, candidates: Sequence[Candidate]) -> float | None:
    """The probability of what the headline says, whoever is compared with."""
    best = next((c for c in candidates if not c.refused), None)
    if card.state != "open" or best is None:
        return None
    return card.verdict.get("p_new") if card.decision in CALLED_NEW else best.probability


def _line(
    card: Card, candidates: Sequence[Candidate], selected: Candidate | None, left: Crop | None, right: Crop | None
) -> str:
    """The one plain sentence."""
    if selected is None and candidates and not all(candidate.refused for candidate in candidates):
        return "No animal has that name; choose a candidate, or another name."
    if selected is None and candidates:
        return "A person has decided that it is none of the animals that it could be compared with."
    if selected is None:
        said = card.verdict.get("evidence") if card.decision is Decision.NOT_COMPARED else None
        return str(said or "Nothing was compared.")
    if selected.pair is None and selected.probability is not None:
        return f"It was not compared with {selected.name} itself: another encounter links the two."
    is_best = (
        selected.pair is not None
        and left is not None
        and right is not None
        and selected.pair == (left.crop_id, right.crop_id)
    )
    if not is_best:
        return f"You compare with {selected.name}."
    if selected.fits is None:
        return "Whether points fit one pattern was not tried for this pair."
    fit = f"{selected.fits} points fit" if selected.fits else "No points fit one pattern, so no lines are drawn"
    if selected.others_fit is None:
        return f"{fit}."
    return f"{fit}; photos of other animals reach {selected.others_fit or 'none'}."


def _sides(crops: Sequence[Crop]) -> list[tuple[str, list[Crop]]]:
    return [(side, list(group)[:MOST_PHOTOS]) for side, group in groupby(crops, key=lambda c: c.viewpoint)]


def _own(board: Board, card: Card) -> list[Crop]:
    return [crop for photo in card.photos for crop in board.crops_of(photo)]


def _one_each(crops: Sequence[Crop]) -> list[Crop]:
    return list({c.photo_id: c for c in reversed(crops)}.values())[::-1]


def _ahead(board: Board, key: str | None) -> tuple[list[str], list[str]]:
    """Crops that the next screen shows, for the browser to read while this one is looked at: the two side by side, and the small ones."""
    card = board.cards().get(key or "")
    if card is None:
        return [], []
    candidates = board.candidates(card)
    best = next((c.pair for c in candidates if not c.refused and c.pair), ())
    shown = [*_own(board, card), *(crop for c in candidates for crop in board.photos_of(c.name))]
    return list(best), list(dict.fromkeys(crop.crop_id for crop in shown if crop.crop_id))[:MOST_AHEAD]


def _next(waiting: Sequence[Card], card: Card) -> str | None:
    """The next one to look at, after this one and then from the beginning."""
    keys = [c.key for c in waiting]
    place = keys.index(card.key) + 1 if card.key in keys else 0
    return next((key for key in [*keys[place:], *keys[:place]] if key != card.key), None)
