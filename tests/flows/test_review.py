"""The pages of the review: what they show, what a form does, and who is kept out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flow_helpers import HERE, HOSTS
from starlette.testclient import TestClient

from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.review.app import Review
from resight.review.board import Board, Card, key_of
from resight.review.doors import COOKIE, TRIES, Doors
from resight.review.serve import Sharing, _doors
from resight.review.view import screen
from resight.status import Decision
from resight.store.workspace import Workspace

PASSWORD = "sea grass and sand"


@pytest.fixture
def review(reviewed_workspace: Workspace) -> Review:
    return Review(Board(Desk(reviewed_workspace)), Doors.for_this_machine(HOSTS, "Ana"))


@pytest.fixture
def ana(review: Review) -> Iterator[TestClient]:
    """A browser with a session."""
    with TestClient(review.app(), base_url=HERE, follow_redirects=False) as client:
        client.get("/login", params={"token": review.doors.token or ""})
        yield client


def cards(review: Review) -> list[Card]:
    return review.board.queue("Ana")


def secret(page: str) -> dict[str, str]:
    """What the forms of a page bring."""
    return {name: re.findall(rf'name="{name}" value="([^"]*)"', page)[0] for name in ("csrf", "request", "next")}


def post(client: TestClient, path: str, page: str | None = None, **fields: Any) -> Any:
    page = client.get(path.removesuffix("/decide")).text if page is None else page
    return client.post(path, data=secret(page) | fields, headers={"origin": HERE})


def decide(client: TestClient, card: Card, kind: str, **fields: Any) -> Any:
    return post(client, f"/e/{card.key}/decide", kind=kind, **fields)


def test_the_list_has_every_open_encounter_and_the_screen_its_photos_candidates_and_line(review: Review, ana: TestClient) -> None:  # fmt: skip
    waiting = cards(review)
    page = ana.get("/").text
    assert len(waiting) >= 4 and all(f"/e/{card.key}" in page for card in waiting)
    for card in waiting:
        page = ana.get(f"/e/{card.key}").text
        assert all(name.name in page for name in review.board.candidates(card))
        assert page.count('class="thumb"') >= len(card.photos) == 2
        assert "points fit" in page and "dive #4, 100 % &lt;b&gt;ü" in page and "<b>ü" not in page
        for address in re.findall(r'src="(/(?:crop|small/crop)/[^"]+)"', page)[:4]:
            assert ana.get(address).content.startswith(b"\xff\xd8")


def test_only_points_that_fit_are_given_and_their_number_is_that_of_the_table(review: Review, ana: TestClient) -> None:
    told = []
    for card in cards(review):
        for candidate in review.board.candidates(card):
            assert candidate.pair and candidate.fits is not None
            found = ana.get("/points/{}/{}".format(*candidate.pair)).json()
            assert found["tried"] and len(found["points"]) == min(found["n_fit"], 60)
            assert found["n_fit"] <= candidate.fits  # of the strongest 80 matches, of which the points are kept
            told.append(found["n_fit"])
    assert min(told) < max(told)


def test_confirm_leads_on_and_undo_leads_back(review: Review, ana: TestClient) -> None:
    first, second, *_ = cards(review)
    name = review.board.candidates(first)[0].name
    answer = decide(ana, first, "confirm", name=name)
    assert answer.status_code == 303 and answer.headers["location"].startswith(f"/e/{second.key}?done=")
    assert first.key not in {c.key for c in cards(review)}
    (entry,) = review.board.desk.log.entries()
    assert (entry.by, entry.individual_id, set(entry.photos)) == ("Ana", name, set(first.photos))
    assert entry.evidence["candidates"] and entry.run_id and entry.model
    back = post(ana, "/undo", ana.get(f"/e/{second.key}").text)
    assert back.headers["location"].startswith(f"/e/{first.key}?undone=")
    assert first.key in {c.key for c in cards(review)}


def test_every_key_of_the_screen_is_a_decision(review: Review, ana: TestClient) -> None:
    one, two, three, four, *_ = cards(review)
    name = review.board.candidates(one)[0].name
    decide(ana, one, "reject", name=name)
    candidates = review.board.candidates(one)
    assert candidates[-1].name == name and candidates[-1].refused and f"Not {name}" not in ana.get(f"/e/{one.key}").text
    decide(ana, one, "new", name="Marina")
    decide(ana, two, "same_as", other=one.key)
    assert review.board.cards()[two.key].name == "Marina"
    decide(ana, three, "split", photo=[three.photos[0]])
    parts = [c for c in cards(review) if set(c.photos) < set(three.photos)]
    assert len(parts) == 2 and all(review.board.candidates(part) for part in parts)
    decide(ana, parts[0], "cannot_tell")
    decide(ana, parts[1], "does_not_belong")
    states = {c.key: c.state for c in review.board.cards().values()}
    assert (states[parts[0].key], states[parts[1].key]) == ("cannot_tell", "taken_out")
    decide(ana, four, "side", side="top", photo=four.photos[0])
    assert {c.viewpoint for c in review.board.crops_of(four.photos[0])} == {"top"}
    (crop,) = review.board.crops_of(four.photos[1])
    assert crop.box_px is not None
    box = ",".join(str(v) for v in crop.box_px)
    decide(ana, four, "not_a_head", photo=four.photos[1], crop_box_px=box)
    assert review.board.crops_of(four.photos[1])[0].crop_id is None
    kinds = {e.kind for e in review.board.desk.log.entries()}
    assert kinds == {Kind.REJECT, Kind.NEW, Kind.CONFIRM, Kind.SPLIT, Kind.CANNOT_TELL, Kind.DOES_NOT_BELONG, Kind.SIDE, Kind.NOT_A_HEAD}  # fmt: skip


def test_two_unknown_encounters_become_one_animal(review: Review, ana: TestClient) -> None:
    one, two, *_ = cards(review)
    decide(ana, one, "same_as", other=two.key)
    assert review.board.cards()[one.key].name == review.board.cards()[two.key].name == review.board.desk.provisional_name(two.encounter_id)  # fmt: skip


def test_a_misspelt_name_is_asked_about_and_nothing_is_kept(review: Review, ana: TestClient) -> None:
    card, known = cards(review)[0], sorted(review.board.desk.animals())[0]
    answer = decide(ana, card, "new", name=known.upper())
    assert (
        answer.status_code == 422 and f"did you mean {known}?" in answer.text and "It is another animal" in answer.text
    )
    assert review.board.desk.log.entries() == ()
    assert decide(ana, card, "new", name=known.upper(), really_new="yes").status_code == 303


def test_a_second_opinion_waits_for_the_others(review: Review, ana: TestClient) -> None:
    card = cards(review)[0]
    decide(ana, card, "second_opinion", note="scar?")
    assert card.key not in {c.key for c in review.board.queue("Ana")}
    assert review.board.queue("Ben")[0].key == card.key and review.board.queue("Ben")[0].asked == "Ana"
    desk = review.board.desk
    desk.decide(desk.entry(Kind.CANNOT_TELL, "Ben", card.photos))
    assert card.key not in {c.key for c in review.board.queue("Ben")}


def test_the_same_request_twice_is_one_decision(review: Review, ana: TestClient) -> None:
    card = cards(review)[0]
    page = ana.get(f"/e/{card.key}").text
    for _ in range(2):
        post(ana, f"/e/{card.key}/decide", page, kind="cannot_tell")
    assert len(review.board.desk.log.entries()) == 1


def test_hostile_names_and_notes_are_text_on_the_page(review: Review, ana: TestClient) -> None:
    card = cards(review)[0]
    evil = "<script>alert(1)</script>\"'&"
    decide(ana, card, "new", name=evil, note="<img src=x onerror=alert(2)>")
    for path in ("/", f"/e/{card.key}"):
        page = ana.get(path).text
        assert "<script>alert" not in page and "<img src=x" not in page and "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    "path", ["/", "/e/x", "/crop/x.jpg", "/photo/x.jpg", "/small/crop/x.jpg", "/small/photo/x.jpg", "/points/a/b"]
)
def test_nothing_is_shown_without_a_session(review: Review, path: str) -> None:
    with TestClient(review.app(), base_url=HERE) as stranger:
        stranger.cookies.set(COOKIE, "guessed")
        answer = stranger.get(path)
        assert answer.status_code == 401 and "dive" not in answer.text
        assert stranger.get("/login", params={"token": "wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "fields", "status"),
    [
        ({"origin": "http://evil.example"}, {}, 403),
        ({"origin": "null"}, {}, 403),
        ({}, {}, 403),
        ({"origin": "https://127.0.0.1:8765"}, {}, 403),
        ({"origin": HERE, "host": "evil.example:8765"}, {}, 403),
        ({"origin": HERE}, {"csrf": "guessed"}, 403),
        ({"origin": HERE}, {"kind": "rename"}, 422),
        ({"origin": HERE}, {"kind": "<b>"}, 422),
        ({"origin": HERE}, {"kind": "confirm", "name": "x" * 300_000}, 403),
    ],
)
def test_requests_from_elsewhere_change_nothing(review: Review, ana: TestClient, headers: dict[str, str], fields: dict[str, str], status: int) -> None:  # fmt: skip
    card = cards(review)[0]
    data = secret(ana.get(f"/e/{card.key}").text) | {"kind": "cannot_tell"} | fields
    answer = ana.post(f"/e/{card.key}/decide", data=data, headers=headers)
    assert answer.status_code == status
    assert review.board.desk.log.entries() == ()


def test_another_host_name_sees_nothing(review: Review, ana: TestClient) -> None:
    assert ana.get("/", headers={"host": "rebound.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/files/..%2f..%2fapp.py", "/files/app.py", "/crop/..%2f..%2f..%2fresight.toml.jpg", "/photo/%2e%2e%2fresight.toml.jpg", "/photo/..%5c..%5cx.jpg", "/small/photo/..%2f..%2fx.jpg"])  # fmt: skip
def test_no_path_leads_out_of_the_pictures(ana: TestClient, path: str) -> None:
    answer = ana.get(path)
    assert answer.status_code in (404, 409) and b"ingest" not in answer.content


def test_pages_load_nothing_from_elsewhere_and_cannot_be_framed(review: Review, ana: TestClient) -> None:
    answer = ana.get(f"/e/{cards(review)[0].key}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert not re.findall(r'(?:src|href|action)="(?!/)[^"]*"', answer.text) and "style=" not in answer.text
    cookie = ana.get("/login", params={"token": review.doors.token or ""}).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie


def test_reviewers_of_a_team_log_in_and_nobody_else(reviewed_workspace: Workspace) -> None:
    doors = Doors.for_a_team(HOSTS, ["Ana", "Ben"], PASSWORD)
    app = Review(Board(Desk(reviewed_workspace)), doors).app()
    with TestClient(app, base_url=HERE, follow_redirects=False) as client:
        origin = {"origin": HERE}
        assert client.get("/login", params={"token": ""}).status_code == 401
        assert client.post("/login", data={"name": "Ben", "password": PASSWORD}).status_code == 403
        for name, password in (("Ben", "guessed"), ("Eve", PASSWORD), ("Ben", "")):
            answer = client.post("/login", data={"name": name, "password": password}, headers=origin)
            assert answer.status_code == 401 and "wrong" in answer.text
        assert client.post("/login", data={"name": "Ben", "password": PASSWORD}, headers=origin).status_code == 303
        assert "Ben" in client.get("/").text
    for _ in range(TRIES):
        doors.by_password("Ben", "guessed", "10.0.0.9")
    assert doors.by_password("Ben", PASSWORD, "10.0.0.9") is None, "after many wrong ones a minute of rest"
    assert doors.by_password("Ben", PASSWORD, "10.0.0.7"), "who guesses holds up nobody else"
    assert doors.by_password("Ana", PASSWORD, "10.0.0.9"), "nor another name at the same address"


def test_an_animal_that_only_another_encounter_points_to_comes_first_and_the_line_says_why(review: Review) -> None:
    card = cards(review)[0]
    linked = replace(card, verdict={**card.verdict, "individual_id": "Zora", "probability": 0.9})
    first, second, *_ = review.board.candidates(linked)
    assert (first.name, first.pair) == ("Zora", None) and second.name == review.board.candidates(card)[0].name
    assert "another encounter links the two" in screen(review.board, linked, "Ana")["line"]


def test_the_headline_gives_the_probability_of_what_it_says_whoever_is_compared_with(review: Review) -> None:
    card = next(c for c in cards(review) if c.decision == Decision.LIKELY)
    first, second, *_ = review.board.candidates(card)
    shown = screen(review.board, card, "Ana", chosen=second.name)
    assert first.name in shown["headline"] and shown["share"] == first.probability != second.probability
    desk = review.board.desk
    refused = desk.decide(desk.entry(Kind.REJECT, "Ana", card.photos, individual_id=first.name))
    assert screen(review.board, card, "Ana")["headline"] == f"Perhaps {second.name}"
    desk.decide(desk.entry(Kind.UNDO, "Ana", undoes=refused.decision_id))
    desk.decide(desk.entry(Kind.RENAME, "Ana", individual_id=first.name, into="Zora"))
    assert screen(review.board, card, "Ana")["headline"] == "Likely Zora"
    new = replace(card, decision=Decision.LIKELY_NEW, verdict={"p_new": 0.9})
    assert (
        "new animal" in screen(review.board, new, "Ana")["headline"]
        and screen(review.board, new, "Ana")["share"] == 0.9
    )


def test_two_choices_on_one_page_are_two_decisions(review: Review, ana: TestClient) -> None:
    """The browser's way back shows the page as it was: what is chosen then must not be taken for the first choice sent again."""
    card = cards(review)[0]
    page = ana.get(f"/e/{card.key}").text
    for kind in ("cannot_tell", "second_opinion", "second_opinion"):
        assert post(ana, f"/e/{card.key}/decide", page, kind=kind).status_code == 303
    assert [str(e.kind) for e in review.board.desk.log.entries()] == ["cannot_tell", "second_opinion"]


