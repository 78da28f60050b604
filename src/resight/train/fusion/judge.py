"""How good is the fusion on an animal that no prior has seen? Each queried animal is judged under a prior learned without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import SettingsError
from resight.evaluate.metrics import auroc, calibration_error
from resight.novelty.calibration import calibrate
from resight.novelty.decide import decide
from resight.novelty.model import fit
from resight.novelty.params import NoveltyParams
from resight.rank.levels import Seen
from resight.rank.params import RankParams
from resight.rank.rule import GROWING, choose_rule
from resight.rank.stage import rank_all
from resight.score.base import FUSED
from resight.score.learn import fit_fusion
from resight.score.params import ScoreParams
from resight.score.stage import score
from resight.status import Decision
from resight.train.fusion.material import LabelledRun, training
from resight.train.fusion.recipe import learn_prior

FEWEST = 2


def judge(run: LabelledRun, runs: Sequence[LabelledRun], novelty: NoveltyParams) -> dict[str, Any]:
    """Everything as the pipeline does it, but with the prior learned from the other animals of ``runs``.

    Returns:
        Shares right per photo and encounter, novelty AUROC, calibration error, false identifications.

    Raises:
        SettingsError: Without one animal nothing is left to learn from.
    """
    teach = {str(name) for each in runs for name in each.everything.individuals[each.everything.genuine]}
    if len(teach) < FEWEST:
        raise SettingsError(
            f"{', '.join(each.name for each in runs)}: only {', '.join(teach)} was met again, and an animal is judged by what others teach; "
            f"give runs on {FEWEST} animals or more that were met again."
        )
    measured: dict[str, list[Any]] = {"photo": [], "encounter": [], "known": [], "new": [], "rated": [], "false": []}
    rules = set()
    for individual in sorted(set(run.truth.values())):
        rules.add(_measure(run, individual, learn_prior(runs, individual), novelty, measured))
    rated = np.array(measured["rated"], np.float64).reshape(-1, 2)
    return {
        "top1_photo": float(np.mean(measured["photo"])),
        "top1_encounter": float(np.mean(measured["encounter"])),
        "n": (len(measured["photo"]), len(measured["encounter"])),
        "novelty_auroc": auroc(np.array(measured["new"]), np.array(measured["known"])) if measured["new"] else None,
        "ece_encounter": calibration_error(rated[:, 0], rated[:, 1], np.ones(len(rated))) if len(rated) else None,
        "false_known_rate": float(np.mean(measured["false"])) if measured["false"] else None,
        "rules": sorted(rules),
    }


def _measure(
    run: LabelledRun, individual: str, prior: Any, novelty: NoveltyParams, measured: dict[str, list[Any]]
) -> str:
    fusion = fit_fusion(training(run, gallery_alone=True), prior=prior)
    params = ScoreParams(name=FUSED)
    scores, as_stranger = (
        score(run.pairs, labels, params, None, fusion, run.null, alone=True).scores
        for labels in (
            run.gallery,
            {**run.gallery, **run.truth},
        )  # a stranger has no pairs with its own animal to be compared with
    )
    chosen = choose_rule(scores, run.info, RankParams(), is_ratio=True)
    how, grows = chosen.params, chosen.params.rule in GROWING
    model = fit(calibrate(scores, run.info, how), signed=True, grows=grows)
    own_photos = {p for p, name in run.truth.items() if name == individual}
    photos = run.photos.filter(pa.array([p in own_photos for p in run.photos["photo_id"].to_pylist()], pa.bool_()))
    queries = photos.select(["photo_id", "encounter_id"])
    animals, encounters = set(run.gallery.values()), set(queries["encounter_id"].to_pylist())
    if individual not in animals:
        return how.rule
    of_mine = pa.array(sorted(encounters), pa.string())
    ranked, strange = (
        rows.filter(pc.is_in(rows["encounter_id"], of_mine))
        for rows in (rank_all(of, run.info, how) for of in (scores, as_stranger))
    )
    first = {(r["level"], r["query_id"]): r["individual_id"] for r in ranked.to_pylist() if r["rank"] == 1}
    measured["photo"] += [first.get(("photo", p)) == individual for p in sorted(own_photos)]
    measured["encounter"] += [first.get(("encounter", e)) == individual for e in sorted(encounters)]
    without = dict.fromkeys(encounters, individual)
    seen, unseen = (Seen.of(of, run.info, how) for of in (scores, as_stranger))
    as_known = decide(ranked, queries, animals, model, novelty, seen).novelty.to_pylist()
    as_new = decide(strange, queries, animals, model, novelty, unseen, deleted=without).novelty.to_pylist()
    measured["known"] += [_novelty(r) for r in as_known]
    measured["new"] += [_novelty(r) for r in as_new]
    rated = [r for r in as_known if r["probability"] is not None]
    measured["rated"] += [(r["probability"], r["individual_id"] == individual) for r in rated]
    measured["false"] += [r["decision"] == Decision.KNOWN for r in as_new]
    return how.rule


def _novelty(row: dict[str, Any]) -> float:
    if row["best_score"] is None:
        return np.inf
    return float(row["p_new"]) if row["p_new"] is not None else -float(row["best_score"])
