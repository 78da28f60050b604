"""Nights with the embedding: vectors are a stage like any other."""

from collections import Counter
from typing import Any

import pytest
from flow_helpers import FIRST_NIGHT, SMALL

from resight.errors import SettingsError
from resight.flows.nightly import run_nightly
from resight.run.verify import verify
from resight.store.runs import read_run, run_record
from resight.store.workspace import Workspace

WITH_VECTORS: dict[str, Any] = SMALL | {"embed": {"enabled": True}}


def night(workspace: Workspace, date: str = FIRST_NIGHT) -> dict[str, Any]:
    return run_nightly(workspace.root, date, WITH_VECTORS, quiet=True)


def test_each_crop_is_embedded_once_counted_and_computed_again_where_it_is_damaged(field_workspace: Workspace) -> None:
    first = night(field_workspace)
    n = first["counts"]["segment"]["out"]["ok"]
    assert first["work"]["crops_embedded"] == n > 0
    assert first["counts"]["embed"]["out"]["ok"] == n
    record = run_record(read_run(field_workspace, first["run_id"], "runs"))
    assert "embedding-turtle-2" in record["weights"] and record["fingerprints"]["embed"]
    assert night(field_workspace, "2026-06-05")["work"]["crops_embedded"] == 0
    part = next((field_workspace.store / "embed").glob("*/parts/*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    repaired = verify(field_workspace, repair=True)
    assert [row["stage"] for row in repaired["damaged"]] == ["embed"] and repaired["ok"]
    again = night(field_workspace, "2026-06-06")
    assert 0 < again["work"]["crops_embedded"] <= n
    assert verify(field_workspace)["ok"]


def test_a_shortlist_of_votes_and_vectors_keeps_so_many_pairs_and_counts_the_others(field_workspace: Workspace) -> None:
    cut = WITH_VECTORS | {"shortlist": {"enabled": "on", "k": 2}}
    result = run_nightly(field_workspace.root, FIRST_NIGHT, cut, quiet=True)
    votes = result["counts"]["shortlist"]["out"]
    assert votes["not_shortlisted"] > 0
    pairs = read_run(field_workspace, result["run_id"], "pairs")
    of_query = Counter(r["query_crop_id"] for r in pairs.to_pylist() if r["purpose"] == "identify")
    assert of_query and max(of_query.values()) == 2
    assert pairs["lnbnn"].null_count == 0 and pairs["cosine"].null_count == 0
    again = run_nightly(field_workspace.root, "2026-06-05", cut, quiet=True)
    assert again["work"]["queries_shortlisted"] == 0 and again["work"]["pairs_matched"] == 0


def test_the_cosine_ranks_where_it_is_the_score(field_workspace: Workspace) -> None:
    by_vectors = WITH_VECTORS | {"score": {"name": "cosine"}}
    result = run_nightly(field_workspace.root, FIRST_NIGHT, by_vectors, quiet=True)
    scores = read_run(field_workspace, result["run_id"], "scores")
    cosines = scores["cosine"].to_pylist()
    assert scores["score"].to_pylist() == cosines and max(cosines) <= 1.001 and min(cosines) < max(cosines)
    pairs = {
        (r["query_crop_id"], r["gallery_crop_id"]): r["cosine"]
        for r in read_run(field_workspace, result["run_id"], "pairs").to_pylist()
    }
    assert all(pairs[r["query_crop_id"], r["gallery_crop_id"]] == r["cosine"] for r in scores.to_pylist())


def test_a_score_of_vectors_without_vectors_is_one_sentence(field_workspace: Workspace) -> None:
    with pytest.raises(SettingsError, match=r"embed\.enabled = true"):
        run_nightly(field_workspace.root, FIRST_NIGHT, SMALL | {"score": {"name": "cosine"}}, quiet=True)
