"""The terminal's first line says the night."""

from __future__ import annotations

from datetime import date
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from resight.catalog import table as catalog_table
from resight.cli.output import line, with_links
from resight.cli.screen.run import _the_night
from resight.report.words import photo_link
from resight.store.tables import conform, write_table


@pytest.mark.parametrize(
    ("decisions", "line"),
    [
        (
            ["likely"] * 5 + ["new", "likely_new", "not_compared"],
            "5 likely known, 2 perhaps new, 1 that could not be compared.",
        ),
        (["known"], "1 known."),
        ([], "nothing new."),
    ],
)
def test_tonight_is_apart_from_what_is_open_from_before(tmp_path: Path, decisions: list[str], line: str) -> None:
    folder = tmp_path / "runs" / "2026-06-04-nightly-x"
    folder.mkdir(parents=True)
    is_day = str(catalog_table("photos").schema.field("first_night").type).startswith("date")
    nights = [date(2026, 6, 4)] * len(decisions) + [date(2026, 5, 1)]
    common = {"uris": ["x"], "n_files": 1, "encounter_source": "photo", "viewpoint": "left", "status": "ok", "uri": "x"}
    photos = [common | {"photo_id": f"p{k}", "encounter_id": f"e{k}", "first_night": n if is_day else n.isoformat()} for k, n in enumerate(nights)]  # fmt: skip
    verdict = {
        "n_photos": 1,
        "n_photos_compared": 1,
        "n_calibration": 0,
        "method": "none",
        "evidence": "",
        "status": "ok",
    }
    novelty = [verdict | {"encounter_id": f"e{k}", "decision": d} for k, d in enumerate([*decisions, "unsure"])]
    for name, rows in (("photos", photos), ("novelty", novelty)):
        write_table(folder, name, conform(name, rows, folder.name))
    result = {"folder": str(folder), "run_id": folder.name, "night": "2026-06-04"}
    assert _the_night(result) == f"Tonight: {line} 1 more from before is open. Look at them: resight review"


@pytest.mark.parametrize("terminal", [True, False])
def test_photos_are_links_where_the_terminal_shows_them_and_plain_paths_elsewhere(
    terminal: bool, tmp_path: Path
) -> None:
    uris = ["photos/dive [4]/DSC 1.JPG", "photos/dive [4]/DSC 1.JPG.bak", "s3://bucket/2.jpg"]
    addresses = {uri: photo_link(uri, tmp_path) for uri in uris}
    told = StringIO()
    console = Console(file=told, force_terminal=terminal, color_system="truecolor" if terminal else None, width=20)
    line(console, with_links(f"{uris[1]} and {uris[0]} and {uris[2]}.", addresses))
    address = f"{tmp_path.as_uri()}/photos/dive%20%5B4%5D/DSC%201.JPG"
    assert (
        told.getvalue().count(address) == (2 if terminal else 0) and f"{address}.bak" in told.getvalue()
    ) or not terminal
    assert told.getvalue().count("\x1b]8;") == (4 if terminal else 0)
    if not terminal:
        assert told.getvalue() == f"{uris[1]} and {uris[0]} and {uris[2]}.\n"
