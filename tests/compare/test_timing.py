"""Seconds per query: counted on a sample by a clock that is wound by hand."""

import hashlib

import pytest

from resight.compare import timing


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing, "_clock", lambda device: lambda: now[0])
    return now


def run(clock, galleries, n_photos, extract_s, match_s):
    asked = []

    def extract(q):
        asked.append(q)
        clock[0] += extract_s
        return q

    def match(q, gallery):
        clock[0] += match_s * len(gallery)

    def ready(q):
        clock[0] += 100  # reading the gallery is not the query's business
        return galleries[q]

    return timing.take_time(galleries, n_photos, "cpu", extract, ready, match), asked


def test_by_hand(clock):
    galleries = {f"q{i}": ["g"] * (2 + 2 * (i % 2)) for i in range(8)}  # 2 or 4 pairs, 3 on average
    found, asked = run(clock, galleries, 8, 0.5, 0.25)
    assert found.extract_s == pytest.approx(0.5) and found.match_s == pytest.approx(0.75)
    assert found.query_s == pytest.approx(1.25) and found.pairs_per_query == 3
    assert (found.n_queries, len(asked)) == (5, 6), "the first one warms up"
    assert asked == sorted(galleries, key=lambda q: hashlib.sha256(q.encode()).digest())[:6]


def test_photos_with_two_crops_cost_both(clock):
    found, _ = run(clock, {f"q{i}": ["g"] for i in range(8)}, 4, 0.5, 0.25)
    assert (found.extract_s, found.match_s, found.pairs_per_query) == (1.0, 0.5, 2)


def test_slow_methods_stop_at_the_budget(clock):
    found, asked = run(clock, {f"q{i}": ["g"] * 4 for i in range(8)}, 8, 1.0, 10.0)
    assert (found.n_queries, len(asked)) == (1, 2) and found.match_s == 40


def test_one_query_and_none(clock):
    found, asked = run(clock, {"q": ["g"]}, 1, 0.5, 0.25)
    assert found.n_queries == len(asked) == 1
    assert run(clock, {}, 0, 0.5, 0.25)[0] is None
