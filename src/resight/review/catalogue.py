"""The pages of the catalogue: in the app, and as a folder to take along."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from resight.decisions.entry import Kind
from resight.errors import SettingsError
from resight.report.templates import template
from resight.review import forms
from resight.review.animals import RENAMING, Animal, animals, curve, plotted, season, timeline
from resight.review.board import Board, Crop, key_of
from resight.review.pictures import Pictures
from resight.store.durable import write_bytes

PAGES = Path(__file__).resolve().parent / "pages"


class WebLinks:
    """Addresses in the app."""

    styles = "/files/review.css"

    def all(self) -> str:
        """The list of all animals."""
        return "/animals"

    def animal(self, animal: Animal) -> str:
        """The page of one."""
        return f"/animal/{animal.key}"

    def named(self, name: str) -> str:
        """The page of the animal with that name."""
        return f"/animal/{key_of(name)}"

    def crop(self, crop: Crop) -> str:
        """A picture."""
        return f"/crop/{quote(crop.crop_id or '', safe='')}.jpg"

    def small(self, crop: Crop) -> str:
        """The same among others."""
        return f"/small/crop/{quote(crop.crop_id or '', safe='')}.jpg"


class FileLinks(WebLinks):
    """Names of files in one folder."""

    styles = "review.css"

    def all(self) -> str:
        return "index.html"

    def animal(self, animal: Animal) -> str:
        return f"{animal.key}.html"

    def named(self, name: str) -> str:
        return f"{key_of(name)}.html"

    def crop(self, crop: Crop) -> str:
        return f"pictures/{self._name(crop)}.jpg"

    def small(self, crop: Crop) -> str:
        return f"pictures/{self._name(crop)}-small.jpg"

    def _name(self, crop: Crop) -> str:
        return hashlib.sha256((crop.crop_id or "").encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Catalogue:
    """Draws the pages; ``session`` is None in a folder, where nothing can be decided."""

    board: Board
    links: WebLinks

    def all(self, session: Any = None, request: str = "") -> str:
        """All animals, and the season's figures."""
        found = animals(self.board)
        numbers = season(found)
        values = {"found": found, "season": numbers, "discovery": curve(numbers.discovered)}
        return self._page("animals.html", session=session, request=request, **values)

    def one(
        self, animal: Animal, found: Mapping[str, Animal], session: Any = None, request: str = "", error: str = ""
    ) -> str:
        """One animal of all that were found."""
        places, bar = plotted([s.place for s in animal.sightings if s.place])
        days = [d for a in found.values() for d in (a.first, a.last) if d]
        ends = (min(days), max(days)) if animal.first and days else None  # of all animals: a gap shows who was away
        ticks = timeline(animal.sightings, *ends) if ends else []
        values = {"animal": animal, "places": places, "bar": bar, "ends": ends, "ticks": ticks, "session": session}
        return self._page("animal.html", **values, request=request, error=error)

    def _page(self, name: str, **values: Any) -> str:
        return template(name, PAGES).render(link=self.links, styles=self.links.styles, **values)


def decide(board: Board, animal: Animal, form: forms.Fields, by: str) -> str:
    """Take the decision about a name that a form asks for; the name that the animal has afterwards.

    Raises:
        SettingsError: It does not fit what is known.
    """
    kind, into = forms.one(form, "kind"), forms.one(form, "into")
    if kind not in RENAMING or not into:
        raise SettingsError("Say which name.")
    said = {"individual_id": animal.name, "into": into, "request": forms.request_of(form)}
    board.desk.decide(board.desk.entry(Kind(kind), by, **said))
    return board.desk.decided.called(animal.name)


def write_catalogue(board: Board, out: Path) -> Mapping[str, Any]:
    """Write the catalogue as pages that any browser opens without Resight.

    Args:
        board: What is known.
        out: A folder; files of an earlier catalogue in it are replaced.
    """
    pages, pictures, found = Catalogue(board, FileLinks()), Pictures(board), animals(board)
    for animal in found.values():
        for crop in animal.crops:
            if crop.crop_id:
                write_bytes(out / pages.links.crop(crop), pictures.crop(crop.crop_id, ""))
                write_bytes(out / pages.links.small(crop), pictures.small(crop.crop_id, ""))
        write_bytes(out / pages.links.animal(animal), pages.one(animal, found).encode())
    write_bytes(out / "index.html", pages.all().encode())
    write_bytes(out / "review.css", (PAGES / "review.css").read_bytes())
    return {"out": str(out), "animals": len(found), "page": str(out / "index.html")}
