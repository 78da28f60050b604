"""Whoever reads a log can tell work from a hang: nothing that takes long is silent, and what is short says nothing more."""

from __future__ import annotations

import itertools
import logging
import time
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

from resight.runner import progress
from resight.runner.params import DaskParams
from resight.runner.progress import at_work, counted
from resight.runner.runner import Runner
from resight.tasks.stage import stage

EVERY_S, LONG_S = 0.1, 0.7


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A line is due every tenth of a second."""
    monkeypatch.setattr(progress, "LOG_EVERY_S", EVERY_S)
    caplog.set_level("INFO", "resight")


@stage("slow")
def slow_stage(run: Any) -> str:
    """One long step that counts nothing."""
    time.sleep(LONG_S)
    return "done"


def test_a_stage_that_counts_nothing_says_that_it_is_at_work(caplog: pytest.LogCaptureFixture) -> None:
    run: Any = SimpleNamespace(env=SimpleNamespace(runner=Runner(DaskParams())), seconds={}, note_damage=lambda: None)
    assert slow_stage(run) == "done"
    assert caplog.text.count("slow: at work for") >= 2
    caplog.clear()
    time.sleep(3 * EVERY_S)
    assert not caplog.text, "it is quiet when the stage is over"


def test_a_long_block_is_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    with at_work("match"), Runner(DaskParams(mode="inline"), quiet=True) as runner:
        done, _ = runner.run("match", time.sleep, [LONG_S, LONG_S], size=lambda _: 50, unit="pairs")
    assert len(done) == 2
    first = [r for r in caplog.messages if r.startswith("match: 0 of 100 pairs, at work for")]
    second = [r for r in caplog.messages if r.startswith("match: 50 of 100 pairs, ") and r.endswith(" s left")]
    assert len(first) >= 2 and len(second) >= 2 and "match: 100 of 100 pairs" in caplog.messages[-1]
    assert not any(r.startswith("match: at work") for r in caplog.messages), "only one of the two speaks"


def test_a_loop_says_something_only_if_it_takes_long(caplog: pytest.LogCaptureFixture) -> None:
    assert list(counted(range(1000), "novelty", "encounters")) == list(range(1000))
    assert not caplog.messages
    for _ in counted([0, 1, 2], "novelty", "encounters"):
        time.sleep(LONG_S / 3)
    assert caplog.messages[0].startswith("novelty: ") and caplog.messages[-1].startswith("novelty: 3 of 3 encounters")


def test_many_short_loops_one_after_the_other_are_not_silent(caplog: pytest.LogCaptureFixture) -> None:
    with at_work("cluster"):
        for _ in range(10):
            assert list(counted([0], "novelty", "encounters")) == [0]
            for _ in counted([0], "index", "crops"):
                time.sleep(0.7 * EVERY_S)
    times = [record.created for record in caplog.records]
    assert len(times) >= 4 and max(b - a for a, b in itertools.pairwise(times)) < 4 * EVERY_S


def test_a_loop_that_ends_early_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    for _ in counted([0, 1, 2], "novelty", "encounters"):
        break
    with at_work("cluster"):
        time.sleep(LONG_S)
    assert "cluster: at work" in caplog.text and "novelty" not in caplog.text


def test_a_loop_that_failed_is_quiet_although_its_error_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """As a notebook keeps it, and with it whatever the loop was in the middle of."""

    def fails() -> None:
        encounters = counted([0, 1, 2], "report", "encounters")
        for _ in encounters:
            raise ValueError

    with pytest.raises(ValueError) as error, at_work("report"):
        fails()
    time.sleep(LONG_S)
    assert not caplog.messages
    with at_work("match"):
        time.sleep(LONG_S)
    assert "match: at work for" in caplog.text and error.value


def test_lines_are_said_in_the_context_of_the_work() -> None:
    """Prefect finds the flow run that a line belongs to in there."""
    of_run, seen = ContextVar("of_run", default=""), list[str]()
    handler = logging.Handler()
    handler.emit = lambda _: seen.append(of_run.get())  # type: ignore[method-assign]
    log = logging.getLogger("resight")
    log.addHandler(handler)
    try:
        of_run.set("nightly")
        with at_work("score"):
            time.sleep(LONG_S)
    finally:
        log.removeHandler(handler)
    assert len(seen) >= 2 and set(seen) == {"nightly"}
