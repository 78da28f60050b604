"""A new model: compared first, and everything else computed only if it is not refused."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flow_helpers import SMALL
from stopping import wait_for
from typer.testing import CliRunner

from resight.cli.app import app
from resight.evaluate import paired
from resight.flows import nightly, rebuild, steps
from resight.flows.in_prefect import _trend
from resight.match import work as match_work
from resight.run import conditions
from resight.run.models import current_model
from resight.runner.runner import ClusterLost
from resight.store.attempts import read_attempts
from resight.store.runs import read_run
from resight.store.workspace import Workspace

NIGHT = "2026-06-05"
OTHER = SMALL | {
    "extract": {"kind": "orb", "max_keypoints": 200},
    "match": {"kind": "nearest"},
    "evaluate": {"draws": 20},
}
AS_SET = [f"--set={text}" for text in ("extract.kind=orb", "extract.max_keypoints=200", "match.kind=nearest", "dask.mode=inline", "crop.head_side_px=320", "evaluate.draws=20")]  # fmt: skip


def test_of_a_refused_model_only_the_comparison_is_computed(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "FEWEST_QUERIES", 7)  # six encounters ask
    accepted = current_model(night_workspace)
    again = CliRunner().invoke(app, ["rebuild", "--plain", "--night", NIGHT, "-w", str(night_workspace.root), *AS_SET])
    assert again.exit_code == 5 and "Only 6 encounters" in again.output
    assert "nothing but the comparison was computed" in again.output
    assert current_model(night_workspace) == accepted and not list(night_workspace.runs.glob("*rebuild*"))

    refused = rebuild.run_rebuild(night_workspace.root, NIGHT, OTHER, quiet=True)
    assert refused["refused"] and not refused["promoted"] and refused["run_id"].startswith(f"{NIGHT}-accuracy-")
    assert refused["work"]["features_computed"] == refused["work"]["pairs_matched"] == 0, "the first has measured it"
    assert accepted is not None
    first, second = _trend(night_workspace, "accuracy", accepted.fingerprint)
    assert "(model" not in first and second.endswith(f"(model {refused['model']['fingerprint'][:8]})")
    photos = {
        r["photo_id"]: r["labelled_individual_id"]
        for r in read_run(night_workspace, refused["run_id"], "photos").to_pylist()
    }
    extracted = read_run(night_workspace, refused["run_id"], "features")["photo_id"].to_pylist()
    assert len(photos) == 10 and len(extracted) == 6 and all(photos[photo] for photo in extracted)

    accepted_now = rebuild.run_rebuild(night_workspace.root, NIGHT, OTHER, accept_unmeasured=True, quiet=True)
    assert accepted_now["promoted"] and accepted_now["work"]["features_computed"] == 4, "the rest, and nothing twice"
    assert [row["outcome"] for row in read_attempts(night_workspace)] == ["done", "refused", "refused", "done"]


def test_after_a_kill_a_rebuild_goes_on_where_it_was(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, measured = rebuild.measure_workspace, list[dict[str, Any]]()

    def killed_in_the_second(*args: Any, **kwargs: Any) -> dict[str, Any]:
        if measured:
            raise KeyboardInterrupt
        measured.append(measure(*args, **kwargs))
        return measured[-1]

    monkeypatch.setattr(rebuild, "measure_workspace", killed_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        rebuild.run_rebuild(night_workspace.root, NIGHT, OTHER, quiet=True)
    assert nightly.run_nightly(night_workspace.root, NIGHT, SMALL, quiet=True)["status"] == "accepted"
    monkeypatch.setattr(rebuild, "measure_workspace", lambda *a, **k: measured.append(measure(*a, **k)) or measured[-1])
    rebuild.run_rebuild(night_workspace.root, NIGHT, OTHER, quiet=True)
    before, once_more = measured[:2]
    assert once_more["run_id"] == before["run_id"] and not any(once_more["work"].values())


def test_a_night_whose_cluster_is_lost_goes_on_by_itself(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline, lost = nightly.run_pipeline, [ClusterLost("The Dask scheduler went away."), ClusterLost("Again.")]

    def work(*args: Any) -> None:
        if lost:
            raise lost.pop(0)
        pipeline(*args)

    monkeypatch.setattr(nightly, "run_pipeline", work)
    monkeypatch.setattr(steps, "RETRY_S", 0.01)
    drawn = SMALL | {"report": {"candidates": 4}}  # so that there is something to do
    result = nightly.run_nightly(night_workspace.root, NIGHT, drawn, quiet=True)
    assert result["status"] == "accepted" and read_attempts(night_workspace)[-1]["outcome"] == "done"
    assert "went away. It is tried again" in caplog.text
    lost += [ClusterLost("The Dask scheduler went away.")]
    with pytest.raises(ClusterLost):
        nightly.run_nightly(
            night_workspace.root, "2026-06-06", SMALL | {"dask": {"mode": "inline", "retries": 0}}, quiet=True
        )


def test_a_night_gets_through_while_a_rebuild_matches(
    night_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for the block that is under way; the rebuild, told not to wait, comes after it and computes nothing twice."""
    waiting = SMALL | {"wait_minutes": 5}
    night = threading.Thread(
        target=nightly.run_nightly, args=(night_workspace.root, NIGHT, waiting), kwargs={"quiet": True}
    )
    pairs, match, everything = list[tuple[str, str]](), match_work.match_block, rebuild._Rebuild._everything
    under_way = list[int]()

    def match_one(block: Any) -> Any:
        pairs.extend(block.ids(k) for k in range(len(block)))
        if under_way and len(pairs) == under_way[0] + 3 and not night.ident:
            night.start()
            wait_for(night_workspace.is_wanted)
        return match(block)

    def mark(*args: Any) -> Any:
        under_way.append(len(pairs))
        return everything(*args)

    monkeypatch.setattr(paired, "FEWEST_QUERIES", 7)  # six encounters ask
    monkeypatch.setattr(match_work, "match_block", match_one)
    monkeypatch.setattr(rebuild._Rebuild, "_everything", mark)
    monkeypatch.setattr(conditions, "LOOK_S", 0.0)
    one_by_one = OTHER | {"pairs": {"max_block_pairs": 1}}
    result = rebuild.run_rebuild(night_workspace.root, NIGHT, one_by_one, accept_unmeasured=True, quiet=True)
    night.join()
    assert under_way[1] == under_way[0] + 3, "the block under way was the last one before the night"
    assert len(pairs) > under_way[1] and len(set(pairs)) == len(pairs)
    ended = sorted(read_attempts(night_workspace), key=lambda row: str(row["ended_at"]))
    assert [(row["command"], row["outcome"]) for row in ended][1:] == [("nightly", "done"), ("rebuild", "done")]
    assert "goes first; what is finished is kept" in caplog.text and result["promoted"]
