"""The pages of the review, and the door in front of each."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from resight.errors import ResightError, SettingsError
from resight.report.templates import template
from resight.report.words import BADGES
from resight.review import forms
from resight.review.animals import animals
from resight.review.board import Board, key_of
from resight.review.catalogue import Catalogue, WebLinks
from resight.review.catalogue import decide as decide_name
from resight.review.doors import HEADERS, SESSION_HOURS, Doors, Session
from resight.review.pictures import Pictures
from resight.review.view import screen

log = logging.getLogger("resight")
PAGES = Path(__file__).resolve().parent / "pages"
FILES = {"review.js": "text/javascript", "review.css": "text/css"}
NOTHING_KEPT = "nothing was kept; go to the list and choose again."
A_DAY, A_YEAR = "private, max-age=86400", "private, max-age=31536000, immutable"

Answer = Callable[[Request, Session], Response]


class Review:
    """Answers requests; pictures and tables are read in threads, so one slow answer holds up nobody."""

    def __init__(self, board: Board, doors: Doors) -> None:
        self.board, self.doors, self.pictures = board, doors, Pictures(board)
        self.catalogue = Catalogue(board, WebLinks())

    def app(self) -> Starlette:
        """The web application."""
        read, change = self._guarded, self._changing
        return Starlette(
            routes=[
                Route("/login", self.login, methods=["GET", "POST"]),
                Route("/files/{name}", self.file),
                Route("/favicon.ico", lambda _: Response(status_code=204)),
                Route("/", read(self.queue)),
                Route("/e/{key}", read(self.encounter)),
                Route("/e/{key}/decide", change(self.decide), methods=["POST"]),
                Route("/undo", change(self.undo), methods=["POST"]),
                Route("/animals", read(self.animals)),
                Route("/animal/{key}", read(self.animal)),
                Route("/animal/{key}/decide", change(self.decide_name), methods=["POST"]),
                Route("/crop/{crop_id}.jpg", read(self.crop)),
                Route("/photo/{photo_id}.jpg", read(self.photo)),
                Route("/small/crop/{crop_id}.jpg", read(self.small)),
                Route("/small/photo/{photo_id}.jpg", read(self.small_photo)),
                Route("/points/{query}/{gallery}", read(self.points)),
            ],
            exception_handlers={404: _nothing_here, 405: _nothing_here, SettingsError: _odd_form},
        )

    def prepare(self) -> None:
        """Read what the first screens need, so that nobody waits for it."""
        queue = self.board.queue()
        self.pictures.prepare(c.pair for card in queue for c in self.board.candidates(card) if c.pair)

    def queue(self, request: Request, session: Session) -> Response:
        """What is open: where somebody asks, tonight, the backlog; and what is decided."""
        cards = list(self.board.cards().values())
        waiting = self.board.queue(session.by)
        groups = [
            ("A second opinion is wanted", [c for c in waiting if c.asked]),
            ("Tonight", [c for c in waiting if c.tonight and not c.asked]),
            ("Backlog", [c for c in waiting if not c.tonight and not c.asked]),
        ]
        open_keys = {c.key for c in waiting}
        done = [c for c in cards if c.key not in open_keys]
        first = {c.key: next(iter(self.board.crops_of(c.photos[0])), None) for c in [*waiting, *done]}
        best = {c.key: next((x.name for x in self.board.candidates(c) if not x.refused), None) for c in waiting}
        notes = self.board.desk.log.notes
        return self._page(
            "queue.html", session, groups=groups, done=done, first=first, best=best, badges=BADGES, notes=notes
        )

    def encounter(self, request: Request, session: Session) -> Response:
        """The screen of one encounter."""
        return self._screen(request.path_params["key"], session, dict(request.query_params))

    def decide(self, request: Request, session: Session, form: forms.Fields) -> Response:
        """Take a decision and lead on: to the next encounter, or back where this one is still open."""
        key = request.path_params["key"]
        card, entry = self.board.cards().get(key), forms.sent_before(self.board.desk, form)
        if card is None and entry is None:
            return _refused(409, f"This encounter was split, or a new night has come: {NOTHING_KEPT}")
        following = forms.one(form, "next")
        try:
            if entry is None and card is not None:
                entry = forms.decide(self.board, card, form, session.by)
        except SettingsError as error:
            return self._screen(key, session, {}, error=str(error), tried=form, status=422)
        stays = self.board.cards().get(key)
        if entry is None:
            return RedirectResponse("/", 303)
        if stays is not None and stays.state == "open" and entry.kind != "second_opinion":
            return RedirectResponse(f"/e/{key}?done={entry.decision_id}", 303)
        there = following if following in self.board.cards() else ""
        return RedirectResponse((f"/e/{there}" if there else "/") + f"?done={entry.decision_id}", 303)

    def undo(self, request: Request, session: Session, form: forms.Fields) -> Response:
        """Take back the reviewer's last decision, and lead to what it was about."""
        entry = forms.undo_last(self.board.desk, session.by, forms.request_of(form))
        if entry is None:
            return RedirectResponse("/", 303)
        cards = self.board.cards()
        about = next((c.key for c in cards.values() if entry.photos and set(c.photos) & set(entry.photos)), None)
        key = key_of(entry.encounter_id) if key_of(entry.encounter_id) in cards else about
        return RedirectResponse(f"/e/{key}?undone={entry.decision_id}" if key else "/", 303)

    def animals(self, request: Request, session: Session) -> Response:
        """The catalogue."""
        page = self.catalogue.all(session, secrets.token_hex(12))
        return HTMLResponse(page, headers=HEADERS)

    def animal(self, request: Request, session: Session, error: str = "") -> Response:
        """One animal of it."""
        found = animals(self.board)
        animal = found.get(request.path_params["key"])
        if animal is None:
            return _refused(404, "There is no such animal any more.")
        page = self.catalogue.one(animal, found, session, secrets.token_hex(12), error)
        return HTMLResponse(page, 422 if error else 200, HEADERS)

    def decide_name(self, request: Request, session: Session, form: forms.Fields) -> Response:
        """Rename, merge, or keep two names apart."""
        found = animals(self.board).get(request.path_params["key"])
        if found is None:
            if forms.sent_before(self.board.desk, form):
                return RedirectResponse("/animals", 303)
            return _refused(409, f"Nobody is called so any more: {NOTHING_KEPT}")
        try:
            name = decide_name(self.board, found, form, session.by)
        except SettingsError as error:
            return self.animal(request, session, str(error))
        return RedirectResponse(f"/animal/{key_of(name)}", 303)

    def crop(self, request: Request, session: Session) -> Response:
        """A head that was cut out."""
        return _jpeg(self.pictures.crop(request.path_params["crop_id"], self._generation()))

    def photo(self, request: Request, session: Session) -> Response:
        """A whole photo."""
        return _jpeg(self.pictures.photo(request.path_params["photo_id"], self._generation()))

    def small(self, request: Request, session: Session) -> Response:
        """A head as it stands among others."""
        return _jpeg(self.pictures.small(request.path_params["crop_id"], self._generation()))

    def small_photo(self, request: Request, session: Session) -> Response:
        """A photo as it stands among others."""
        return _jpeg(self.pictures.small_photo(request.path_params["photo_id"], self._generation()))

    def points(self, request: Request, session: Session) -> Response:
        """Points of two crops that fit."""
        return JSONResponse(self.pictures.points((request.path_params["query"], request.path_params["gallery"])))

    async def file(self, request: Request) -> Response:
        """Style and script; they hold nothing of anybody."""
        name = request.path_params["name"]
        if name not in FILES or not self.doors.is_our_host(request.headers.get("host")):
            return _refused(404, "There is no such file.")
        data = (PAGES / name).read_bytes()
        kept = {"Cache-Control": A_YEAR} if request.query_params.get("v") == _version(data) else {}
        return Response(data, media_type=FILES[name], headers=HEADERS | kept)

    async def login(self, request: Request) -> Response:
        """By the token of the address, or by name and password."""
        if not self.doors.is_our_host(request.headers.get("host")):
            return _refused(403, "This address is not ours.")
        if request.method == "GET":
            asked = request.query_params
            cookie = (
                self.doors.by_code(asked["code"]) if "code" in asked else self.doors.by_token(asked.get("token", ""))
            )
            return self._let_in(cookie) if cookie else self._login_page()
        if not self.doors.is_our_origin(request.headers.get("origin")):
            return _refused(403, "The form does not come from this program's page.")
        form = forms.read_form(await _body(request))
        name, password = forms.one(form, "name"), (form.get("password") or [""])[-1]
        client = request.client.host if request.client else ""
        cookie = await to_thread.run_sync(self.doors.by_password, name, password, client)
        return self._let_in(cookie) if cookie else self._login_page(wrong=True)

    def _let_in(self, cookie: str) -> Response:
        answer, seconds = RedirectResponse("/", 303, HEADERS), 3600 * SESSION_HOURS
        answer.set_cookie(self.doors.cookie, cookie, max_age=seconds, httponly=True, samesite="strict", path="/")
        return answer

    def _login_page(self, wrong: bool = False, lost: bool = False) -> Response:
        page = template("login.html", PAGES).render(names=list(self.doors.reviewers), wrong=wrong, lost=lost)
        return HTMLResponse(page, 401, HEADERS)

    def _screen(self, key: str, session: Session, asked: dict[str, str], *, error: str = "", tried: Any = None, status: int = 200) -> Response:  # fmt: skip
        card = self.board.cards().get(key)
        if card is None:
            return _refused(404, "There is no such encounter any more; go back to the list.")
        shown = screen(
            self.board, card, session.by,
            chosen=asked.get("with", ""), query=asked.get("query", ""), gallery=asked.get("gallery", ""),
        )  # fmt: skip
        done = next((e for e in self.board.desk.decided.entries if e.decision_id == asked.get("done")), None)
        tried = {k: v[-1] for k, v in (tried or {}).items() if k in ("kind", "name")}
        points = None
        left, right = shown["left"], shown["right"]
        if left and right and left.crop_id and right.crop_id:
            pair = (left.crop_id, right.crop_id)
            points = self.pictures.known(pair)
        shown |= {"error": error, "tried": tried, "done": done, "undone": asked.get("undone"), "points": points}
        return self._page("encounter.html", session, status=status, **shown)

    def _page(self, name: str, session: Session, *, status: int = 200, **values: Any) -> Response:
        values |= {"session": session, "quote": lambda text: quote(str(text), safe="")}
        values.setdefault("request", secrets.token_hex(12))
        values |= {"styles": address("review.css"), "script": address("review.js")}
        return HTMLResponse(template(name, PAGES).render(**values), status, HEADERS)

    def _generation(self) -> str:
        return str(self.board.desk.tables.generation.folder)

    def _guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Only for whoever has a session."""

        async def guarded(request: Request) -> Response:
            if not self.doors.is_our_host(request.headers.get("host")):
                return _refused(403, "This address is not ours.")
            session = self.doors.session(request.cookies.get(self.doors.cookie))
            if session is None:
                return self._login_page()
            return await _answered(answer, request, session)

        return guarded

    def _changing(
        self, answer: Callable[[Request, Session, forms.Fields], Response]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Only for whoever has a session, from our own page, with that session's secret."""

        async def guarded(request: Request) -> Response:
            if not self.doors.is_our_host(request.headers.get("host")):
                return _refused(403, "This address is not ours.")
            session = self.doors.session(request.cookies.get(self.doors.cookie))
            if session is None:
                return self._login_page(lost=True)
            if not self.doors.is_our_origin(request.headers.get("origin")):
                return _refused(403, "The form does not come from this program's page.")
            form = forms.read_form(await _body(request))
            if not secrets.compare_digest(forms.one(form, "csrf").encode(), session.secret.encode()):
                return _refused(403, "The page is too old; load it again.")
            return await _answered(answer, request, session, form)

        return guarded


