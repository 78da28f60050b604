"""Who is who, all encounters at once: random forests in which every tree is an animal.

Each encounter is a node. A tree of nodes is one animal; it hangs on an animal of the gallery, or on a root of its own, if the animal is
in nobody's gallery. A forest weighs the product of the weights of its links, so the probability of a forest is

    product over links (c LR)  x  product over trees hung on an animal of the gallery (its prior x LR)  x  product over the others (prior of new)

and sums over all forests are determinants (Kirchhoff's matrix-tree theorem): with the Laplacian L of the links and A the diagonal of
all weights by which a node can hang, the probability that node e is animal g is ``((L + A)^-1 B)[e, g]``, B being the weights of
hanging on g. That is the chance that a random walker who starts in e leaves the graph at g (Grady, IEEE PAMI 28, 2006). Forests are
drawn exactly, without a Markov chain, by walks whose loops are erased (Wilson, STOC 1996).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np

NEW = -1  # the last column of `Forest.hang`


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
    def _cumulative(self) -> np.ndarray:
        """(N, N + K + 1) node + cumulated share of its weights, so that all rows together rise."""
        weight = np.hstack([self.links, self.hang])
        return np.cumsum(weight / weight.sum(1, keepdims=True), axis=1) + np.arange(len(weight))[:, None]

    @cached_property
    def _last(self) -> np.ndarray:
        """(N,) the last way with a weight, for draws that rounding would carry beyond it."""
        weight = np.hstack([self.links, self.hang])
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
    """(n, N) draws of forests in which nothing forbidden happens, by Gibbs sampling.

    The state says what each node hangs on: a root or another node. In turn each node, with all that hangs on it, is hung anew on
    anything allowed, by weight. Draws follow each other by ``thin`` rounds, after a tenth as many rounds as there are in all.
    Numbers as in `Forest.draw`.
    """
    state = _State(forest, forbidden)
    rounds, burn = n * thin, max(n * thin // 10, 20)
    drawn = np.empty((n, len(forest.links)), int)
    for k in range(-burn, rounds):
        for node in range(len(forest.links)):
            state.hang_anew(node, rng.random())
        if k >= 0 and k % thin == 0:
            drawn[k // thin] = state.animals()
    return drawn


class _State:
    """What each node hangs on: below N a node, from N on a root. At first every node is an animal of its own."""

    def __init__(self, forest: Forest, forbidden: Forbidden) -> None:
        n = self.n = len(forest.links)
        self.k = forest.n_animals
        self.hang, self.links = forest.hang, forest.links
        self.on = [n + self.k] * n
        self.apart: list[set[int]] = [set() for _ in range(n)]
        self.never: list[set[int]] = [set() for _ in range(n)]
        for a, b in forbidden.apart:
            self.apart[a].add(b)
            self.apart[b].add(a)
        for node, animal in forbidden.never:
            self.never[node].add(animal)

    def animals(self) -> list[int]:
        """The animal of each node."""
        return [self._animal(node) for node in range(self.n)]

    def _animal(self, node: int) -> int:
        while self.on[node] < self.n:
            node = self.on[node]
        root = self.on[node] - self.n
        return root if root < self.k else self.k + node

    def hang_anew(self, node: int, u: float) -> None:
        """Hang a node, and all that hangs on it, on something allowed; ``u``: uniform between 0 and 1."""
        self.on[node] = self.n + self.k
        animals = self.animals()
        own = self.k + node
        moved = [e for e in range(self.n) if animals[e] == own]
        refused = set().union(*(self.never[e] for e in moved))
        refused |= {animals[f] for e in moved for f in self.apart[e]}
        weight = np.concatenate([self.links[node], self.hang[node]])
        for other, animal in enumerate(animals):
            if animal in refused or animal == own:
                weight[other] = 0.0
        for animal in refused:
            if animal < self.k:
                weight[self.n + animal] = 0.0
        total = np.cumsum(weight)
        place = min(int(np.searchsorted(total, u * total[-1], side="right")), int(np.flatnonzero(weight)[-1]))
        self.on[node] = place
