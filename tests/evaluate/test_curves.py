"""Curves by hand, and the past of a run."""

from datetime import UTC, date, datetime, timedelta

import pytest
from evaluate_helpers import CONTEXT, new, outcome, photo, table

from resight.errors import WorkspaceError
from resight.evaluate.curves import curve_rows, series
from resight.evaluate.history import earlier_runs, partner
from resight.store.runs import staging
from resight.store.tables import conform

ROWS = [
    outcome("E", "Ada", 1, probability=0.95, novelty=0.1, score_right=0.49, score_wrong=0.04, days_between=10),
    outcome("F", "Ben", 3, probability=0.95, novelty=0.1, score_right=0.01, score_wrong=0.09, days_between=400),
    new("E", "Ada", probability=0.35, novelty=0.9, score_wrong=0.04),
    photo("p", "Ada", 2, days_between=10), photo("q", "Ben", 1, days_between=20),
]  # fmt: skip


def test_curves_by_hand():
    rows = curve_rows(table(ROWS), CONTEXT)
    assert conform("accuracy_curves", rows, "r").num_rows == len(rows)
    assert [p["y"] for p in series(rows, "cmc", "encounter")] == [0.5, 0.5, 1.0]
    assert [p["y"] for p in series(rows, "cmc", "photo")] == [0.5, 1.0, 1.0]
    days = {p["x_low"]: (p["x"], p["y"], p["n"]) for p in series(rows, "days_between", "photo")}
    assert days == {1.0: (15.0, 0.5, 2)}
    assert [(p["x"], p["y"]) for p in series(rows, "gallery_size", "photo")] == [(2.0, 0.75), (3.0, 0.5)]
    known = series(rows, "reliability", "known")
    assert [(p["x"], p["y"], p["n"]) for p in known] == [(pytest.approx(0.95), 0.5, 2)]
    mixed = {round(p["x"], 2): p["y"] for p in series(rows, "reliability", "mixed")}
    assert mixed == {0.35: 0.0, 0.95: pytest.approx(0.5)}


def test_histograms_hold_every_score_once():
    rows = curve_rows(table(ROWS), CONTEXT)
    for name, scores in {"genuine": (0.49, 0.01), "impostor": (0.04, 0.09), "new": (0.04,)}.items():
        points = series(rows, "scores", name)
        assert sum(p["n"] for p in points) == len(scores) and sum(p["y"] for p in points) == pytest.approx(1.0)
        last = points[-1]
        for s in scores:
            assert any(p["n"] and p["x_low"] - 1e-9 <= s and (s < p["x_high"] or p is last) for p in points)


def keep(workspace, run_id, when, queries, flow="accuracy", protocol="role", value=0.5):
    run = {"flow": flow, "night": date(2026, 6, 3), "status": "kept_aside", "started_at": when, "ended_at": when, "resight_version": "0", "model_fingerprint": "m",
           **dict.fromkeys(("fingerprints", "weights", "settings", "versions", "counts", "work"), "{}"), "device": "cpu"}  # fmt: skip
    metric = {"metric": "top1_encounter", "stratum": "all", "value": value, "n": 1, "unit": "share", "protocol": protocol}  # fmt: skip
    with staging(workspace) as stage:
        stage.write("runs", conform("runs", [run], run_id))
        stage.write("accuracy", conform("accuracy", [metric], run_id))
        stage.write("outcomes", conform("outcomes", [outcome(q, "Ada") for q in queries], run_id))
        stage.commit(run_id)


def test_the_past_is_the_same_question_asked_before(workspace):
    now = datetime(2026, 6, 9, tzinfo=UTC)
    day = timedelta(days=1)
    keep(workspace, "third", now - day, ["E", "F"], value=0.7)
    keep(workspace, "first", now - 3 * day, ["E", "G", "H", "F"], value=0.4)
    keep(workspace, "other-animals", now - 2 * day, ["X", "Y", "E"])
    keep(workspace, "other-flow", now - 2 * day, ["E", "F"], flow="evaluate")
    keep(workspace, "other-protocol", now - 2 * day, ["E", "F"], protocol="time-aware")
    keep(workspace, "later", now + day, ["E", "F"])
    found = earlier_runs(workspace, "accuracy", "role", {"E", "F"}, now)
    assert [(e.run_id, e.values["top1_encounter"][0]) for e in found] == [("first", 0.4), ("third", 0.7)]
    assert partner(workspace, "last", found) == "third" and partner(workspace, "none", found) is None
    assert partner(workspace, "last", []) is None and partner(workspace, "fir", found) == "first"
    with pytest.raises(WorkspaceError, match="0 measured runs"):
        partner(workspace, "nobody", found)
