"""How high pairs of the same and of different animals score, as learned from the gallery."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow.compute as pc

from resight.novelty.calibration import Calibration, shares
from resight.novelty.likelihood import choose_epsilon, evidence_bound, fit_gumbel, fit_logistic, gumbel_tail, log_score
from resight.novelty.tail import fit_tail, tail_probability
from resight.score.base import ShippedCalibration

LOGISTIC, BOUND, NONE = "logistic", "evidence_bound", "none"
MIN_GENUINE_ENCOUNTERS, MIN_GENUINE_INDIVIDUALS, MIN_IMPOSTORS = 8, 5, 3
SIZE_TOLERANCE = 1.2


@dataclass(frozen=True)
class NoveltyModel:
    """How a score becomes a p-value and a likelihood ratio.

    Attributes:
        method: ``logistic``, ``evidence_bound`` or ``none`` (fewer than 3 individuals with an impostor maximum).
        maxima: Impostor maximum of each gallery encounter that has one.
        maxima_individuals: The animal that each of them is of.
        n_animals: Median number of animals behind an impostor maximum.
        epsilon: Added to scores before the logarithm; None where scores are logarithms already.
        intercept, slope: Log likelihood ratio over the log score (method ``logistic``).
        log_score_range: Log scores that the regression has seen; the ratio is constant beyond them.
        location, scale: Gumbel distribution of the log scores of different animals (method ``evidence_bound``).
        smallest_p: Lower limit of the tail probabilities.
        n_impostors, n_genuine, n_genuine_individuals: What the likelihood ratio was learned from.
        shipped_share: Share of it that comes from other places.
        genuine: Score of each gallery encounter for its own animal, met another time; minus infinity if that was not
            compared or not shortlisted.
        genuine_individuals: The animal that each of them is of.
        tail: Shape, scale, threshold and share above it of the largest impostor maxima (`tail.fit_tail`); empty where there
            are too few.
    """

    method: str
    maxima: tuple[float, ...] = ()
    maxima_individuals: tuple[str, ...] = ()
    n_animals: float = 0.0
    epsilon: float | None = 1e-3
    intercept: float = 0.0
    slope: float = 0.0
    log_score_range: tuple[float, float] = (0.0, 0.0)
    location: float = 0.0
    scale: float = 1.0
    smallest_p: float = 1.0
    n_impostors: int = 0
    n_genuine: int = 0
    n_genuine_individuals: int = 0
    shipped_share: float = 0.0
    genuine: tuple[float, ...] = ()
    genuine_individuals: tuple[str, ...] = ()
    tail: tuple[float, ...] = ()

    @property
    def n_individuals(self) -> int:
        """Animals that the p-value is based on."""
        return len(set(self.maxima_individuals))

    def without(self, individual_id: str) -> NoveltyModel:
        """The model without the scores of one animal, which must not be compared with itself; the likelihood ratio is kept."""
        kept = [(m, i) for m, i in zip(self.maxima, self.maxima_individuals, strict=True) if i != individual_id]
        own = [(g, i) for g, i in zip(self.genuine, self.genuine_individuals, strict=True) if i != individual_id]
        return replace(
            self,
            maxima=tuple(m for m, _ in kept),
            maxima_individuals=tuple(i for _, i in kept),
            genuine=tuple(g for g, _ in own),
            genuine_individuals=tuple(i for _, i in own),
        )

    def reached(self, score: float) -> int:
        """Animals of which at least one impostor maximum is as high as ``score``."""
        return len({i for m, i in zip(self.maxima, self.maxima_individuals, strict=True) if m >= score})

    def p_value(self, score: float, n_animals: int) -> float:
        """``(1 + sum over animals of the share of their impostor maxima >= score) / (n + 1)``.

        Animals, not encounters, are exchangeable with the next unknown one: each of the n counts once, shared by its
        encounters (hierarchical conformal prediction: Lee, Barber and Willett, arXiv 2306.06342). If the gallery now
        holds over 20 % more animals than the one that was calibrated on, `grown` corrects for it; a smaller one is not
        corrected for, which is conservative.
        """
        return self.grown(self._raw_p(score), n_animals)

    def grown(self, p: float, n_animals: int) -> float:
        """``1 - (1 - p)^(G / G0)``: the best of G animals is below x with probability ``F(x)^(theta G)``."""
        if self.n_animals <= 0 or n_animals <= SIZE_TOLERANCE * self.n_animals:
            return p
        return float(-np.expm1(n_animals / self.n_animals * np.log1p(-p))) if p < 1 else 1.0

    def coverage(self, wanted: float) -> float | None:
        """Coverage that candidate sets can guarantee: ``wanted``, or ``n / (n + 1)`` if n animals met again allow no more.

        None with fewer than two such animals.
        """
        n = len(set(self.genuine_individuals))
        return min(wanted, n / (n + 1)) if n > 1 else None

    def in_candidate_set(self, scores: np.ndarray, coverage: float) -> np.ndarray:
        """(C,) bool: ``(1 + sum over animals of the share of their genuine scores <= s) / (n + 1) > 1 - coverage``.

        Split conformal prediction (Vovk et al. 2005) with animals as the exchangeable units: of the animals in the
        gallery, at least the share ``coverage`` is in its own set. An animal that was not compared is not, which the calibration
        counts as a genuine score of minus infinity.
        """
        weight = shares(np.array(self.genuine_individuals, dtype=str))
        genuine = np.array(self.genuine, np.float64)
        below = (np.where(genuine[None, :] <= np.asarray(scores)[:, None], weight, 0.0)).sum(axis=1)
        p = np.round((1 + below) / (len(set(self.genuine_individuals)) + 1), 12)
        return np.asarray(p > round(1 - coverage, 12))

    def tail_p_value(self, score: float, n_animals: int) -> float | None:
        """p-value from the fitted tail of the impostor maxima, which can be below 1 / (n + 1) but guarantees nothing.

        None if there is no tail, or the score does not lie in it.
        """
        x = float(log_score(score, self.epsilon))
        if not self.tail or x < self.tail[2]:
            return None
        return self.grown(tail_probability(x, self.tail), n_animals)

    def smallest_p_value(self, n_animals: int) -> float:
        """The p-value of a score above all impostor maxima."""
        return self.grown(_rounded(1 / (self.n_individuals + 1)), n_animals)

    def threshold(self, alpha: float, n_animals: int) -> float | None:
        """Smallest score whose p-value is at most ``alpha``; None if no score has one."""
        if self.smallest_p_value(n_animals) > alpha:
            return None
        above = [float(np.nextafter(m, np.inf)) for m in sorted(set(self.maxima))]
        return next(s for s in above if self.p_value(s, n_animals) <= alpha)

    def log_likelihood_ratio(self, score: np.ndarray) -> np.ndarray:
        """Log of ``f_same(score) / f_different(score)`` of one animal; never falls with the score.

        ``logistic``: the regression line within the range of log scores that it has seen, constant outside.
        ``evidence_bound``: the largest ratio that the Gumbel tail probability can stand for, with probabilities cut off
        at a tenth of 1 / (impostor scores + 1): it favours the candidate, and never counts against one.
        """
        x = log_score(score, self.epsilon)
        if self.method == LOGISTIC:
            return np.asarray(self.intercept + self.slope * np.clip(x, *self.log_score_range))
        tail = np.clip(gumbel_tail(x, self.location, self.scale), self.smallest_p, 1.0)
        return np.asarray(np.log(evidence_bound(tail)))

    def _raw_p(self, score: float) -> float:
        values, reached = self._steps
        return _rounded(min(1.0, (1 + float(reached[np.searchsorted(values, score)])) / (self.n_individuals + 1)))

    @cached_property
    def _steps(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted impostor maxima, and the shares of animals at or above each, with a final 0 above all of them."""
        order = np.lexsort((np.array(self.maxima_individuals, dtype=str), np.array(self.maxima)))
        weight = shares(np.array(self.maxima_individuals, dtype=str))[order]
        return np.array(self.maxima)[order], np.append(np.cumsum(weight[::-1])[::-1], 0.0)