def test_what_somebody_else_has_decided_meanwhile_is_shown_first(review: Review, ana: TestClient) -> None:
    card, desk = cards(review)[0], review.board.desk
    page = ana.get(f"/e/{card.key}").text
    seen = {"seen": re.findall(r'name="seen" value="([^"]*)"', page)[0]}
    desk.decide(desk.entry(Kind.NEW, "Ben", card.photos, individual_id="Marina"))
    answer = post(ana, f"/e/{card.key}/decide", page, kind="cannot_tell", **seen)
    assert answer.status_code == 422 and "Ben has decided" in answer.text and "Marina" in answer.text
    assert len(desk.log.entries()) == 1
    seen = {"seen": re.findall(r'name="seen" value="([^"]*)"', answer.text)[0]}
    assert post(ana, f"/e/{card.key}/decide", answer.text, kind="cannot_tell", **seen).status_code == 303


def test_an_encounter_that_is_gone_keeps_nothing_and_says_so(review: Review, ana: TestClient) -> None:
    card, animal = cards(review)[0], sorted(review.board.desk.animals())[0]
    page, catalogue = ana.get(f"/e/{card.key}").text, ana.get(f"/animal/{key_of(animal)}").text
    split = {"kind": "split", "photo": card.photos[0]}
    for _ in range(2):  # sent twice it is one
        assert post(ana, f"/e/{card.key}/decide", page, **split).status_code == 303
    answer = post(ana, f"/e/{card.key}/decide", page, kind="cannot_tell")
    assert answer.status_code == 409 and "nothing was kept" in answer.text
    desk = review.board.desk
    desk.decide(desk.entry(Kind.RENAME, "Ben", individual_id=animal, into="Aphrodite"))
    fields = {name: re.findall(rf'name="{name}" value="([^"]*)"', catalogue)[0] for name in ("csrf", "request")}
    said = {"kind": "rename", "into": "Hera"}
    answer = ana.post(f"/animal/{key_of(animal)}/decide", data=fields | said, headers={"origin": HERE})
    assert answer.status_code == 409 and "nothing was kept" in answer.text
    assert [e.kind for e in desk.log.entries()] == [Kind.SPLIT, Kind.RENAME]


