"""A page of 200 encounters in a real browser: what it opens with, on a phone, on paper, and after its folder was copied."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from resight.report.page import render_report
from resight.report.params import ReportParams
from resight.report.pictures import CELL_PX, CELLS, Beside

MANY = 200


def lively() -> np.ndarray:
    """A crop whose JPEG is as large as that of a real head."""
    rng = np.random.default_rng(1)
    soft = cv2.GaussianBlur(rng.integers(0, 255, (480, 640, 3), np.uint8), (0, 0), 2.2).astype(float)
    rgb = np.clip((soft - 127) * 3.5 + 127, 0, 255).astype(np.uint8)
    return np.dstack([rgb, np.full((480, 640), 255, np.uint8)])


@pytest.fixture(scope="module")
def folder(drawn: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page and its pictures, in a folder that was copied from where it was made."""
    made = tmp_path_factory.mktemp("made")
    beside = Beside("report")
    html = render_report(drawn(MANY, lively()), ReportParams(earlier_encounters=MANY), beside)
    for name, content in beside.files.items():
        (made / name).write_bytes(content)
    (made / "report.html").write_text(html, encoding="utf-8")
    copied = tmp_path_factory.mktemp("copied") / "a night [1]"
    shutil.move(made, copied)
    return copied


def test_it_opens_with_less_than_3_mb_though_its_pictures_are_many_times_as_much(folder: Path, chromium: Any) -> None:
    html = (folder / "report.html").read_text(encoding="utf-8")
    sheets = sorted(folder.glob("report-pictures-*.jpg"))
    assert sum(file.stat().st_size for file in sheets) > 9e6 and len(sheets) <= 20
    named = re.findall(r'<img ([^>]*)src="(report-pictures-\d{3}\.jpg)"', html)
    assert {name for _, name in named} == {file.name for file in sheets} and len(named) >= 5 * MANY
    assert all('loading="lazy"' in attributes for attributes, _ in named)

    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto((folder / "report.html").as_uri())
    page.wait_for_load_state("networkidle")
    opened = {name for name in asked if name.endswith(".jpg")}
    assert len(html.encode()) + sum((folder / name).stat().st_size for name in opened) < 3e6
    page.locator("article").nth(MANY // 2).scroll_into_view_if_needed()
    seen = page.locator("article").nth(MANY // 2).locator("img").first
    page.wait_for_function("e => e.complete && e.naturalWidth > 0", arg=seen.element_handle())
    assert {name for name in asked if name.endswith(".jpg")} - opened, "pictures come as they are looked at"
    shots = os.environ.get("RESIGHT_SCREENSHOTS")
    if shots:
        page.wait_for_timeout(500)
        page.screenshot(path=str(Path(shots) / "report-large-1440.png"))
    page.close()
    assert f"width: {CELL_PX * CELLS}px; height: {CELL_PX * CELLS}px" in html


def test_few_encounters_are_one_file(drawn: Any) -> None:
    beside = Beside("report")
    html = render_report(drawn(4, lively()), ReportParams(), beside)
    assert not beside.files and html.count("data:image/jpeg") == 20 and "<img" not in html


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_everybody_can_use_it_also_on_a_phone(
    drawn: Any, chromium: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
    (tmp_path / "report.html").write_text(render_report(drawn(4, lively()), ReportParams()), encoding="utf-8")
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(page).response["violations"]
    assert not found, [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found]
    shots = os.environ.get("RESIGHT_SCREENSHOTS")
    if shots:
        page.screenshot(path=str(Path(shots) / f"report-{width}-{scheme}.png"), full_page=True)
    context.close()


def test_each_encounter_is_printed_on_a_sheet_of_its_own(drawn: Any, chromium: Any, tmp_path: Path) -> None:
    sheets = []
    for n in (2, 5):
        file = tmp_path / f"{n}.html"
        file.write_text(render_report(drawn(n, lively()), ReportParams()), encoding="utf-8")
        page = chromium.new_page()
        page.goto(file.as_uri())
        pdf = page.pdf(prefer_css_page_size=True)
        sheets.append(len(re.findall(rb"/Type\s*/Page\b", pdf)))
        page.close()
        shots = os.environ.get("RESIGHT_SCREENSHOTS")
        if shots:
            (Path(shots) / f"report-{n}.pdf").write_bytes(pdf)
    assert sheets == [2 + 2, 2 + 5], "the list, each encounter, and how the page was made"
