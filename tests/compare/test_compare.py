"""Every method ends with a row, by the same metrics, and what is known is not computed again."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from safetensors.torch import save_file

from resight.compare.base import MethodStatus, scores_of
from resight.compare.compare import compare_methods
from resight.compare.local import LocalMethod
from resight.compare.methods import chosen
from resight.compare.outcomes import figures, method_outcomes
from resight.compare.rows import method_fingerprint
from resight.errors import BrokenCountError, SettingsError
from resight.plugins.registry import COMPARE_METHODS
from resight.rank.params import RankParams
from resight.rank.stage import rank_all
from resight.settings import Settings
from resight.store.tables import conform


def test_a_row_by_hand(trial, by_hand):
    (row,) = compare_methods(trial, [by_hand()]).rows
    # p first, q second, r first; each of them its own encounter
    assert row["top1_photo"] == row["top1_encounter"] == pytest.approx(2 / 3)
    assert row["top3_photo"] == row["top5_encounter"] == 1.0
    # p: its only comparable photo first; q: Ben's at place 2; r: 1
    assert row["map_photo"] == pytest.approx((1 + 1 / 2 + 1) / 3)
    # With their own animal .9, .5, .4; without it p Ben .2, q Ada .5, r nobody: minus infinity. Pairs (new, known) that are
    # in order: .2 below all (3); .5 below .9 and even with .5 (1.5); nobody below all (3): 7.5 of 9
    assert row["novelty_auroc"] == pytest.approx(7.5 / 9)
    assert (row["n_photos"], row["n_encounters"], row["n_gallery_photos"], row["n_gallery_individuals"]) == (3, 3, 3, 2)
    assert (row["seconds_per_query"], row["seconds_extract"], row["seconds_match"]) == (1.5, 0.5, 1.0)
    assert row["top1_photo_low"] <= row["top1_photo"] <= row["top1_photo_high"]
    assert (row["status"], row["reason"], row["note"], row["protocol"]) == ("ok", "", "by hand", "time-aware")


def test_a_new_animal_scores_what_it_would_without_its_own_in_the_gallery(trial, by_hand):
    planned = trial.planned(trial.usable)
    fewer = scores_of(planned, by_hand().scores | {("q", "a"): 0.1})
    scored = by_hand().run(trial)
    apart = replace(scored, without_own=rank_all(fewer, trial.usable, RankParams(rule="max"), trial.cohort.truth))
    by = {
        name: figures(method_outcomes(each, trial.cohort, trial.photos, RankParams(rule="max")))
        for name, each in (("as ranked", scored), ("apart", apart))
    }
    # Without their own animal p .2, q .1, r nobody; with it .9, .5, .4: every pair is in order
    assert (by["as ranked"]["novelty_auroc"][0], by["apart"]["novelty_auroc"][0]) == pytest.approx((7.5 / 9, 1.0))
    assert by["apart"]["top1_photo"] == by["as ranked"]["top1_photo"], "the ranking stays"


def test_all_endings_have_a_row_and_fit_the_catalog(trial, by_hand, no_weights):
    methods = [
        by_hand("good"), by_hand("hungry", weights=("lightglue-sift", "superpoint")), by_hand("slow", quick=False),
        by_hand("broken", breaks=ValueError("no\nluck")), by_hand("refused", breaks=SettingsError("Set it right.")),
    ]  # fmt: skip
    done = compare_methods(trial, methods, quick=True)
    assert [r["status"] for r in done.rows] == ["ok", "missing_weights", "left_out", "failed", "failed"]
    hungry = done.rows[1]["reason"]
    assert "sift_lightglue.pth" in hungry and "https://" in hungry and "resight weights fetch lightglue-sift" in hungry
    assert "superpoint_v1.pth" in hungry and "weights fetch superpoint" not in hungry, "never fetched"
    assert done.rows[3]["reason"] == "ValueError: no luck" and done.rows[4]["reason"] == "Set it right."
    assert done.computed == ("good", "broken", "refused")
    assert conform("comparison", done.rows, "r").num_rows == 5


def test_running_again_does_only_what_is_missing(trial, by_hand):
    good, broken = by_hand("good"), by_hand("broken", breaks=BrokenCountError("gone"))
    first = compare_methods(trial, [good, broken])
    again = compare_methods(trial, [good, broken])
    assert again.rows == first.rows
    assert good.runs == ["good"] and again.computed == ("broken",), "what failed is tried again"


def test_other_settings_weights_or_labels_are_other_rows(trial, by_hand, tmp_path):
    import torch

    file = tmp_path / "net.safetensors"
    save_file({"x": torch.zeros(1)}, file)
    method = by_hand(weights=(str(file),))
    compare_methods(trial, [method])
    save_file({"x": torch.ones(1)}, file)
    assert compare_methods(trial, [method]).computed == ("hand",), "other weights"
    assert compare_methods(trial, [by_hand(weights=(str(file),), version=2)]).computed == ("hand",), "other settings"
    moved = trial.photos.set_column(1, "encounter_id", pa.array(["ada-1", "ada-1", "ben-1", "E", "E2", "G"]))
    assert compare_methods(_with(trial, photos=moved), [method]).computed == ("hand",), "other encounters"
    assert compare_methods(trial, [method]).computed == ()


def test_weights_are_written_into_the_row(trial, by_hand, tmp_path):
    import torch

    file = tmp_path / "net.safetensors"
    save_file({"x": torch.zeros(1)}, file)
    (row,) = compare_methods(trial, [by_hand(weights=(str(file),))]).rows
    assert list(json.loads(row["weights"])) == [str(file)] and len(json.loads(row["weights"])[str(file)]) == 64


def test_a_query_that_a_method_cannot_compare_counts_as_wrong(trial, by_hand):
    (row,) = compare_methods(trial, [by_hand(scores={("p", "a"): 0.9, ("p", "b"): 0.2})]).rows
    assert row["n_photos"] == 3 and row["top5_photo"] == pytest.approx(1 / 3)


def test_methods_by_name():
    assert [m.name for m in chosen(["ssim", "sift-lnbnn", "ssim"])] == ["ssim", "sift-lnbnn"]
    assert [m.name for m in chosen([])] == list(COMPARE_METHODS)
    assert chosen(["timm:resnet18=/x/y.safetensors"])[0].path == "/x/y.safetensors"
    with pytest.raises(SettingsError, match="did you mean 'sift-lightglue'"):
        chosen(["sift-lightgleu"])


@pytest.mark.parametrize("name", [n for n, m in COMPARE_METHODS.items() if isinstance(m, LocalMethod)])
def test_matchers_read_their_extractors(name, trial):
    method = COMPARE_METHODS[name]
    used = method.settings(trial)
    assert used.match.accepts(used.extract.family)
    assert (method.score in ("inliers", "snorm_inliers", "fused")) == (used.match.verify.model != "none")
    assert used.segment == trial.settings.segment and used.rank == trial.settings.rank


def test_no_method_looks_at_photos_that_take_no_part(trial):
    fewer = _with(trial, cohort=_with(trial.cohort, queries=frozenset({"p"}), truth={"p": "Ada"}))
    assert set(fewer.paths) == {"a", "a2", "b", "p"} == set(fewer.shown_crops["crop_id"].to_pylist())
    assert fewer.galleries(fewer.planned(fewer.usable)) == {"p": ["a", "b"]}, "left is not compared with right"


def test_status_words_cover_all_statuses():
    from resight.compare.page import STATUS_WORDS

    assert {*STATUS_WORDS, "ok"} == {s.value for s in MethodStatus}


def _with(thing, **changes):
    return replace(thing, **changes)


def test_the_row_is_kept_where_it_belongs(trial, by_hand):
    (row,) = compare_methods(trial, [by_hand()]).rows
    kept: Path = trial.env.workspace.store / "comparison" / row["fingerprint"] / "row.parquet"
    assert kept.exists()


@pytest.mark.parametrize("what", ["time", "side of a crop", "policy"])
def test_a_row_is_measured_anew_where_pairs_bursts_or_sides_are_others(trial, by_hand, what):
    method = by_hand()
    before = method_fingerprint(trial, method, {})
    times = pa.array([datetime(2010, 6, 1, 8, k) for k in range(trial.photos.num_rows)], pa.timestamp("us"))
    sides = pa.array(["top"] * trial.crops.num_rows)
    changed = {
        "time": lambda: _with(trial, photos=_column(trial.photos, "taken_at", times)),
        "side of a crop": lambda: _with(trial, crops=_column(trial.crops, "viewpoint", sides)),
        "policy": lambda: _with(trial, settings=Settings(pairs={"must_agree": ["species"]})),
    }[what]()
    assert method_fingerprint(changed, method, {}) != before == method_fingerprint(_with(trial), method, {})


def _column(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, values)
