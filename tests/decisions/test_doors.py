"""Who comes in, without any night: the pages behind the door are those of `tests/flows/test_review.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from resight.review import doors as doors_module
from resight.review.app import Review
from resight.review.doors import TRIES, TRIES_OF_ALL, Doors

HERE, HOSTS = "http://127.0.0.1:8765", {"127.0.0.1:8765"}
PASSWORD = "sea grass and sand"


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch) -> Doors:
    monkeypatch.setattr(doors_module, "_digest", lambda password, salt: password.encode())
    return Doors.for_a_team(HOSTS, ["Ana", "Ben"], PASSWORD)


def test_who_guesses_holds_up_nobody_else(team: Doors) -> None:
    for _ in range(TRIES):
        assert team.by_password("Ben", "guessed", "10.0.0.9") is None
    assert team.by_password("Ben", PASSWORD, "10.0.0.9") is None, "after many wrong ones a minute of rest"
    assert team.by_password("Ben", PASSWORD, "10.0.0.7"), "at another address"
    assert team.by_password("Ana", PASSWORD, "10.0.0.9"), "or under another name"


def test_right_passwords_use_up_no_tries(team: Doors) -> None:
    assert all(team.by_password("Ana", PASSWORD, "10.0.0.7") for _ in range(2 * TRIES))


def test_guessing_from_everywhere_and_of_unknown_names_ends_too(team: Doors) -> None:
    for k in range(TRIES):
        assert team.by_password(f"name {k}", PASSWORD, "10.0.0.9") is None
    assert len({who for _, who in team._tries}) == 1, "names that nobody has are one"
    for k in range(TRIES_OF_ALL):
        assert team.by_password("Ana", "guessed", f"10.1.{k}.1") is None
    assert team.by_password("Ana", PASSWORD, "10.2.0.1") is None


def test_the_browser_is_started_with_an_address_that_opens_once_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = SimpleNamespace()
    doors = Doors.for_this_machine(HOSTS, "Ana")
    app, code = Review(nothing, doors).app(), doors.one_time_code()
    for status in (303, 401):
        with TestClient(app, base_url=HERE, follow_redirects=False) as client:
            answer = client.get("/login", params={"code": code})
            assert (answer.status_code, "set-cookie" in answer.headers) == (status, status == 303)
    late = doors.one_time_code()
    monkeypatch.setattr(doors_module.time, "monotonic", lambda: 1e12)
    assert doors.by_code(late) is None and doors.by_code("") is None