def fit(calibration: Calibration, signed: bool = False, shipped: ShippedCalibration | None = None) -> NoveltyModel:
    """Learn from the gallery how high the same and different animals score; ``signed``: scores are logarithms already.

    With at least 8 genuine encounters of 5 animals the likelihood ratio comes from a logistic regression on the log
    score, every animal with the same weight; with fewer it is the Sellke-Bayarri-Berger bound on a Gumbel fit to the
    scores of different animals; with impostor maxima of fewer than 3 animals there is none.

    If it has been measured what the score means at other places (``shipped``), the line of the regression is shrunk towards
    that: the mean of both, weighted by genuine encounters and by ``shipped.worth``. No encounters are required then.
    """
    rows = calibration.comparisons
    score, genuine = rows["score"].to_numpy(), rows["genuine"].to_numpy(zero_copy_only=False).astype(bool)
    owner = np.array(rows["individual_id"].to_pylist(), dtype=object)
    maxima = calibration.maxima.filter(pc.is_valid(calibration.maxima["impostor_maximum"]))
    maxima_rows = calibration.maxima.select(["individual_id", "genuine_score"]).to_pylist()
    own = [(r["genuine_score"], r["individual_id"]) for r in maxima_rows if r["individual_id"] in calibration.met_again]
    epsilon = None if signed else choose_epsilon(score)
    model = NoveltyModel(
        method=NONE,
        maxima=tuple(maxima["impostor_maximum"].to_pylist()),
        maxima_individuals=tuple(maxima["individual_id"].to_pylist()),
        n_animals=float(np.median(maxima["n_impostors"].to_numpy())) if maxima.num_rows else 0.0,
        epsilon=epsilon,
        genuine=tuple(-math.inf if s is None else s for s, _ in own),
        genuine_individuals=tuple(name for _, name in own),
        tail=fit_tail(log_score(maxima["impostor_maximum"].to_numpy(), epsilon), maxima["individual_id"].to_pylist()),
        n_impostors=int((~genuine).sum()),
        n_genuine=int(genuine.sum()),
        n_genuine_individuals=len(set(owner[genuine])),
    )
    if model.n_individuals < MIN_IMPOSTORS:
        return model
    if shipped is not None:
        return _shrunk(model, log_score(score, model.epsilon), genuine, owner, shipped)
    enough = model.n_genuine >= MIN_GENUINE_ENCOUNTERS and model.n_genuine_individuals >= MIN_GENUINE_INDIVIDUALS
    return (_logistic if enough else _bound)(model, log_score(score, model.epsilon), genuine, owner)


