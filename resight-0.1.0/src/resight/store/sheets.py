"""Names of the files in which the pictures of a large page lie beside it: ``report-pictures-001.jpg`` beside ``report.html``."""

from __future__ import annotations

import re
from pathlib import Path


def sheet_name(stem: str, number: int) -> str:
    """Name of a page's sheet, from the page's name without its ending; the first has the number 1."""
    return f"{stem}-pictures-{number:03d}.jpg"


def is_sheet(name: str, stem: str) -> bool:
    """Whether a file of that name is a sheet of the page."""
    return re.fullmatch(re.escape(stem) + r"-pictures-\d{3}\.jpg", name) is not None


def sheets_of(page: Path) -> list[Path]:
    """The sheets that lie beside a page."""
    return sorted(file for file in page.parent.iterdir() if is_sheet(file.name, page.stem))