def address(name: str) -> str:
    """Where style or script is, with its version: a browser then asks once for each, and not with every screen."""
    return f"/files/{name}?v={_version((PAGES / name).read_bytes())}"


def _version(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]


async def _answered(answer: Callable[..., Response], *arguments: Any) -> Response:
    try:
        return await to_thread.run_sync(answer, *arguments)
    except ResightError as error:
        return _refused(409, str(error))
    except Exception as error:  # whatever it is: a sentence on the page, and no end of the review
        log.warning("A page could not be made (%s: %s).", type(error).__name__, error)
        log.debug("Where it happened:", exc_info=True)
        return _refused(500, f"Something went wrong ({type(error).__name__}: {error}). Load the page again.")


async def _body(request: Request) -> bytes:
    """The form, or an empty one where it is larger than any of ours."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > forms.MOST_BYTES:
            return b""
    return data


def _odd_form(request: Request, error: Exception) -> Response:
    return _refused(400, str(error))


def _nothing_here(request: Request, error: Exception) -> Response:
    return _refused(404, "There is no such page.")


def _jpeg(data: bytes) -> Response:
    return Response(data, media_type="image/jpeg", headers=HEADERS | {"Cache-Control": A_DAY})


def _refused(status: int, why: str) -> Response:
    return HTMLResponse(template("refused.html", PAGES).render(why=why), status, HEADERS)