def _rounded(p: float) -> float:
    return round(p, 12)  # so that the shares of an animal, such as three thirds, add up to 1


def _logistic(model: NoveltyModel, x: np.ndarray, genuine: np.ndarray, owner: np.ndarray) -> NoveltyModel:
    intercept, slope = fit_logistic(x, genuine, _weights(genuine, owner))
    seen = (float(x.min()), float(x.max()))
    return replace(model, method=LOGISTIC, intercept=intercept, slope=slope, log_score_range=seen)


def _shrunk(
    model: NoveltyModel, x: np.ndarray, genuine: np.ndarray, owner: np.ndarray, shipped: ShippedCalibration
) -> NoveltyModel:
    own = _logistic(model, x, genuine, owner) if genuine.any() and not genuine.all() else model
    share = shipped.worth / (shipped.worth + model.n_genuine)

    def between(fitted: float, elsewhere: float) -> float:
        return float((1 - share) * fitted + share * elsewhere)

    return replace(
        model,
        method=LOGISTIC,
        intercept=between(own.intercept, shipped.intercept),
        slope=between(own.slope, shipped.slope),
        log_score_range=(between(float(x.min()), shipped.lowest), between(float(x.max()), shipped.highest)),
        shipped_share=share,
    )


def _bound(model: NoveltyModel, x: np.ndarray, genuine: np.ndarray, owner: np.ndarray) -> NoveltyModel:
    location, scale = fit_gumbel(x[~genuine], _weights(genuine, owner)[~genuine])
    smallest = 0.1 / (model.n_impostors + 1)
    return replace(model, method=BOUND, location=location, scale=scale, smallest_p=smallest)


def _weights(genuine: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Within the genuine and within the impostor rows every animal weighs the same, and a row weighs 1 on average."""
    weight, names = np.empty(len(owner)), owner.astype(str)
    for rows in (genuine, ~genuine):
        share = shares(names[rows])
        weight[rows] = share * rows.sum() / share.sum()
    return weight
