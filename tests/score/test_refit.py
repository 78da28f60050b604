"""Fitting the fusion again: only when everything is measured, never silently, never on less."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from resight.catalog import table
from resight.pairs.cohort import Cohort
from resight.run.names import stage_names
from resight.score.accepted import accept, accepted
from resight.score.fusion import Line
from resight.score.learn import log_loss_of
from resight.score.null import Null
from resight.score.params import ScoreParams
from resight.settings import Settings
from resight.tasks.score import evidence_of, refit, training_pairs
from resight.weights.store import WeightStore


def pair(query, gallery, total, purpose="identify"):
    ids = {
        f"{side}_{what}_id": one for side, one in (("query", query), ("gallery", gallery)) for what in ("crop", "photo")
    }
    return ids | {
        "purpose": purpose, "status": "scored", "n_keypoints_query": 300, "n_keypoints_gallery": 300, "n_matches": 1,
        "confidence_histogram": [0, 1], "confidence_sum": float(total), "n_above_05": int(total // 4), "n_above_01": 1,
        "confidence_sum_squares": 0.0, "confidence_sum_above_half": 0.0, "confidence_max": 0.5, "log_likelihood_ratio": 0.0,
    }  # fmt: skip


def measured(workspace, encounters, name="fused"):
    """Six animals with one gallery photo each and some query encounters; own photos score clearly higher."""
    rng = np.random.default_rng(encounters)
    labels = {f"g{k}": f"i{k}" for k in range(6)}
    truth = {f"q{k}-{e}": f"i{k}" for k in range(6) for e in range(encounters)}
    rows = [pair(q, g, np.expm1(rng.normal(3.5 if truth[q] == labels[g] else 2, 0.4))) for q in truth for g in labels]
    photos = [*labels, *truth]
    info = pa.table({"crop_id": photos, "viewpoint": ["left"] * len(photos)})
    schema = pa.schema([f.with_nullable(True) for f in table("pairs").schema])
    notes: list[str] = []
    settings, weights = Settings(score=ScoreParams(name=name)), WeightStore(allow_download=False)
    return SimpleNamespace(
        workspace=workspace, settings=settings, weights=weights, names=stage_names(settings, weights),
        cohort=Cohort(frozenset(truth), frozenset(labels), labels, truth, evaluating=True),
        tables={"pairs": pa.Table.from_pylist(rows, schema=schema), "photos": pa.table({"photo_id": photos, "encounter_id": photos})},
        extras={"null": Null(), "crop_info": info}, notes=notes, note=lambda *s: notes.extend(s),
    )  # fmt: skip


def test_the_first_fit_is_accepted_and_the_same_labels_change_nothing(workspace):
    run = measured(workspace, 2)
    first = refit(run)
    assert first is not None and accepted(workspace, evidence_of(run)).fusion.fingerprint == first.fingerprint
    assert first.training["n_genuine_encounters"] == 12, "the hidden labels of the queries are used"
    assert "fitted on 12 encounters of 6 animals" in run.notes[-1]
    before = len(run.notes)
    assert refit(run).fingerprint == first.fingerprint and len(run.notes) == before
    assert accepted(workspace, evidence_of(run)).generation == 0


def test_more_labels_replace_it_and_it_is_said(workspace):
    old = refit(measured(workspace, 1))
    run = measured(workspace, 4)
    new = refit(run)
    assert new.fingerprint != old.fingerprint and accepted(workspace, evidence_of(run)).generation == 1
    assert f"instead of {old.fingerprint}" in run.notes[-1]


def test_fewer_labels_never_do(workspace):
    old = refit(measured(workspace, 4))
    run = measured(workspace, 2)
    assert refit(run).fingerprint == old.fingerprint
    assert "rests on 24 encounters, a new one would on 12" in run.notes[-1]


def test_a_worse_one_does_not(workspace):
    run = measured(workspace, 2)
    old = refit(run)
    d = training_pairs(run, {**run.cohort.labels, **run.cohort.truth}, Null())
    steep = Line(-6.0, (3.3, 0.0))  # the two kinds lie far apart here: the surer, the better
    sure = replace(old, line=steep, folds=(steep,) * len(old.folds))
    assert log_loss_of(sure, d) < log_loss_of(old, d) - 0.01
    accept(workspace, evidence_of(run), sure)
    assert refit(run).fingerprint == sure.fingerprint == accepted(workspace, evidence_of(run)).fusion.fingerprint
    assert "worse on animals that it had not seen" in run.notes[-1]


@pytest.mark.parametrize("name", ["mean", "inliers"])
def test_other_scores_have_nothing_to_fit(workspace, name):
    run = measured(workspace, 2, name)
    assert refit(run) is None and not run.notes and accepted(workspace, evidence_of(run)) is None
