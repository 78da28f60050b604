"""Decisions for tests."""

from __future__ import annotations

from typing import Any

import pytest
from decision_helpers import A, MakeEntry

from resight.decisions.entry import Entry, Kind


@pytest.fixture
def make() -> MakeEntry:
    """Decisions with rising times."""
    count = iter(range(1, 1000))

    def entry(kind: Kind, photos: tuple[str, ...] = (A,), **said: Any) -> Entry:
        at = f"2026-06-04T20:{next(count):02d}:00.000000+00:00"
        return Entry(kind=kind, by=said.pop("by", "Ana"), at=at, photos=photos, **said)

    return entry
