"""What makes the screens of the review quick: nothing is matched, sent twice or larger than it is shown while a person waits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from flow_helpers import HERE, HOSTS
from starlette.testclient import TestClient

from resight.decisions.desk import Desk
from resight.decisions.entry import Kind
from resight.review.app import Review
from resight.review.board import Board, Card
from resight.review.doors import Doors
from resight.store.workspace import Workspace


@pytest.fixture
def review(reviewed_workspace: Workspace) -> Review:
    return Review(Board(Desk(reviewed_workspace)), Doors.for_this_machine(HOSTS, "Ana"))


@pytest.fixture
def ana(review: Review) -> Iterator[TestClient]:
    with TestClient(review.app(), base_url=HERE) as client:
        client.get("/login", params={"token": review.doors.token or ""})
        yield client


def cards(review: Review) -> list[Card]:
    return review.board.queue("Ana")


def test_pictures_among_others_are_small_and_style_and_script_are_read_once(review: Review, ana: TestClient) -> None:
    page = ana.get(f"/e/{cards(review)[0].key}").text
    for address in set(re.findall(r'src="/small/(crop/[^"]+)"', page)):
        small, whole = (
            cv2.imdecode(np.frombuffer(ana.get(path + address).content, np.uint8), cv2.IMREAD_COLOR)
            for path in ("/small/", "/")
        )
        assert small is not None and whole is not None and small.shape[0] / whole.shape[0] < 0.8
        assert min(small.shape[1] - 192, small.shape[0] - 144) in (0, 1), "it fills twice the space that it gets"
    photo = ana.get(f"/small/photo/{cards(review)[0].photos[0]}.jpg").content
    assert len(photo) < len(ana.get(f"/photo/{cards(review)[0].photos[0]}.jpg").content) / 2
    assert ana.get("/small/crop/x.jpg").status_code == ana.get("/small/photo/x.jpg").status_code == 409
    for address in re.findall(r'"(/files/[^"]+)"', page):
        assert "immutable" in ana.get(address).headers["cache-control"]
        assert ana.get(address.replace("v=", "v=0")).headers["cache-control"] == "no-store"


def test_the_night_has_found_the_points_of_all_that_the_keys_show(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("resight.match.evidence.block_maker", lambda *_: pytest.fail("a pair is matched while a person waits"))  # fmt: skip
    review.prepare()
    pairs = [c.pair for card in cards(review) for c in review.board.candidates(card) if c.pair]
    assert len(pairs) > 3 * len(cards(review)) and all(review.pictures.known(pair) for pair in pairs)
    monkeypatch.setattr("resight.decisions.desk.LOOK_AGAIN_S", 1e9)
    tables = review.board.desk.tables
    review.board.desk._tables = replace(tables, generation=replace(tables.generation, folder=Path("the next night")))
    assert not any(review.pictures.known(pair) for pair in pairs), "points of another run are not at hand"


def test_photos_by_name_are_those_of_looking_at_every_photo(review: Review, ana: TestClient) -> None:
    one, two, *_ = cards(review)
    first, second, *_ = sorted(review.board.desk.animals())
    desk = review.board.desk
    for entry in (
        desk.entry(Kind.RENAME, "Ana", individual_id=first, into="Zora"),
        desk.entry(Kind.CONFIRM, "Ana", one.photos, individual_id=second),
        desk.entry(Kind.NEW, "Ana", two.photos, individual_id="Marina"),
        desk.entry(Kind.CANNOT_TELL, "Ana", desk.photos_by_name[second][:1]),
    ):
        desk.decide(entry)
        decided, by_name = desk.decided, dict[str, set[str]]()
        for photo, row in desk.tables.photos.items():
            name = desk.name_of(row, decided) if row["status"] == "ok" else None
            if name:
                by_name.setdefault(name, set()).add(photo)
        assert {name: set(photos) for name, photos in desk.photos_by_name.items()} == by_name
    assert desk.animals()["Marina"] == len(two.photos) and first not in desk.animals()


def test_screens_are_ready_at_once(review: Review, ana: TestClient) -> None:
    review.prepare()
    seconds = []
    for card in cards(review) * 3:
        start = time.process_time()
        assert ana.get(f"/e/{card.key}").status_code == 200
        seconds.append(time.process_time() - start)
    assert sorted(seconds)[len(seconds) // 2] < 0.3