def test_a_photo_that_has_left_the_encounter_does_not_stand_for_all_others(review: Review, ana: TestClient) -> None:
    one, two, *_ = cards(review)
    for kind in ("does_not_belong", "not_a_head", "side"):
        answer = decide(ana, one, kind, photo=two.photos[0], side="top")
        assert answer.status_code == 422 and "no longer in this encounter" in answer.text
    assert review.board.desk.log.entries() == ()


def test_odd_forms_and_errors_are_a_sentence(review: Review, ana: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    card = cards(review)[0]
    many = "&".join(f"f{k}=1" for k in range(3000))
    headers = {"origin": HERE, "content-type": "application/x-www-form-urlencoded"}
    for path in (f"/e/{card.key}/decide", "/login"):
        answer = ana.post(path, content=many, headers=headers)
        assert answer.status_code == 400 and "too many fields" in answer.text
    monkeypatch.setattr(review.board, "cards", lambda: {}["a run that went away"])
    answer = ana.get("/")
    assert answer.status_code == 500 and "load the page again" in answer.text.casefold()


def test_two_reviews_on_one_machine_keep_their_visitors_apart(reviewed_workspace: Workspace) -> None:
    """Browsers give cookies of one port to all others of the machine."""
    board = Board(Desk(reviewed_workspace))
    one, two = (Doors.for_this_machine({f"127.0.0.1:{port}"}, "Ana") for port in (8765, 8766))
    assert one.cookie != two.cookie
    with TestClient(Review(board, one).app(), base_url=HERE) as client:
        client.get("/login", params={"token": one.token or ""})
        client.cookies.set(two.cookie, "of the other one")
        assert client.get("/").status_code == 200


def test_who_is_not_logged_in_any_more_is_told_that_nothing_was_kept(review: Review, ana: TestClient) -> None:
    card = cards(review)[0]
    page = ana.get(f"/e/{card.key}").text
    ana.cookies.clear()
    answer = post(ana, f"/e/{card.key}/decide", page, kind="cannot_tell")
    assert answer.status_code == 401 and "was not kept" in answer.text
    assert "was not kept" not in ana.get("/").text


def test_names_of_reviewers_are_those_of_their_decisions() -> None:
    team = _doors("", 80, Sharing(["Ana  B ", "Ben"], PASSWORD))
    assert list(team.reviewers) == ["Ana B", "Ben"]
    assert _doors(" Ana\u00a0", 80, None).by == "Ana"
    assert team.is_our_host("localhost") and team.is_our_origin("http://localhost"), "browsers leave port 80 out"
    assert not team.is_our_host("evil.example") and not team.is_our_host("localhost:8765")
