"""Which voting rule is best for this gallery? Tried on the gallery encounters of animals that were met twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.rank.params import RankParams
from resight.rank.photos import codes, starts
from resight.rank.stage import LEVELS, candidates_by_rule, moment_pairs
from resight.store.columns import mapped
from resight.wording import counted

RULES = ("max", "mean_top2", "mean_max", "mean_lme")
DEFAULT_RULE = {True: "mean_max", False: "max"}  # by whether the score is a log likelihood ratio
GROWING = frozenset({"max", "mean_top2"})  # the more photos vote, the higher the score of any animal
MIN_ENCOUNTERS, MIN_INDIVIDUALS = 20, 10


@dataclass(frozen=True)
class ChosenRule:
    """A rule and why it was chosen.

    Attributes:
        params: The settings with that rule.
        right: By rule, the share of gallery encounters identified correctly, every animal weighing the same; empty if there
            were too few.
        right_photos: The same of their photos, each by itself; empty if none of them was compared with its own animal and another one.
        n_encounters, n_individuals: How many were tried.
    """

    params: RankParams
    right: dict[str, float]
    right_photos: dict[str, float]
    n_encounters: int
    n_individuals: int

    @property
    def sentence(self) -> str:
        """For people."""
        about = f"{counted(self.n_encounters, 'gallery encounter')} of {counted(self.n_individuals, 'animal')}"
        if not self.right:
            return f"Photos vote by the rule {self.params.rule}; too few animals were met again to choose another one ({about})."
        shares = {rule: f"{rule} {share:.0%}" for rule, share in self.right.items()}
        if self.right_photos:
            about += " and on their photos by themselves"
            shares = {rule: f"{share} and {self.right_photos[rule]:.0%}" for rule, share in shares.items()}
        return f"Photos vote by the rule {self.params.rule}, the best on {about} ({', '.join(shares.values())})."


def choose_rule(scores: pa.Table, crops_info: pa.Table, params: RankParams, is_ratio: bool) -> ChosenRule:
    """Settle ``rank.rule = "auto"`` on the calibration pairs, with gallery encounters as queries for their own animal.

    The rule is chosen that identifies most of them and of their photos by themselves (both shares added, every animal weighing the
    same), because an encounter may have one photo; among equals the one with the larger mean margin between the right animal and
    the best other one of an encounter, in standard deviations of that rule's scores; then the order of `RULES`. Fewer than 20
    encounters of 10 animals would decide by chance, so the default is used: ``mean_max`` for log likelihood ratios, otherwise ``max``.

    Args:
        scores: The ``scores`` table.
        crops_info: See `photo_pairs`.
        params: A ``rule`` other than ``auto`` is taken as it is.
        is_ratio: The score is a log likelihood ratio.
    """
    if params.rule != "auto":
        return ChosenRule(params, {}, {}, 0, 0)
    rules = RULES if is_ratio else RULES[:3]
    pairs = moment_pairs(scores, crops_info, params, "calibrate")
    encounters = _outcomes(pairs, crops_info, "encounter", rules)
    owners, *_ = encounters[rules[0]]
    names = np.unique(owners)
    if len(owners) < MIN_ENCOUNTERS or len(names) < MIN_INDIVIDUALS:
        default = params.model_copy(update={"rule": DEFAULT_RULE[is_ratio]})
        return ChosenRule(default, {}, {}, len(owners), len(names))
    right, right_photos = (
        {rule: _by_animal(owner, hit) for rule, (owner, hit, _) in outcomes.items() if len(owner)}
        for outcomes in (encounters, _outcomes(pairs, crops_info, "photo", rules))
    )
    margin = {rule: _by_animal(owner, gap) for rule, (owner, _, gap) in encounters.items()}
    best = max(
        rules,
        key=lambda rule: (
            round(right[rule] + right_photos.get(rule, 0), 9),
            round(margin[rule], 9),
            -rules.index(rule),
        ),
    )
    settled = params.model_copy(update={"rule": best})
    return ChosenRule(settled, right, right_photos, len(owners), len(names))


Outcome = tuple[np.ndarray, np.ndarray, np.ndarray]


def _outcomes(pairs: pa.Table, crops_info: pa.Table, level: str, rules: Sequence[str]) -> dict[str, Outcome]:
    """By rule, `_outcome` at one level."""
    ranked = candidates_by_rule(pairs, LEVELS[level], rules)
    return {rule: _outcome(candidates, crops_info, level) for rule, candidates in ranked.items()}


def _outcome(candidates: pa.Table, crops_info: pa.Table, level: str) -> Outcome:
    """Owner of each gallery encounter (or photo of one) that could be identified, whether it was, and by what margin.

    Args:
        candidates: From `candidates_by_rule`, in the order of their queries.
        crops_info: See `photo_pairs`.
        level: One of `LEVELS`.
    """
    key = LEVELS[level]
    if not candidates.num_rows:
        return np.zeros(0, str), np.zeros(0), np.zeros(0)
    asking = crops_info[f"{level}_id"].to_pylist()
    owner = dict(zip(asking, crops_info["individual_id"].to_pylist(), strict=True))
    of_query = mapped(candidates[key], owner, pa.string())
    own = np.asarray(pc.fill_null(pc.equal(of_query, candidates["individual_id"].cast(pa.string())), False))
    first, score = starts(codes(candidates[key])), candidates["score"].to_numpy()
    others = np.maximum.reduceat(np.where(own, -np.inf, score), first)
    genuine = np.maximum.reduceat(np.where(own, score, -np.inf), first)
    tried = np.isfinite(others) & np.isfinite(genuine)
    gap = (genuine - others)[tried] / (float(np.std(score)) or 1.0)
    return np.array(of_query.take(pa.array(first[tried])).to_pylist(), str), (gap > 0).astype(np.float64), gap


def _by_animal(owners: np.ndarray, values: np.ndarray) -> float:
    _, group = np.unique(owners, return_inverse=True)
    return float(np.mean(np.bincount(group, values) / np.bincount(group)))
