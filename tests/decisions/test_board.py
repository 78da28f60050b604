"""The candidates on the screen, from tables made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from decision_helpers import A, B, C, photo

from resight.decisions.entry import Kind
from resight.decisions.state import Decided
from resight.novelty.evidence import _together
from resight.review.board import Board, Card, Facts
from resight.status import Decision


def test_a_rejection_from_before_a_photo_was_voted_out_holds_on_the_screen_of_those_that_stayed(make: Any) -> None:
    photos = {p: photo(p, encounter_id="e", labelled_individual_id=None) for p in (A, B)}
    photos[C] = photo(C, encounter_id=f"photo-{C}", voted_out_of="e")
    rows = [
        {"individual_id": name, "probability": 0.5, "best_query_crop_id": "x", "best_gallery_crop_id": name}
        for name in ("Leo", "Mia")
    ]
    tables: Any = SimpleNamespace(photos=photos, candidates={"e": rows, f"photo-{C}": rows}, verdicts={})
    decided = Decided.of([make(Kind.REJECT, photos=tuple(sorted((A, B, C))), individual_id="Leo")])
    board = Board(SimpleNamespace(tables=tables, decided=decided))  # type: ignore[arg-type]
    board._facts = Facts(tables, {}, {}, {}, {}, {"e": {C}})
    stayed = Card("k", "e", (A, B), "open", None, Decision.LIKELY, {}, True)
    assert [(c.name, c.refused) for c in board.candidates(stayed)] == [("Mia", False), ("Leo", True)]
    out = Card("k2", f"photo-{C}", (C,), "open", None, Decision.LIKELY, {}, True)
    assert not any(c.refused for c in board.candidates(out)), "of which of them it was meant, nobody knows"


def test_evidence_names_encounters_as_people_call_them() -> None:
    said = _together(["dive #4", f"dive 5#{A}"])
    assert (
        said
        == "It is probably one animal with dive #4, one of several animals in a photo of dive 5, which counted too."
    )
