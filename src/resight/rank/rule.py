"""Which voting rule is best for this gallery? Tried on the gallery encounters of animals that were met twice."""

from __future__ import annotations

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
        n_encounters, n_individuals: How many were tried.
    """

    params: RankParams
    right: dict[str, float]
    n_encounters: int
    n_individuals: int

    @property
    def sentence(self) -> str:
        """For people."""
        about = f"{counted(self.n_encounters, 'gallery encounter')} of {counted(self.n_individuals, 'animal')}"
        if not self.right:
            return f"Photos vote by the rule {self.params.rule}; too few animals were met again to choose another one ({about})."
        shares = ", ".join(f"{rule} {share:.0%}" for rule, share in self.right.items())
        return f"Photos vote by the rule {self.params.rule}, the best on {about} ({shares})."


def choose_rule(scores: pa.Table, crops_info: pa.Table, params: RankParams, is_ratio: bool) -> ChosenRule:
    """Settle ``rank.rule = "auto"`` on the calibration pairs, with gallery encounters as queries for their own animal.

    The rule that identifies most of them is chosen, every animal weighing the same; among equals the one with the larger mean
    margin between the right animal and the best other one, in standard deviations of that rule's scores; then the order of
    `RULES`. Fewer than 20 encounters of 10 animals would decide by chance, so the default is used: ``mean_max`` for log
    likelihood ratios, otherwise ``max``.

    Args:
        scores: The ``scores`` table.
        crops_info: See `photo_pairs`.
        params: A ``rule`` other than ``auto`` is taken as it is.
        is_ratio: The score is a log likelihood ratio.
    """
    if params.rule != "auto":
        return ChosenRule(params, {}, 0, 0)
    rules = RULES if is_ratio else RULES[:3]
    pairs = moment_pairs(scores, crops_info, params, "calibrate")
    ranked = candidates_by_rule(pairs, LEVELS["encounter"], rules)
    outcomes = {rule: _outcome(candidates, crops_info) for rule, candidates in ranked.items()}
    owners, *_ = outcomes[rules[0]]
    names = np.unique(owners)
    if len(owners) < MIN_ENCOUNTERS or len(names) < MIN_INDIVIDUALS:
        default = params.model_copy(update={"rule": DEFAULT_RULE[is_ratio]})
        return ChosenRule(default, {}, len(owners), len(names))
    means = {rule: tuple(_by_animal(owners, v) for v in values) for rule, (_, *values) in outcomes.items()}
    best = max(rules, key=lambda rule: (round(means[rule][0], 9), round(means[rule][1], 9), -rules.index(rule)))
    right = {rule: means[rule][0] for rule in rules}
    return ChosenRule(params.model_copy(update={"rule": best}), right, len(owners), len(names))


def _outcome(candidates: pa.Table, crops_info: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Owner of each gallery encounter that could be identified, whether it was, and by what margin.

    Args:
        candidates: From `candidates_by_rule`, in the order of their encounters.
        crops_info: See `photo_pairs`.
    """
    if not candidates.num_rows:
        return np.zeros(0, str), np.zeros(0), np.zeros(0)
    owner = dict(zip(crops_info["encounter_id"].to_pylist(), crops_info["individual_id"].to_pylist(), strict=True))
    of_encounter = mapped(candidates["query_encounter_id"], owner, pa.string())
    own = np.asarray(pc.fill_null(pc.equal(of_encounter, candidates["individual_id"].cast(pa.string())), False))
    first, score = starts(codes(candidates["query_encounter_id"])), candidates["score"].to_numpy()
    others = np.maximum.reduceat(np.where(own, -np.inf, score), first)
    genuine = np.maximum.reduceat(np.where(own, score, -np.inf), first)
    tried = np.isfinite(others) & np.isfinite(genuine)
    gap = (genuine - others)[tried] / (float(np.std(score)) or 1.0)
    return np.array(of_encounter.take(pa.array(first[tried])).to_pylist(), str), (gap > 0).astype(np.float64), gap


def _by_animal(owners: np.ndarray, values: np.ndarray) -> float:
    _, group = np.unique(owners, return_inverse=True)
    return float(np.mean(np.bincount(group, values) / np.bincount(group)))
