"""All query encounters at once: with the animals of the gallery and with each other, in one posterior.

From it come the probabilities of the verdicts, the groups of encounters that are one animal, and draws of who is who.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from resight.novelty.cluster import cluster
from resight.novelty.forest import Forbidden, Forest, draw_allowed
from resight.novelty.left_out import evidence_of_listing
from resight.novelty.model import LOGISTIC, NONE, NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.runner.progress import counted

SEED = 20261129  # the same evidence always gives the same draws
LARGEST = 20.0  # of a log likelihood ratio; with larger ones rounding would eat up what a tree hangs on
Pair = tuple[str, str]


@dataclass(frozen=True)
class Evidence:
    """What is known of query encounters, or sightings within one.

    Attributes:
        nodes: Their names, first met first.
        animals: Of the gallery, sorted.
        scores: By node, the score of each animal that it was compared with.
        n_pairs: By node, the pairs of photos behind the score of each animal.
        log_ratio: By pair of nodes, in either order, the log likelihood ratio of one animal against two.
        apart: Pairs of nodes that are two animals, because a photo shows both.
        never: Pairs of a node and an animal of the gallery that people say it is not.
        left_out: By node, animals that could have been compared with it, had the shortlist not left them out.
    """

    nodes: Sequence[str]
    animals: Sequence[str]
    scores: Mapping[str, Mapping[str, float]]
    n_pairs: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    log_ratio: Mapping[Pair, float] = field(default_factory=dict)
    apart: Collection[Pair] = ()
    never: Collection[Pair] = ()
    left_out: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Belief:
    """Who an encounter is.

    Attributes:
        animals: Probability of each animal of the gallery.
        new: Probability of an animal that is not in the gallery.
        partners: Other encounters that are probably the same animal.
    """

    animals: Mapping[str, float]
    new: float
    partners: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joint:
    """The posterior.

    Attributes:
        nodes, animals: As in `Evidence`.
        probability: (N, K + 1) of each animal of the gallery, and of one that is not in it.
        draws: (D, N) the number of the animal of the gallery, or K + e for an animal that is not in it: e is one of its nodes.
        groups: Nodes by animal, as far as they probably are one; each group in the order of ``nodes``, sorted by its first one.
    """

    nodes: Sequence[str]
    animals: Sequence[str]
    probability: np.ndarray
    draws: np.ndarray
    groups: list[list[str]]

    def beliefs(self) -> dict[str, Belief]:
        """By node."""
        partners = {node: tuple(other for other in group if other != node) for group in self.groups for node in group}
        return {
            node: Belief(dict(zip(self.animals, row[:-1].tolist(), strict=True)), float(row[-1]), partners[node])
            for node, row in zip(self.nodes, self.probability, strict=True)
        }


def joint_posterior(evidence: Evidence, model: NoveltyModel, params: NoveltyParams) -> Joint:
    """Who is who: exact where nothing is forbidden, otherwise by Gibbs sampling (`forest`).

    Each encounter is a priori of every animal of the gallery with the same probability and of another animal with ``prior_new``; it is
    the only encounter of its animal with probability ``prior_single``, and otherwise each of the others is of the same animal
    with the same probability. Pairs whose ratio does not speak for one animal are no link.
    """
    forest, forbidden = _forest(evidence, model, params), _forbidden(evidence)
    n, k = len(evidence.nodes), len(evidence.animals)
    probability, draws = forest.marginals(), np.empty((params.draws, n), int)
    rng = np.random.default_rng(SEED)
    for part in counted(_parts(forest, forbidden), "cluster", "groups of encounters"):
        own = Forest(forest.links[np.ix_(part, part)], forest.hang[part])
        within = _within(forbidden, part)
        if len(part) > 1 and (within.apart or within.never):
            drawn = draw_allowed(own, within, params.draws, rng)
            shares = [(drawn == animal).mean(0) for animal in range(k)]
            probability[part] = np.array([*shares, (drawn >= k).mean(0)]).T
        else:
            drawn = own.draw(params.draws, rng)
        draws[:, part] = np.where(drawn < k, drawn, k + np.array(part)[np.maximum(drawn - k, 0)])
    groups = _groups(draws, forbidden.apart, params.link_probability)
    named = [[evidence.nodes[node] for node in group] for group in groups]
    return Joint(evidence.nodes, evidence.animals, probability, draws, named)


def pair_ratio(score: np.ndarray, n_pairs: np.ndarray, model: NoveltyModel, is_ratio: bool) -> np.ndarray | None:
    """Log likelihood ratios of pairs of query encounters; None where nothing says what a score means.

    Those of the regression over gallery encounters, or, while there are too few of these, the scores themselves if they are log
    likelihood ratios (``is_ratio``). They are not capped by how much was seen: the cap keeps what is stated modest, and in a young
    gallery it would link nobody.
    """
    if model.method == LOGISTIC:
        return replace(model, log_ratio_range=(-np.inf, np.inf)).log_likelihood_ratio(score, n_pairs)
    return score if is_ratio else None


def _forest(evidence: Evidence, model: NoveltyModel, params: NoveltyParams) -> Forest:
    n, k = len(evidence.nodes), len(evidence.animals)
    place = {node: e for e, node in enumerate(evidence.nodes)}
    column = {animal: g for g, animal in enumerate(evidence.animals)}
    hang = np.full((n, k + 1), (1 - params.prior_new) / k if k else 0.0)
    hang[:, -1] = params.prior_new if k else 1.0
    for node, scores in evidence.scores.items() if model.method != NONE else ():
        score, known = np.array(list(scores.values())), [column[animal] for animal in scores]
        behind = evidence.n_pairs.get(node)
        ratios = model.log_likelihood_ratio(score, np.array([behind[animal] for animal in scores]) if behind else None)
        cut = [column[animal] for animal in evidence.left_out.get(node, ()) if animal not in scores]
        listed, left_out = evidence_of_listing(len(known), len(cut), model.kept)
        hang[place[node], known] *= listed * np.exp(np.minimum(ratios, LARGEST))
        hang[place[node], cut] *= left_out
    for node, animal in evidence.never:
        if node in place and animal in column:
            hang[place[node], column[animal]] = 0.0
    links = np.zeros((n, n))
    prior = math.log((1 - params.prior_single) / (2 * params.prior_single * max(n - 1, 1)))
    for (a, b), ratio in evidence.log_ratio.items():
        if ratio > 0:
            links[place[a], place[b]] = links[place[b], place[a]] = math.exp(prior + min(ratio, LARGEST))
    return Forest(links, hang)


def _forbidden(evidence: Evidence) -> Forbidden:
    place = {node: e for e, node in enumerate(evidence.nodes)}
    column = {animal: g for g, animal in enumerate(evidence.animals)}
    apart = sorted((place[a], place[b]) for a, b in evidence.apart if a in place and b in place)
    never = sorted((place[e], column[g]) for e, g in evidence.never if e in place and g in column)
    return Forbidden(apart, never)


def _within(forbidden: Forbidden, part: Sequence[int]) -> Forbidden:
    """What is forbidden to some nodes, numbered anew."""
    place = {node: k for k, node in enumerate(part)}
    return Forbidden(
        [(place[a], place[b]) for a, b in forbidden.apart if a in place],
        [(place[node], animal) for node, animal in forbidden.never if node in place],
    )


def _parts(forest: Forest, forbidden: Forbidden) -> list[list[int]]:
    """Nodes that depend on each other, through links or because they are not one animal."""
    tied = forest.links > 0
    for a, b in forbidden.apart:
        tied[a, b] = True
    count, number = connected_components(csr_array(tied), directed=False)
    parts: list[list[int]] = [[] for _ in range(count)]
    for node, part in enumerate(number.tolist()):
        parts[part].append(node)
    return sorted(parts)


def _groups(draws: np.ndarray, apart: Collection[tuple[int, int]], least: float) -> list[list[int]]:
    """Average linkage of how often two nodes are one animal in the draws."""
    n_draws, n = draws.shape
    of_draw = (
        draws + np.arange(n_draws)[:, None] * (draws.max(initial=0) + 1)
    ).T  # an animal is another one in each draw
    column = np.unique(of_draw, return_inverse=True)[1].ravel()
    ends, shape = np.arange(n + 1) * n_draws, (n, int(column.max(initial=-1)) + 1)
    drawn = csr_array((np.ones(column.size, np.int64), column, ends), shape=shape)
    together = (drawn @ drawn.T).toarray() / max(n_draws, 1)
    return cluster(together, apart, least)
