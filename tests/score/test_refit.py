"""Fitting the fusion again: only when everything is measured, never silently, never on less."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from resight.catalog import table
from resight.errors import SettingsError
from resight.score.accepted import accept, accepted
from resight.score.choose import LabelledPairs, choose_fusion, refit
from resight.score.fusion import Line
from resight.score.learn import log_loss_of
from resight.score.null import CountNull, Null
from resight.score.params import ScoreParams
from resight.score.stage import distributions
from resight.settings import Settings
from resight.tasks.score import refit_fusion

EVIDENCE = "evidence"


def pair(query, gallery, total, purpose="identify"):
    ids = {
        f"{side}_{what}_id": one for side, one in (("query", query), ("gallery", gallery)) for what in ("crop", "photo")
    }
    return ids | {
        "purpose": purpose, "status": "scored", "n_keypoints_query": 300, "n_keypoints_gallery": 300, "n_matches": 1,
        "confidence_histogram": [0, 1], "confidence_sum": float(total), "n_above_05": int(total // 4), "n_above_01": 1,
        "confidence_sum_squares": 0.0, "confidence_sum_above_half": 0.0, "confidence_max": 0.5, "log_likelihood_ratio": 0.0,
    }  # fmt: skip


def measured(encounters):
    """Six animals with one gallery photo each and some query encounters; own photos score clearly higher."""
    rng = np.random.default_rng(encounters)
    gallery = {f"g{k}": f"i{k}" for k in range(6)}
    hidden = {f"q{k}-{e}": f"i{k}" for k in range(6) for e in range(encounters)}
    rows = [
        pair(q, g, np.expm1(rng.normal(3.5 if hidden[q] == gallery[g] else 2, 0.4))) for q in hidden for g in gallery
    ]
    photos = [*gallery, *hidden]
    info = pa.table(
        {"crop_id": photos, "photo_id": photos, "encounter_id": photos, "viewpoint": ["left"] * len(photos)}
    )
    schema = pa.schema([f.with_nullable(True) for f in table("pairs").schema])
    return LabelledPairs(pa.Table.from_pylist(rows, schema=schema), info, {**gallery, **hidden}, Null())


def test_the_first_fit_is_accepted_and_the_same_labels_change_nothing(workspace):
    first = refit(workspace, EVIDENCE, measured(2), "auto")
    assert accepted(workspace, EVIDENCE).fusion.fingerprint == first.fusion.fingerprint
    assert first.fusion.training["n_genuine_encounters"] == 12, "the hidden labels of the queries are used"
    assert "fitted on 12 encounters of 6 animals" in first.note
    again = refit(workspace, EVIDENCE, measured(2), "auto")
    assert again.fusion.fingerprint == first.fusion.fingerprint and again.note == ""
    assert accepted(workspace, EVIDENCE).generation == 0


def test_more_labels_replace_it_and_it_is_said(workspace):
    old = refit(workspace, EVIDENCE, measured(1), "auto").fusion
    new = refit(workspace, EVIDENCE, measured(4), "auto")
    assert new.fusion.fingerprint != old.fingerprint and accepted(workspace, EVIDENCE).generation == 1
    assert f"instead of {old.fingerprint}" in new.note


def test_fewer_labels_never_do(workspace):
    old = refit(workspace, EVIDENCE, measured(4), "auto").fusion
    fewer = refit(workspace, EVIDENCE, measured(2), "auto")
    assert fewer.fusion.fingerprint == old.fingerprint
    assert "rests on 24 encounters, a new one would on 12" in fewer.note


def test_a_worse_one_does_not(workspace):
    known = measured(2)
    old = refit(workspace, EVIDENCE, known, "auto").fusion
    training = known.training()
    steep = Line(-6.0, (3.3, 0.0))  # the two kinds lie far apart here: the surer, the better
    sure = replace(old, line=steep, folds=(steep,) * len(old.folds))
    assert log_loss_of(sure, training) < log_loss_of(old, training) - 0.01
    accept(workspace, EVIDENCE, sure)
    worse = refit(workspace, EVIDENCE, known, "auto")
    assert worse.fusion.fingerprint == sure.fingerprint == accepted(workspace, EVIDENCE).fusion.fingerprint
    assert "worse on animals that it had not seen" in worse.note


def test_where_strangers_have_become_few_the_accepted_one_goes_without_what_they_tell_and_says_so(workspace):
    known = measured(4)
    fitted = refit(workspace, EVIDENCE, known, "auto").fusion
    relative = replace(
        fitted, features=("log_sum", "relative_sum"), centre=(2.0, 0.3), line=Line(-1.0, (0.2, 0.8)), folds=()
    )
    accept(workspace, EVIDENCE, relative)
    chosen = choose_fusion(workspace, EVIDENCE, measured(1), "auto", evaluating=False).under(Null())
    assert "accepted fusion" in chosen.note and "goes without them and is less sure" in chosen.note
    d = measured(1).training().d
    z = chosen.fusion.standardised(d)
    assert (z[:, 1] == 0).all() and z[:, 0].std() > 0, "as strangers have on average"
    assert "goes without" not in replace(chosen, note="").under(Null(counts=CountNull(0, 0, 0, 1, 2, 1))).note
    with pytest.raises(SettingsError, match="agree with one geometry"):
        replace(relative, features=("log_inliers", "relative_sum")).log_ratio(d)
    assert refit(workspace, EVIDENCE, measured(2), "auto").fusion == relative, "it rests on more"


def test_an_evaluation_neither_uses_nor_changes_what_is_accepted(workspace):
    known = measured(2)
    pairs = known.pairs.set_column(
        known.pairs.schema.get_field_index("purpose"), "purpose", pa.array(["calibrate"] * known.pairs.num_rows)
    )
    calibrating = replace(known, pairs=pairs)
    scratch = choose_fusion(workspace, EVIDENCE, calibrating, "auto", evaluating=True)
    assert scratch.fingerprint and accepted(workspace, EVIDENCE) is None
    first = choose_fusion(workspace, EVIDENCE, calibrating, "auto", evaluating=False)
    assert "for the first time" in first.note and accepted(workspace, EVIDENCE).fusion == first.fusion
    assert "accepted fusion" in choose_fusion(workspace, EVIDENCE, measured(1), "auto", evaluating=False).note


@pytest.mark.parametrize("matcher", ["lightglue", "nearest", "another"])
def test_with_too_few_strangers_evidence_is_fused_as_learned_elsewhere_on_the_scale_of_the_run(workspace, matcher):
    known = measured(1)
    gallery = {photo: name for photo, name in known.labels.items() if photo.startswith("g")}
    rows = [
        r | {"n_inliers": 3 + n % 7, "lnbnn": 0.1 * n, "lnbnn_verified": 0.05 * n}
        for n, r in enumerate(known.pairs.to_pylist())
    ]
    pairs = pa.Table.from_pylist(rows, schema=known.pairs.schema)
    few = replace(
        known, pairs=pairs, labels=gallery, matcher=matcher
    )  # nobody in the gallery was compared with another animal
    chosen = choose_fusion(workspace, EVIDENCE, few, "auto", evaluating=False)
    assert "as learned at other places" in chosen.note and "relative_sum" not in chosen.fusion.features
    assert "labelled photos" in chosen.fusion.training["prior"], "and that is true"
    z = chosen.fusion.standardised(distributions(pairs, gallery, Null(), None))
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    assert set(np.round(z.std(axis=0), 9)) <= {0.0, 1.0}
    plain = replace(few, pairs=known.pairs)  # neither geometry nor votes
    assert "with equal weights" in choose_fusion(workspace, EVIDENCE, plain, "auto", evaluating=False).note


@pytest.mark.parametrize("name", ["mean", "inliers"])
def test_other_scores_have_nothing_to_fit(name):
    notes = []
    run = SimpleNamespace(settings=Settings(score=ScoreParams(name=name)), note=notes.append)
    refit_fusion(run, None)
    assert not notes
