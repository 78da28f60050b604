"""Which voting rule is best for this gallery? Tried on the gallery encounters of animals that were met twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from resight.rank.params import RankParams
from resight.rank.stage import moment_pairs, rank_level
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
    outcomes = {rule: _outcome(rank_level(pairs, "encounter", rule), crops_info) for rule in rules}
    owners, *_ = outcomes[rules[0]]
    names = np.unique(owners)
    if len(owners) < MIN_ENCOUNTERS or len(names) < MIN_INDIVIDUALS:
        default = params.model_copy(update={"rule": DEFAULT_RULE[is_ratio]})
        return ChosenRule(default, {}, len(owners), len(names))
    means = {rule: tuple(_by_animal(owners, v) for v in values) for rule, (_, *values) in outcomes.items()}
    best = max(rules, key=lambda rule: (round(means[rule][0], 9), round(means[rule][1], 9), -rules.index(rule)))
    right = {rule: means[rule][0] for rule in rules}
    return ChosenRule(params.model_copy(update={"rule": best}), right, len(owners), len(names))


def _outcome(ranked: pa.Table, crops_info: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Owner of each gallery encounter that could be identified, whether it was, and by what margin."""
    owner = dict(zip(crops_info["encounter_id"].to_pylist(), crops_info["individual_id"].to_pylist(), strict=True))
    candidates: dict[str, dict[str, float]] = {}
    for row in ranked.select(["encounter_id", "individual_id", "score"]).to_pylist():
        candidates.setdefault(row["encounter_id"], {})[row["individual_id"]] = row["score"]
    trials = [(owner[e], c) for e, c in sorted(candidates.items()) if owner[e] in c and len(c) > 1]
    spread = float(np.std(ranked["score"].to_numpy())) or 1.0 if ranked.num_rows else 1.0
    gap = np.array([(c[o] - max(v for n, v in c.items() if n != o)) / spread for o, c in trials])
    return np.array([o for o, _ in trials], str), (gap > 0).astype(np.float64), gap


def _by_animal(owners: np.ndarray, values: np.ndarray) -> float:
    _, group = np.unique(owners, return_inverse=True)
    return float(np.mean(np.bincount(group, values) / np.bincount(group)))
