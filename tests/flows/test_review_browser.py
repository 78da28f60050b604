"""The review in a real browser: by keyboard through an evening, killed in the middle, and the night after."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flow_helpers import SMALL
from review_server import served
from typer.testing import CliRunner

from resight.cli.app import app
from resight.decisions.desk import Desk
from resight.decisions.entry import Entry, Kind
from resight.decisions.log import DecisionLog
from resight.flows.nightly import run_nightly
from resight.review.board import Board, key_of
from resight.review.catalogue import write_catalogue
from resight.store.runs import read_current
from resight.store.workspace import Workspace

pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
WIDTHS = (1440, 390)
NOT_SEEN_MS = 350  # a little more than the page's own
# A document that is loaded anew has no mark. Waited for with a selector: the page forbids what evaluates strings later.
MARK = "html => { html.dataset.mark = '' }"
LOADED_ANEW = "html:not([data-mark]) [data-encounter]"


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert not problems


def press(page: Any, *keys: str) -> str:
    """Press keys; the last one leads to a new page, whose decision is given back."""
    page.wait_for_timeout(NOT_SEEN_MS)
    for key in keys[:-1]:
        page.keyboard.press(key)
    before = page.url
    page.keyboard.press(keys[-1])
    page.wait_for_url(lambda url: url != before)
    page.wait_for_load_state()
    found: list[str] = re.findall(r"(?:done|undone)=(\w+)", page.url)
    return found[0] if found else ""


def kinds(workspace: Workspace) -> list[str]:
    return [str(e.kind) for e in DecisionLog(workspace).entries()]


def test_an_evening_by_keyboard_survives_a_kill_and_the_next_night_heeds_it(reviewed_workspace: Workspace, page: Any) -> None:  # fmt: skip
    kept: list[str] = []
    with served(reviewed_workspace.root) as (address, process):
        page.goto(address)
        page.locator(".item").first.click()
        page.wait_for_load_state()
        assert page.locator(".over circle").count() > 10, "points that fit are drawn"
        kept.append(press(page, "Enter"))
        kept.append(press(page, "r"))
        kept.append(press(page, "n", "Enter"))
        kept.append(press(page, "s", "1", "Enter"))
        process.send_signal(signal.SIGKILL)
        process.wait()
    entries = DecisionLog(reviewed_workspace).entries()
    assert [e.decision_id for e in entries] == kept and all(kept), "no decision is lost, none is there twice"
    assert kinds(reviewed_workspace) == ["confirm", "reject", "new", "split"]

    with served(reviewed_workspace.root) as (address, _):
        page.goto(address)
        page.locator(".item").first.click()
        page.wait_for_load_state()
        press(page, "u")
        press(page, "z")
        page.wait_for_timeout(NOT_SEEN_MS)
        page.keyboard.press("m")
        page.locator("#same select").select_option(index=0)
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"\?done="))
    assert kinds(reviewed_workspace)[4:6] == ["cannot_tell", "undo"] and len(kinds(reviewed_workspace)) == 7

    run_nightly(reviewed_workspace.root, "2026-06-05", SMALL, quiet=True)
    photos = _rows(reviewed_workspace, "photos")
    for entry in entries:
        _check(entry, photos, _rows(reviewed_workspace, "identifications"))
    assert len(_rows(reviewed_workspace, "decisions")) == 7

    (new,) = [e.individual_id for e in entries if e.kind is Kind.NEW]
    with served(reviewed_workspace.root) as (address, _):
        page.goto(address)
        page.get_by_role("link", name="Catalogue of animals").click()
        page.locator(".item b", has_text=str(new)).click()
        assert page.locator("h1").inner_text() == new and page.locator(".best img").count() >= 1
    told = CliRunner().invoke(app, ["export", "xlsx", "--json", "-w", str(reviewed_workspace.root)])
    assert told.exit_code == 0 and json.loads(told.stdout)["counts"]["confirmed"] >= 10


def _check(entry: Entry, photos: list[dict[str, Any]], candidates: list[dict[str, Any]]) -> None:
    own = [r for r in photos if r["photo_id"] in entry.photos]
    encounters = {r["encounter_id"] for r in own}
    if entry.kind in (Kind.CONFIRM, Kind.NEW):
        assert {r["individual_id"] for r in own} == {entry.individual_id}
    if entry.kind is Kind.SPLIT:
        assert len(encounters) == 2 or all(r["individual_id"] for r in own)
    if entry.kind is Kind.REJECT:
        about = [r for r in candidates if r["encounter_id"] in encounters]
        assert entry.individual_id not in {r["individual_id"] for r in about}


def _rows(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    table = read_current(workspace, name)
    assert table is not None
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def test_a_kill_between_key_and_answer_loses_nothing_that_was_shown_as_kept(reviewed_workspace: Workspace, page: Any) -> None:  # fmt: skip
    shown: list[str] = []
    for _ in range(3):
        with served(reviewed_workspace.root) as (address, process):
            page.goto(address)
            page.locator(".item").first.click()
            page.wait_for_load_state()
            shown.append(press(page, "u"))
            page.wait_for_timeout(NOT_SEEN_MS)
            page.keyboard.press("u")
            process.send_signal(signal.SIGKILL)
            process.wait()
    log = DecisionLog(reviewed_workspace)
    entries = log.entries()
    assert not log.notes and set(shown) <= {e.decision_id for e in entries}
    assert len({e.request for e in entries}) == len({e.photos for e in entries}) == len(entries), "none is there twice"


def test_pictures_zoom_together_and_a_box_is_drawn(reviewed_workspace: Workspace, page: Any) -> None:
    with served(reviewed_workspace.root) as (address, _):
        page.goto(address)
        page.locator(".item").first.click()
        page.wait_for_load_state()
        images = page.locator(".pane img")
        before = [images.nth(k).evaluate("i => i.getBoundingClientRect().width") for k in (0, 1)]
        page.locator(".pane").first.hover()
        page.mouse.wheel(0, -300)
        after = [images.nth(k).evaluate("i => i.getBoundingClientRect().width") for k in (0, 1)]
        assert after[0] / before[0] == pytest.approx(1.25, rel=0.01) and after[1] / before[1] == pytest.approx(
            1.25, rel=0.01
        )
        page.keyboard.press("b")
        area = page.locator("#draw img")
        area.wait_for()
        box = area.bounding_box()
        page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.75 * box["height"])
        page.mouse.up()
        page.locator("html").evaluate(MARK)
        page.locator("#crop .first").click()
        page.wait_for_url(re.compile(r"\?done="))
        assert page.locator("html[data-mark] h1").evaluate("e => e === document.activeElement"), (
            "no page is set up anew"
        )
        page.go_back()
        page.locator(LOADED_ANEW).wait_for()
    (entry,) = DecisionLog(reviewed_workspace).entries()
    assert entry.kind is Kind.BAD_CROP and entry.box_px == pytest.approx((150, 112.5, 300, 225), abs=4)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_can_be_used_by_everybody(reviewed_workspace: Workspace, chromium: Any, scheme: str, width: int, tmp_path: Path) -> None:  # fmt: skip
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
    board = Board(Desk(reviewed_workspace))
    key, animal = board.queue()[0].key, key_of(sorted(board.desk.animals())[0])
    write_catalogue(board, tmp_path / "folder")
    pages = {"list": "/", "e": f"/e/{key}", "en": f"/e/{key}", "eb": f"/e/{key}", "nothing": "/nothing"}
    pages |= {"animals": "/animals", "animal": f"/animal/{animal}"}
    with served(reviewed_workspace.root) as (address, _):
        context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
        page = context.new_page()
        page.goto(address)
        root = address.split("/login")[0]
        files = {f"folder-{name}": (tmp_path / "folder" / f"{name}.html").as_uri() for name in ("index", animal)}
        for name, where in ({name: root + path for name, path in pages.items()} | files).items():
            page.goto(where)
            if name in ("en", "eb"):
                page.keyboard.press(name[1])
            for details in page.locator("details").all():
                details.evaluate("d => { d.open = true }")
            found = axe.Axe().run(page).response["violations"]
            assert not found, [(name, v["id"], [n["html"] for n in v["nodes"]]) for v in found]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert _stops(page) or name == "nothing", f"{name}: the key Tab must lead on, and show where it is"
            shots = os.environ.get("RESIGHT_SCREENSHOTS")
            if shots:
                page.screenshot(path=str(Path(shots) / f"{name}-{width}-{scheme}.png"), full_page=len(name) != 2)
        context.close()


def _stops(page: Any) -> int:
    """At how many places Tab stops, of ten; each must show it."""
    seen = set()
    for _ in range(10):
        page.keyboard.press("Tab")
        style = page.evaluate(
            "(e => [e.outerHTML.slice(0, 200), getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth])(document.activeElement)"
        )
        if not style[0].startswith("<body"):
            assert style[1] != "none" and style[2] != "0px", style
            seen.add(style[0])
    return len(seen)


def opened(page: Any, address: str) -> None:
    """The first encounter, looked at for long enough to decide."""
    page.goto(address)
    page.locator(".item").first.click()
    page.wait_for_load_state()
    page.wait_for_timeout(NOT_SEEN_MS)


def test_nothing_is_decided_on_an_encounter_that_nobody_can_have_seen(reviewed_workspace: Workspace, page: Any) -> None:
    again = "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'u', bubbles: true }))"
    twice = "document.querySelector('[data-key=U]').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, detail: 2 }))"
    with served(reviewed_workspace.root) as (address, _):
        opened(page, address)
        page.evaluate(f"new MutationObserver((_, of) => {{ of.disconnect(); {again} }}).observe(document.body, {{ childList: true }})")  # fmt: skip
        first = press(page, "u")
        page.wait_for_timeout(NOT_SEEN_MS)
        page.evaluate(twice)
        page.wait_for_timeout(2 * NOT_SEEN_MS)  # a decision that came through would be there
        assert [e.decision_id for e in DecisionLog(reviewed_workspace).entries()] == [first]
        page.locator("html").evaluate(MARK)
        page.evaluate("document.querySelector('link[rel=stylesheet]').setAttribute('href', '/files/review.css?v=0')")
        press(page, "u")
        page.locator(LOADED_ANEW).wait_for()  # a new style
    assert kinds(reviewed_workspace) == ["cannot_tell"] * 2


def test_the_button_that_was_pressed_is_heeded_by_every_browser(reviewed_workspace: Workspace, page: Any) -> None:
    with served(reviewed_workspace.root) as (address, _):
        opened(page, address)
        page.evaluate("void (window.FormData = class extends FormData { constructor(form) { super(form); } })")
        page.keyboard.press("b")
        page.get_by_role("button", name="No head in this crop").click()
        page.wait_for_url(re.compile(r"\?done="))
    assert kinds(reviewed_workspace) == ["not_a_head"]


def test_whoever_leaves_while_a_decision_is_sent_comes_where_they_want(
    reviewed_workspace: Workspace, page: Any
) -> None:
    ended = "void (window.fetch = () => new Promise((_, fail) => addEventListener('beforeunload', () => fail(new Error('left')))))"
    with served(reviewed_workspace.root) as (address, _):
        for leave in (lambda: page.get_by_role("link", name="List").click(), lambda: page.keyboard.press("Escape")):
            opened(page, address)
            page.evaluate(ended)
            page.keyboard.press("u")
            leave()
            page.locator(".item").first.wait_for(timeout=5000)
            assert not kinds(reviewed_workspace)
        opened(page, address)
        page.evaluate("(limit => { AbortSignal.timeout = () => limit.call(AbortSignal, 100) })(AbortSignal.timeout)")
        page.evaluate("void (window.fetch = (_, { signal }) => new Promise((_, fail) => signal.addEventListener('abort', () => fail(signal.reason))))")  # fmt: skip
        assert press(page, "u"), "as without the script, where no answer comes"
    assert kinds(reviewed_workspace) == ["cannot_tell"]
