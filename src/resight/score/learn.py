"""Fit the fusion: on pairs of different encounters of known animals only, with folds by individual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resight.score import logistic
from resight.score.calibrators import BETA, ISOTONIC, LOGISTIC, MIN_GENUINE, Calibrator, fit_calibrator
from resight.score.distribution import Distributions
from resight.score.features import FEATURES
from resight.score.fusion import LARGEST, N_FOLDS, Fusion, Line, Prior, available, fold_of, read_features
from resight.score.prior import prior_for

MIN_IMPOSTOR_PAIRS = 10
RIDGE = 1.0


@dataclass(frozen=True)
class TrainingPairs:
    """N scored pairs of known animals, of different encounters.

    Attributes:
        d: What the scores are computed from.
        individuals: (N,) animal of the query.
        gallery_individuals: (N,) animal of the gallery photo.
        encounters: (N,) encounter of the query.
        matcher: Kind of matcher that they were matched by; '' for any.
    """

    d: Distributions
    individuals: np.ndarray
    gallery_individuals: np.ndarray
    encounters: np.ndarray
    matcher: str = ""

    @property
    def genuine(self) -> np.ndarray:
        """(N,) bool, both photos are of the same animal."""
        return np.asarray(self.individuals == self.gallery_individuals)

    def counts(self) -> dict[str, Any]:
        """Sizes of what a fit is learned from."""
        n, n_genuine = len(self.genuine), int(self.genuine.sum())
        return {
            "n_pairs": n,
            "n_genuine": n_genuine,
            "n_genuine_encounters": len(set(self.encounters[self.genuine])),
            "n_genuine_individuals": len(set(self.individuals[self.genuine])),
            "n_individuals": len(set(self.individuals)),
            "prior_genuine": n_genuine / n if n else 0.0,
        }


def fit_fusion(
    pairs: TrainingPairs, calibration: str = "auto", prior: Prior | None = None, at_least: int = MIN_IMPOSTOR_PAIRS
) -> Fusion | None:
    """Learn from a workspace's known animals how evidence adds up.

    Every genuine encounter weighs the same, however many pairs it has, and all impostor pairs together as much as the
    genuine ones, so that what is learned is a likelihood ratio; the share of genuine pairs is kept in ``training``. The
    coefficients are shrunk towards the shipped prior by its strength in encounters; without any genuine pair the prior is
    taken as it is.

    Args:
        pairs: See `TrainingPairs`.
        calibration: ``logistic``, ``beta``, ``isotonic``, or ``auto``: whichever has the lowest log loss on held-out
            animals among those that enough genuine pairs allow (100 for beta, 1,000 for isotonic).
        prior: Instead of the shipped one.
        at_least: Fewest pairs of different animals to learn from.

    Returns:
        None if there are fewer.
    """
    impostor = ~pairs.genuine
    if impostor.sum() < at_least:
        return None
    names = available(pairs.d)
    prior = prior or prior_for(names, pairs.matcher)
    raw = read_features(pairs.d, names)
    centre, spread = raw[impostor].mean(axis=0), raw[impostor].std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    z = ((raw - centre) / spread).clip(-LARGEST, None)
    line = _line(z, pairs, np.ones(len(z), bool), names, prior)
    fold = np.array([fold_of(str(i)) for i in pairs.individuals], np.int64)
    folds = tuple(_line(z, pairs, fold != k, names, prior) for k in range(N_FOLDS))
    fused = Fusion(names, tuple(centre.tolist()), tuple(spread.tolist()), line, folds, Calibrator(), pairs.counts())
    held_out = np.choose(fold, [without(z) for without in folds])
    calibrator, report = _calibrated(held_out, pairs, fold, calibration)
    training = dict(fused.training) | report | {"prior": prior.source, "prior_strength": prior.strength}
    return replace(fused, calibrator=calibrator, training=training)


def weights(pairs: TrainingPairs, rows: np.ndarray) -> np.ndarray:
    """(N,) balanced weights; the chosen genuine rows of each query encounter sum to 1, the impostors to as much in all."""
    weight = np.zeros(len(rows))
    genuine, impostor = rows & pairs.genuine, rows & ~pairs.genuine
    encounters, group, size = np.unique(pairs.encounters[genuine], return_inverse=True, return_counts=True)
    weight[genuine] = 1 / size[group]
    if impostor.any():
        weight[impostor] = max(len(encounters), 1) / impostor.sum()
    return weight


def log_loss_of(fusion: Fusion, pairs: TrainingPairs) -> float:
    """Balanced log loss of a fusion on ``pairs``; each animal is judged by the fold that has not seen it."""
    weight = weights(pairs, np.ones(len(pairs.genuine), bool))
    return logistic.log_loss(fusion.log_ratio(pairs.d, list(pairs.individuals)), pairs.genuine, weight)


def _line(z: np.ndarray, pairs: TrainingPairs, rows: np.ndarray, names: Sequence[str], prior: Prior) -> Line:
    if not (rows & pairs.genuine).any() or not (rows & ~pairs.genuine).any():
        return prior.line
    monotone = np.array([FEATURES[name].monotone for name in names])
    used = rows & (weights(pairs, rows) > 0)
    weight = weights(pairs, rows)[used]
    strength = np.full(len(names), max(prior.strength, RIDGE))
    normal = logistic.CoefficientPrior(np.array(prior.line.coefficients), strength, monotone)
    intercept, beta = logistic.fit(z[used], pairs.genuine[used], weight, normal)
    n = weight[pairs.genuine[used]].sum()
    shrunk = (n * intercept + prior.strength * prior.line.intercept) / (n + prior.strength)
    return Line(float(shrunk), tuple(float(b) for b in beta))


def _calibrated(
    held_out: np.ndarray, pairs: TrainingPairs, fold: np.ndarray, calibration: str
) -> tuple[Calibrator, dict[str, Any]]:
    """The calibrator, and the log loss of each kind on folds that neither line nor calibrator has seen."""
    n_genuine = int(pairs.genuine.sum())
    weight = weights(pairs, np.ones(len(fold), bool))
    if not n_genuine:
        return Calibrator(), {"calibration": LOGISTIC, "held_out_log_loss": {}}
    kinds = [kind for kind in (LOGISTIC, BETA, ISOTONIC) if n_genuine >= MIN_GENUINE[kind]]
    kinds = kinds if calibration == "auto" else [calibration]
    losses = {kind: _held_out_loss(kind, held_out, pairs.genuine, weight, fold) for kind in kinds}
    best = min(losses, key=lambda kind: (losses[kind], kinds.index(kind)))
    calibrator = fit_calibrator(best, held_out, pairs.genuine, weight)
    return calibrator, {"calibration": best, "held_out_log_loss": {k: round(v, 6) for k, v in losses.items()}}


def _held_out_loss(kind: str, x: np.ndarray, genuine: np.ndarray, weight: np.ndarray, fold: np.ndarray) -> float:
    calibrated = np.empty(len(x))
    for k in np.unique(fold):
        seen = fold != k
        both = genuine[seen].any() and not genuine[seen].all()
        calibrator = fit_calibrator(kind, x[seen], genuine[seen], weight[seen]) if both else Calibrator()
        calibrated[~seen] = calibrator(x[~seen])
    return logistic.log_loss(calibrated, genuine, weight)
