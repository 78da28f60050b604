"""How high pairs of the same and of different animals score, as learned from the gallery."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.novelty.calibration import MONTHS, Calibration, shares
from resight.novelty.left_out import share_kept
from resight.novelty.likelihood import (
    choose_epsilon,
    evidence_bound,
    fit_gumbel,
    fit_logistic,
    fit_mixed,
    gumbel_tail,
    log_score,
    mixed,
    saturated,
    share_missed,
)
from resight.novelty.tail import fit_tail, tail_probability
from resight.novelty.yardstick import EMPTY, QueryScores, Yardstick
from resight.score.base import ShippedCalibration

LOGISTIC, BOUND, NONE = "logistic", "evidence_bound", "none"
MIN_GENUINE_ENCOUNTERS, MIN_GENUINE_INDIVIDUALS, MIN_IMPOSTORS = 8, 5, 3
SIZE_TOLERANCE = 1.2
# Pairs of different animals that the shipped calibration was learned from: nine folders of twelve, rounded down (DECISIONS.md).
SHIPPED_PAIRS = 500


@dataclass(frozen=True)
class NoveltyModel:
    """How a score becomes a p-value and a likelihood ratio.

    Attributes:
        method: ``logistic``, ``evidence_bound`` or ``none`` (fewer than 3 individuals with an impostor maximum).
        levels: Impostor maximum of each gallery encounter that has one, by number of photos.
        n_animals: Median number of animals behind an impostor maximum.
        epsilon: Added to scores before the logarithm; None where scores are logarithms already.
        intercept, slope: Log likelihood ratio over the saturated log score (method ``logistic``); with `missed` that of a hit.
        missed: Share of encounters with an animal of the gallery whose photos match nothing of it; 0 where nothing is known of it.
        crowding: How far the log of the number of pairs moves a score (``missed`` above 0).
        log_score_range: Log scores that the regression has seen; the ratio is constant beyond them.
        location, scale: Gumbel distribution of the log scores of different animals (method ``evidence_bound``).
        smallest_p: Lower limit of the tail probabilities.
        n_impostors, n_genuine, n_genuine_individuals: What the likelihood ratio was learned from.
        shipped_share: Share of what speaks for a new animal that comes from other places: how often animals are missed.
        genuine: By fewest days between, the score of each gallery encounter for its own animal, by number of photos.
        tail: Shape, scale, threshold and share above it of the largest impostor maxima (`tail.fit_tail`); empty where there
            are too few.
        n_months: Animals that were met again after a month or more, from which the share of misses was learned.
        usual_pairs: Pairs of photos behind a score (geometric mean) that the likelihood ratio was learned from; 0 where the score does
            not grow with their number and nothing was learned about it.
        log_ratio_range: The ratio never goes beyond what so little evidence can support; see `ratio_range`.
        saturation: Where log scores stop counting (`likelihood.saturated`).
        kept: How often a shortlist lists the right animal (`left_out.share_kept`).
    """

    method: str
    levels: Yardstick = EMPTY
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
    genuine: Mapping[int, Yardstick] = field(default_factory=dict)
    tail: tuple[float, ...] = ()
    n_months: int = 0
    missed: float = 0.0
    crowding: float = 0.0
    usual_pairs: float = 0.0
    log_ratio_range: tuple[float, float] = (-math.inf, math.inf)
    saturation: float = math.inf
    kept: float = 1.0

    @property
    def n_individuals(self) -> int:
        """Animals that the p-value is based on."""
        return len(self.levels.animals)

    def without(self, individual_id: str) -> NoveltyModel:
        """The model without the scores of one animal, which must not be compared with itself; the likelihood ratio is kept."""
        genuine = {gap: yardstick.without(individual_id) for gap, yardstick in self.genuine.items()}
        return replace(self, levels=self.levels.without(individual_id), genuine=genuine)

    def reached(self, query: QueryScores) -> int:
        """Animals known to be different of which at least one encounter scored as high from as many photos."""
        return int(np.count_nonzero(self.levels.at_least(query.best, query.returned, query.individual_id)))

    def p_value(self, query: QueryScores, n_animals: int) -> float:
        """``(1 + [the best candidate is one of the n] + sum over the others of n of a share) / (n + 1)``.

        The share of an animal is that of its encounters that score at least as high as the query, with the query among their
        candidates, from equally many photos of both. The best candidate counts in full: its encounters have the query as a
        candidate that scores as high as it does itself. Animals, not encounters, are exchangeable with the next unknown one
        (hierarchical conformal prediction: Lee, Barber and Willett, arXiv 2306.06342); the proof is in
        docs/how-it-decides.md. If the gallery now holds over 20 % more animals than the one that was calibrated on, `grown`
        corrects for it; a smaller one is not corrected for, which is conservative.
        """
        others = self.levels.at_least(query.best, query.returned, query.individual_id)
        return self._p_value(query.individual_id, float(others.sum()), n_animals)

    def _p_value(self, individual_id: str, others: float, n_animals: int) -> float:
        """With that best candidate, from the sum of the shares of the other animals; see `p_value`."""
        own = individual_id in self.levels.animals
        return self.grown(_rounded((1 + own + others) / (self.n_individuals + 1)), n_animals)

    def grown(self, p: float, n_animals: int) -> float:
        """``1 - (1 - p)^(G / G0)``: the best of G animals is below x with probability ``F(x)^(theta G)``.

        G0 counts the query, which is among the candidates of the gallery encounters.
        """
        usual = self.n_animals + 1
        if self.n_animals <= 0 or n_animals <= SIZE_TOLERANCE * usual:
            return p
        return float(-np.expm1(n_animals / usual * np.log1p(-p))) if p < 1 else 1.0

    def tail_p_value(self, score: float, n_animals: int) -> float | None:
        """p-value from the fitted tail of the impostor maxima, which can be below 1 / (n + 1) but guarantees nothing.

        None if there is no tail, or the score does not lie in it.
        """
        x = float(log_score(score, self.epsilon))
        if not self.tail or x < self.tail[2]:
            return None
        return self.grown(tail_probability(x, self.tail), n_animals)

    def smallest_p_value(self, individual_id: str, n_animals: int) -> float:
        """The p-value of a score above all impostor maxima with that best candidate."""
        return self._p_value(individual_id, 0.0, n_animals)

    def threshold(self, query: QueryScores, alpha: float, n_animals: int) -> float | None:
        """Smallest score that has a p-value of at most ``alpha`` if the query scores it from any number of photos; None if none has."""
        if self.smallest_p_value(query.individual_id, n_animals) > alpha:
            return None
        animal, reached = query.individual_id, self.levels.reached(frozenset(query.best))
        above, low = self._just_above, 0
        high = len(above) - 1
        while low < high:  # the p-value never grows with the score
            middle = (low + high) // 2
            p = self._p_value(animal, reached.without(animal, above[middle]), n_animals)
            low, high = (low, middle) if p <= alpha else (middle + 1, high)
        return above[low]

    @cached_property
    def _just_above(self) -> list[float]:
        """For each score of a gallery encounter the next larger number."""
        return [float(np.nextafter(score, np.inf)) for score in sorted({row[3] for row in self.levels.rows})]

    def log_likelihood_ratio(self, score: np.ndarray, n_pairs: np.ndarray | None = None) -> np.ndarray:
        """Log of ``f_same(score) / f_different(score)`` of one animal; never falls with the score.

        ``logistic``: the regression line within the range of log scores that it has seen, constant outside; where it is known how often
        photos of one animal match nothing (`missed`), a mixture with that and without those limits (`likelihood.mixed`).
        ``evidence_bound``: the largest ratio that the Gumbel tail probability can stand for, with probabilities cut off
        at a tenth of 1 / (impostor scores + 1): it favours the candidate, and never counts against one.

        Args:
            score: Any shape.
            n_pairs: As many, pairs of photos that each score is the best of; None for as many as usual. The best of k impostor scores
                exceeds a high one k times as often, so a score that rests on more pairs is worth less.
        """
        x, n = log_score(score, self.epsilon), self.usual_pairs if n_pairs is None else np.asarray(n_pairs, np.float64)
        if self.method == LOGISTIC and self.missed:
            x = x - self.crowding * np.log(n)
        if self.method == LOGISTIC:
            ratio = self.intercept + self.slope * saturated(np.clip(x, *self.log_score_range), self.saturation)
        else:
            tail = np.clip(gumbel_tail(x, self.location, self.scale), self.smallest_p, 1.0)
            ratio = np.log(evidence_bound(tail))
        if self.usual_pairs and not self.missed:  # nothing was learned of it: as if all pairs were independent
            ratio = ratio - np.maximum(np.log(n / self.usual_pairs), 0.0)
        return np.asarray(np.clip(mixed(ratio, self.missed), *self.log_ratio_range))

    def most_new(self, prior_new: float, shortlisted: bool = False) -> float:
        """The largest probability of a new animal that any scores could give, were all of the gallery compared, or left out by a shortlist."""
        lowest = -math.inf if self.missed else 0.0
        if self.method == LOGISTIC and not self.missed:
            lowest = self.intercept + self.slope * float(saturated(np.array(self.log_score_range[0]), self.saturation))
        known = math.exp(max(float(mixed(np.array(lowest), self.missed)), self.log_ratio_range[0]))
        if shortlisted:
            known = self.kept * known + 1 - self.kept
        return prior_new / (prior_new + (1 - prior_new) * known)


def fit(
    calibration: Calibration, signed: bool = False, shipped: ShippedCalibration | None = None, grows: bool = True
) -> NoveltyModel:
    """Learn from the gallery how high the same and different animals score; ``signed``: scores are logarithms already.

    With at least 8 genuine encounters of 5 animals the likelihood ratio comes from a logistic regression on the log
    score, every animal with the same weight; with fewer it is the Sellke-Bayarri-Berger bound on a Gumbel fit to the
    scores of different animals; with impostor maxima of fewer than 3 animals there is none.

    If it has been measured what the score means elsewhere (``shipped``), that is a prior for the coefficients, whose spread says
    how far the gallery's own encounters may move them; no encounters are required then. ``grows``: the more photos vote, the higher the score (rules ``max`` and
    ``mean_top2``); what was measured elsewhere was the best of all pairs, so that a mean is believed less than it could be.
    """
    rows = calibration.comparisons
    score, genuine = rows["score"].to_numpy(), rows["genuine"].to_numpy(zero_copy_only=False).astype(bool)
    owner = np.array(rows["individual_id"].to_pylist(), dtype=object)
    maxima = calibration.maxima.filter(pc.is_valid(calibration.maxima["impostor_maximum"]))
    epsilon = None if signed else choose_epsilon(score)
    model = NoveltyModel(
        method=NONE,
        levels=calibration.levels,
        n_animals=float(np.median(maxima["n_impostors"].to_numpy())) if maxima.num_rows else 0.0,
        epsilon=epsilon,
        genuine=calibration.genuine,
        tail=fit_tail(log_score(maxima["impostor_maximum"].to_numpy(), epsilon), maxima["individual_id"].to_pylist()),
        n_impostors=int((~genuine).sum()),
        n_genuine=int(genuine.sum()),
        n_genuine_individuals=len(set(owner[genuine])),
        usual_pairs=_usual_pairs(rows) if grows or shipped is not None else 0.0,
        log_ratio_range=ratio_range(rows, shipped is not None),
        kept=share_kept(calibration.genuine),
    )
    if model.n_individuals < MIN_IMPOSTORS:
        return model
    if shipped is not None:
        return _mixed(model, rows, genuine, owner, shipped)
    enough = model.n_genuine >= MIN_GENUINE_ENCOUNTERS and model.n_genuine_individuals >= MIN_GENUINE_INDIVIDUALS
    return (_logistic if enough else _bound)(model, log_score(score, model.epsilon), genuine, owner)


def ratio_range(comparisons: pa.Table, shipped: bool) -> tuple[float, float]:
    """Lowest and highest log likelihood ratio that the evidence can support.

    Whatever has never been seen in n independent comparisons may still happen once in n + 1 (the rule of succession), so no score
    speaks more than n + 1 times for or against an animal (Vergeer et al., Science and Justice 56, 2016, bound ratios in the same
    spirit). For an animal: n pairs of different animals, and those that the shipped calibration was learned from; against it: n animals that were
    met again. With a shipped calibration the share of misses says what speaks against an animal, and there is no other bound.
    """
    owner, candidate = (comparisons[name].to_pylist() for name in ("individual_id", "candidate_id"))
    pairs = {frozenset(pair) for pair in zip(owner, candidate, strict=True)}
    different, again = (sum(len(pair) == size for pair in pairs) for size in (2, 1))
    if not shipped:
        return -math.log1p(again), math.log1p(different)
    return -math.inf, math.log1p(different + SHIPPED_PAIRS)


def _usual_pairs(comparisons: pa.Table) -> float:
    """Geometric mean, every animal weighing the same."""
    if not comparisons.num_rows:
        return 0.0
    weight = shares(np.array(comparisons["individual_id"].to_pylist(), dtype=str))
    return float(np.exp(np.average(np.log(comparisons["n_pairs"].to_numpy()), weights=weight)))


def _rounded(p: float) -> float:
    return round(p, 12)  # so that the shares of an animal, such as three thirds, add up to 1


def _logistic(model: NoveltyModel, x: np.ndarray, genuine: np.ndarray, owner: np.ndarray) -> NoveltyModel:
    intercept, slope = fit_logistic(saturated(x, model.saturation), genuine, _weights(genuine, owner))
    seen = (float(x.min()), float(x.max()))
    return replace(model, method=LOGISTIC, intercept=intercept, slope=slope, log_score_range=seen)


def _mixed(
    model: NoveltyModel, comparisons: pa.Table, genuine: np.ndarray, owner: np.ndarray, shipped: ShippedCalibration
) -> NoveltyModel:
    """The mixture that is most probable after what was measured elsewhere and what the gallery shows."""
    theta, spread = np.array([shipped.intercept, shipped.slope]), np.array(shipped.spread)
    again = _met_again(model)

    def terms(scores: np.ndarray, n_pairs: np.ndarray) -> np.ndarray:
        x = log_score(scores, model.epsilon) - shipped.crowding * np.log(n_pairs)
        return np.stack([np.ones(len(scores)), saturated(x, shipped.saturation)], axis=1)

    def misses(theta: np.ndarray) -> float:
        hits = [terms(scores, np.full(len(scores), model.usual_pairs)) @ theta for scores in again]
        return share_missed(hits, shipped.missed, shipped.worth)

    if genuine.any() and not genuine.all():
        x = terms(comparisons["score"].to_numpy(), comparisons["n_pairs"].to_numpy())
        weight = _weights(genuine, owner) / 2  # each two encounters are there twice, once from either side
        theta = fit_mixed(x, genuine, weight, misses(theta), theta, spread)
    intercept, slope = theta.tolist()
    return replace(
        model, method=LOGISTIC, intercept=intercept, slope=slope, crowding=shipped.crowding, missed=misses(theta),
        saturation=shipped.saturation, log_score_range=(-math.inf, math.inf),
        shipped_share=shipped.worth / (shipped.worth + len(again)), n_months=len(again),
    )  # fmt: skip


def _met_again(model: NoveltyModel) -> list[np.ndarray]:
    """By animal that was met again after a month or more, the scores of its encounters for it, from as many photos as there are (`rank.levels.LEVELS`).

    Within days the same animal is easier to recognise than after years, so that such meetings say little about misses. How many pairs are
    behind each is not known here; they are taken for as many as usual, which matters only near the foot of the curve.
    """
    listed = tuple(row for row in model.genuine.get(MONTHS, EMPTY).rows if row[3] > -math.inf)
    return [scores for _, scores in sorted(Yardstick(listed).by_animal().items())]


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
