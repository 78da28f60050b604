"""Excel workbooks in which text stays text."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resight.export.base import need_package

MOST_CHARACTERS = 32767  # of a cell, says Excel
WIDEST = 60
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True)
class Sheet:
    """A sheet: its first row are the columns, and stays in view."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


def workbook_bytes(sheets: Sequence[Sheet]) -> bytes:
    """A workbook of these sheets.

    Raises:
        SettingsError: The package openpyxl is not installed.
    """
    openpyxl = need_package("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for sheet in sheets:
        page = book.create_sheet(sheet.title)
        for number, column in enumerate(sheet.columns, 1):
            _fill(page.cell(1, number), column)
            page.cell(1, number).font = openpyxl.styles.Font(bold=True)
            width = max([len(column), *(len(str(row.get(column) or "")) for row in sheet.rows)])
            page.column_dimensions[openpyxl.utils.get_column_letter(number)].width = min(width, WIDEST) + 2
            for line, row in enumerate(sheet.rows, 2):
                _fill(page.cell(line, number), row.get(column))
        page.freeze_panes = "A2"
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


def _fill(cell: Any, value: Any) -> None:
    """Text is marked as text: a name that begins with '=' is no formula. Lists are joined, control characters dropped."""
    if isinstance(value, list):
        value = "; ".join(str(part) for part in value)
    if isinstance(value, str):
        cell.value = CONTROL.sub("", value)[:MOST_CHARACTERS]
        cell.data_type = "s"
    elif value is not None:
        cell.value = value
