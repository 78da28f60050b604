"""Decisions at the desk, without a run: the tables are written out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from decision_helpers import A, B, C, photo

from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.decisions.tables import Tables
from resight.store.workspace import Workspace


@pytest.mark.parametrize("named", ["e", "f"])
def test_of_two_encounters_that_are_one_animal_the_one_without_a_name_gets_that_of_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Whichever of the two is said to be the same as the other: no name is lost."""
    of = {"e": (A,), "f": (B, C)}
    rows = {
        p: photo(p, encounter_id=e, labelled_individual_id="Ada" if e == named else None)
        for e, photos in of.items()
        for p in photos
    }
    run: Any = SimpleNamespace(run_id="r", model="m")
    monkeypatch.setattr(Desk, "tables", Tables(run, rows, of, {}, {}))
    desk = Desk(Workspace(tmp_path))
    entry = desk.same_as("e", "f", "Ana")
    (other,) = of.keys() - {named}
    assert (entry.kind, entry.photos, entry.individual_id) == (Kind.CONFIRM, of[other], "Ada")


def test_two_without_a_name_become_one_new_animal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {A: photo(A, encounter_id="e"), B: photo(B, encounter_id="f")}
    verdicts = {"f": {"provisional_individual_id": "new-1", "decision": "new", "p_new": 0.9}}
    run: Any = SimpleNamespace(run_id="r", model="m")
    monkeypatch.setattr(Desk, "tables", Tables(run, rows, {"e": (A,), "f": (B,)}, verdicts, {}))
    entry = Desk(Workspace(tmp_path)).same_as("e", "f", "Ana")
    assert (entry.kind, entry.photos, entry.individual_id) == (Kind.SAME_AS, (A, B), "new-1")
