"""Who is who, all encounters at once: random forests in which every tree is an animal.

Each encounter is a node. A tree of nodes is one animal; it hangs on an animal of the gallery, or on a root of its own, if the animal is
in nobody's gallery. A forest weighs the product of the weights of its links, so the probability of a forest is

    product over links (c LR)  x  product over trees hung on an animal of the gallery (its prior x LR)  x  product over the others (prior of new)

and sums over all forests are determinants (Kirchhoff's matrix-tree theorem): with the Laplacian L of the links and A the diagonal of
all weights by which a node can hang, the probability that node e is animal g is ``((L + A)^-1 B)[e, g]``, B being the weights of
hanging on g. That is the chance that a random walker who starts in e leaves the graph at g (Grady, IEEE PAMI 28, 2006). Forests are
drawn without a Markov chain by walks whose loops are erased (Wilson, STOC 1996), exactly but for links above ``STRONGEST``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from resight.runner.progress import counted

NEW = -1  # the last column of `Forest.hang`
MOST_ROUNDS = 10  # draws for each that is asked for, before they are drawn by turns
# A walk between two nodes with a strong link goes to and fro as often as the link outweighs what they hang on. From this many times
# on, a link is drawn as if it weighed no more: the two are then apart in at most one of so many draws, instead of in fewer.
STRONGEST = 1000.0


@dataclass(frozen=True)
class Forest:
    """Weights of N encounters and K animals of the gallery.

    Attributes:
        links: (N, N) symmetric, at least 0; the diagonal is 0.
        hang: (N, K + 1), at least 0: of each animal of the gallery, and in the last column of an animal that is in no gallery,
            which is above 0.
    """

    links: np.ndarray
    hang: np.ndarray

    @property
    def n_animals(self) -> int:
        """K."""
        return self.hang.shape[1] - 1

    def marginals(self) -> np.ndarray:
        """(N, K + 1) probability that the encounter is of each animal of the gallery, and of one that is in no gallery."""
        n = len(self.links)
        if not n:
            return np.zeros_like(self.hang)
        laplacian = np.diag(self.links.sum(1) + self.hang.sum(1)) - self.links
        found = np.clip(np.linalg.solve(laplacian, self.hang), 0.0, None)
        return np.asarray(found / found.sum(1, keepdims=True))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n, N) independent draws: the number of the animal of the gallery, or K + e for the animal whose root is node e."""
        n_nodes = len(self.links)
        animal = np.full((n, n_nodes), -1)
        leave = np.zeros((n, n_nodes), int)  # by which way each walk last left each node
        for start in range(n_nodes):
            walking = np.flatnonzero(animal[:, start] < 0)
            end = self._walk(animal, leave, walking, start, rng)
            at = np.full(len(walking), start)
            while len(walking):  # along the ways that were taken last, so without the loops
                animal[walking, at] = end
                way = leave[walking, at]
                on = way < n_nodes
                walking, end, at = walking[on], end[on], way[on]
                fresh = animal[walking, at] < 0
                walking, end, at = walking[fresh], end[fresh], at[fresh]
        return animal

    def _walk(
        self, animal: np.ndarray, leave: np.ndarray, draws: np.ndarray, start: int, rng: np.random.Generator
    ) -> np.ndarray:
        """The animal at which each of these draws' walks from ``start`` ends; notes in ``leave`` how they went."""
        n_nodes, n_animals = len(self.links), self.n_animals
        end, at = np.full(len(draws), -1), np.full(len(draws), start)
        going = np.arange(len(draws))
        while len(going):
            here = at[going]
            way = self._ways(here, rng)
            leave[draws[going], here] = way
            root = way - n_nodes
            inside = way < n_nodes
            end[going] = np.where(inside, animal[draws[going], np.where(inside, way, 0)], np.where(root < n_animals, root, n_animals + here))  # fmt: skip
            at[going] = np.where(inside, way, here)
            going = going[end[going] < 0]
        return end

    def _ways(self, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """From each node one way by weight: to a node, or from N on to a root."""
        flat = self._cumulative
        found = np.searchsorted(flat.ravel(), at + rng.random(len(at)), side="right") - at * flat.shape[1]
        return np.minimum(found, self._last[at])

    @cached_property
    def _weight(self) -> np.ndarray:
        """(N, N + K + 1) by which walks go on: links, none too strong, and what a node hangs on."""
        leaves = self.hang.sum(1)
        most = STRONGEST * np.minimum(leaves[:, None], leaves[None, :])
        return np.hstack([np.minimum(self.links, most), self.hang])

    @cached_property
    def _cumulative(self) -> np.ndarray:
        """(N, N + K + 1) node + cumulated share of its weights, so that all rows together rise."""
        weight = self._weight
        return np.cumsum(weight / weight.sum(1, keepdims=True), axis=1) + np.arange(len(weight))[:, None]

    @cached_property
    def _last(self) -> np.ndarray:
        """(N,) the last way with a weight, for draws that rounding would carry beyond it."""
        weight = self._weight
        return np.asarray(weight.shape[1] - 1 - np.argmax(weight[:, ::-1] > 0, axis=1))


@dataclass(frozen=True)
class Forbidden:
    """What cannot be.

    Attributes:
        apart: Pairs of nodes that are two animals, because a photo shows both.
        never: Pairs of a node and a number of an animal of the gallery that people say it is not.
    """

    apart: Collection[tuple[int, int]] = ()
    never: Collection[tuple[int, int]] = ()


def draw_allowed(forest: Forest, forbidden: Forbidden, n: int, rng: np.random.Generator, thin: int = 3) -> np.ndarray:
    """(n, N) draws of forests in which nothing forbidden happens.

    Forests are drawn as if nothing were forbidden, and those in which something forbidden happens are left out; what is forbidden is
    seldom probable. Where fewer than one in ``MOST_ROUNDS`` is left, by Gibbs sampling. Numbers as in `Forest.draw`.
    """
    kept: list[np.ndarray] = []
    for _ in range(MOST_ROUNDS):
        drawn = forest.draw(n, rng)
        kept.append(drawn[_allowed(drawn, forbidden)])
        if sum(map(len, kept)) >= n:
            return np.concatenate(kept)[:n]
    return draw_by_turns(forest, forbidden, n, rng, thin)


def _allowed(drawn: np.ndarray, forbidden: Forbidden) -> np.ndarray:
    """(n,) whether nothing forbidden happens in a draw."""
    fine = np.ones(len(drawn), bool)
    for a, b in forbidden.apart:
        fine &= drawn[:, a] != drawn[:, b]
    for node, animal in forbidden.never:
        fine &= drawn[:, node] != animal
    return fine


def draw_by_turns(forest: Forest, forbidden: Forbidden, n: int, rng: np.random.Generator, thin: int = 3) -> np.ndarray:
    """(n, N) draws of forests in which nothing forbidden happens, by Gibbs sampling.

    The state says what each node hangs on: a root or another node. In turn each node, with all that hangs on it, is hung anew on
    anything allowed, by weight; and each whole tree by any of its nodes, as strong links alone would never let another node be what it
    hangs by. Draws follow each other by ``thin`` rounds, after a tenth as many rounds as there are in all.
    Numbers as in `Forest.draw`.
    """
    state = _State(forest, forbidden)
    rounds, burn = n * thin, max(n * thin // 10, 20)
    drawn = np.empty((n, len(forest.links)), int)
    for k in counted(range(-burn, rounds), "cluster", "rounds"):
        for node in range(len(forest.links)):
            state.hang_anew(node, rng.random())
            state.hang_tree_anew(node, rng.random())
        if k >= 0 and k % thin == 0:
            drawn[k // thin] = state.animal
    return drawn


class _State:
    """What each node hangs on: below N a node, from N on a root. At first every node is an animal of its own.

    Attributes:
        animal: (N,) the animal of each node, numbered as in `Forest.draw`.
    """

    def __init__(self, forest: Forest, forbidden: Forbidden) -> None:
        n = self.n = len(forest.links)
        self.k = forest.n_animals
        self.weight = np.hstack([forest.links, forest.hang])
        self.on = [n + self.k] * n
        self.below: list[set[int]] = [set() for _ in range(n)]
        self.animal = self.k + np.arange(n)
        self.apart: list[set[int]] = [set() for _ in range(n)]
        self.never: list[set[int]] = [set() for _ in range(n)]
        for a, b in forbidden.apart:
            self.apart[a].add(b)
            self.apart[b].add(a)
        for node, animal in forbidden.never:
            self.never[node].add(animal)

    def hang_anew(self, node: int, u: float) -> None:
        """Hang a node, and all that hangs on it, on something allowed; ``u``: uniform between 0 and 1."""
        if self.on[node] < self.n:
            self.below[self.on[node]].discard(node)
        moved = self._with_all_below(node)
        self.animal[moved] = self.k + node
        refused = self._refused(moved)
        weight = self.weight[node].copy()
        weight[moved] = 0.0
        if refused:
            weight[: self.n][np.isin(self.animal, list(refused))] = 0.0
            weight[[self.n + animal for animal in refused if animal < self.k]] = 0.0
        total = np.cumsum(weight)
        place = min(int(np.searchsorted(total, u * total[-1], side="right")), int(np.flatnonzero(weight)[-1]))
        self.on[node] = place
        if place < self.n:
            self.below[place].add(node)
            self.animal[moved] = self.animal[place]
        elif place < self.n + self.k:
            self.animal[moved] = place - self.n

    def hang_tree_anew(self, node: int, u: float) -> None:
        """Hang the tree of a node, links as they are, by any of its nodes on any animal allowed.

        Of any node, not of roots alone: a step that depends on which node is the root would change what the draws tend to.
        """
        root = node
        while self.on[root] < self.n:
            root = self.on[root]
        nodes = self._with_all_below(root)
        self.animal[nodes] = self.k + root
        weight = self.weight[nodes, self.n :]
        weight[:, [animal for animal in self._refused(nodes) if animal < self.k]] = 0.0
        total = np.cumsum(weight)
        place = min(int(np.searchsorted(total, u * total[-1], side="right")), int(np.flatnonzero(weight)[-1]))
        node, way = nodes[place // weight.shape[1]], self.n + place % weight.shape[1]
        self.animal[nodes] = way - self.n if way < self.n + self.k else self.k + node
        while True:  # what led to the old root leads to the new one
            above, self.on[node] = self.on[node], way
            if above >= self.n:
                return
            self.below[above].discard(node)
            self.below[node].add(above)
            node, way = above, node

    def _refused(self, nodes: Sequence[int]) -> set[int]:
        """Animals that none of these may be."""
        never = set().union(*(self.never[e] for e in nodes))
        return never | {int(self.animal[f]) for e in nodes for f in self.apart[e]}

    def _with_all_below(self, node: int) -> list[int]:
        found = [node]
        for above in found:  # grows on the way
            found += self.below[above]
        return found
