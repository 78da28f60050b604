"""The pairs of views of a step, with their truth. A batch depends on seed and step alone, so that a resumed run repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch

from resight.train.matcher.bank import Bank
from resight.train.matcher.links import TOLERANCE, Found
from resight.train.matcher.loss import IGNORED, Targets
from resight.train.matcher.network import Sides
from resight.train.matcher.truth import Placed, nothing, partners


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of pairs; kinds that a bank does not have leave their share to the others.

    Attributes:
        head: Two views of one head crop.
        whole: Two views of one whole photo.
        rendered: Two pictures of one rendered animal.
        linked: Two photos of one animal, verified (`links`).
        other_head: Heads of two different animals: nothing matches.
        other_rendered: The same of rendered animals.
    """

    head: float = 0.32
    whole: float = 0.10
    rendered: float = 0.14
    linked: float = 0.18
    other_head: float = 0.18
    other_rendered: float = 0.08


@dataclass(frozen=True)
class PairBatch:
    """B pairs with their truth, padded."""

    a: Sides
    b: Sides
    truth: Targets

    def to(self, device: str) -> PairBatch:
        """The same on another device."""
        a, b = (Sides(*(t.to(device) for t in (s.descriptors, s.positions, s.mask))) for s in (self.a, self.b))
        return PairBatch(a, b, Targets(self.truth.partner_a.to(device), self.truth.partner_b.to(device)))


@dataclass(frozen=True)
class ViewPair:
    """Two views, the keypoints of either that are used, and their partners among those."""

    views: tuple[int, int]
    keypoints: tuple[np.ndarray, np.ndarray]
    partners: tuple[np.ndarray, np.ndarray]


class Sampler:
    """Draws batches from a bank.

    Args:
        bank: Views.
        found: Pairs of photos of one animal with weak truth, and of animals that look alike.
        mix: Shares.
        views: Which views may be drawn; all if not given.
    """

    def __init__(self, bank: Bank, found: Found | None, mix: Mix, views: np.ndarray | None = None) -> None:
        self.bank, self.mix = bank, mix
        self.views = np.arange(len(bank)) if views is None else views
        tag = bank.tags["space"]
        held = np.isin(tag, np.unique(tag[self.views]))
        self.links = [link for link in found.links if held[link.a] and held[link.b]] if found else []
        self.look_alikes = found.look_alikes[held[found.look_alikes].all(1)] if found else np.zeros((0, 2), np.int64)

    @cached_property
    def spaces(self) -> dict[str, list[np.ndarray]]:
        """By kind, the views of each space that has at least two."""
        kinds: dict[str, dict[str, list[int]]] = {}
        for v in self.views:
            kinds.setdefault(str(self.bank.tags["kind"][v]), {}).setdefault(str(self.bank.tags["space"][v]), []).append(int(v))  # fmt: skip
        return {k: [np.array(vs) for vs in spaces.values() if len(vs) > 1] for k, spaces in kinds.items()}

    @cached_property
    def _of_space(self) -> dict[str, np.ndarray]:
        tags = self.bank.tags["space"][self.views]
        order = np.argsort(tags, kind="stable")
        names, starts = np.unique(tags[order], return_index=True)
        return dict(zip(names.tolist(), np.split(self.views[order], starts[1:]), strict=True))

    @cached_property
    def named(self) -> dict[str, np.ndarray]:
        """By kind, the views with a labelled animal, if there are at least two animals."""
        animals = self.bank.tags["animal"][self.views]
        kinds = self.bank.tags["kind"][self.views]
        groups = {str(kind): self.views[(kinds == kind) & (animals != "")] for kind in np.unique(kinds)}
        return {kind: vs for kind, vs in groups.items() if len(set(self.bank.tags["animal"][vs])) > 1}

    @cached_property
    def shares(self) -> tuple[list[str], np.ndarray]:
        """Kinds of pairs that can be drawn, and their chances."""
        drawable = {kind: bool(self.spaces.get(kind)) for kind in ("head", "whole", "rendered")}
        drawable |= {f"other_{kind}": kind in self.named for kind in ("head", "rendered")} | {
            "linked": bool(self.links)
        }
        shares = {name: share for name, share in asdict(self.mix).items() if share > 0 and drawable[name]}
        if not shares:
            raise ValueError("no pairs can be drawn: every picture needs at least two views")
        chances = np.array(list(shares.values()))
        return list(shares), chances / chances.sum()

    def batch(self, seed: int, step: int, size: int, keypoints: Sequence[int]) -> PairBatch:
        """``size`` pairs of at most one of ``keypoints`` keypoints."""
        rng = np.random.default_rng([seed, step])
        n = int(rng.choice(np.asarray(keypoints)))
        names, chances = self.shares
        return self.collate([self._pair(str(rng.choice(names, p=chances)), n, rng) for _ in range(size)], n)

    def _pair(self, name: str, n: int, rng: np.random.Generator) -> ViewPair:
        if name == "linked":
            link = self.links[int(rng.choice(len(self.links), p=self._link_chances))]
            a, b = self._other_views(link.a, link.b, rng)
        elif name.startswith("other_"):
            link, (a, b) = None, self._impostors(name.removeprefix("other_"), rng)
        else:
            space = self.spaces[name][rng.integers(len(self.spaces[name]))]
            link, (a, b) = None, rng.choice(space, 2, replace=False).tolist()
        index_a, index_b = (self._keypoints(v, n, rng) for v in (a, b))
        placed_a, placed_b = (self._placed(v, i) for v, i in ((a, index_a), (b, index_b)))
        if link is not None:
            truth = partners(link.near(placed_a), link.into_first(placed_b), TOLERANCE, sure_of_none=False)
        else:
            truth = (nothing if name.startswith("other_") else partners)(placed_a, placed_b)
        return ViewPair((a, b), (index_a, index_b), truth)

    @cached_property
    def _link_chances(self) -> np.ndarray:
        """An animal with many photos has the square of their number as links; by the root of theirs, each animal counts about as its photos do."""
        _, of, counts = np.unique(
            [self.bank.tags["animal"][link.a] for link in self.links], return_inverse=True, return_counts=True
        )
        weights: np.ndarray = 1 / np.sqrt(counts[of])
        return weights / weights.sum()

    def _other_views(self, a: int, b: int, rng: np.random.Generator) -> tuple[int, int]:
        tag = self.bank.tags["space"]
        first, second = (int(rng.choice(self._of_space[str(tag[v])])) for v in (a, b))
        return first, second

    def _impostors(self, kind: str, rng: np.random.Generator) -> tuple[int, int]:
        """Views of two animals: half of them look alike, and the others are mostly of the same side, which is harder than any two."""
        if kind == "head" and len(self.look_alikes) and rng.random() < 0.5:
            a, b = self.look_alikes[rng.integers(len(self.look_alikes))].tolist()
            return self._other_views(a, b, rng)
        views, tags = self.named[kind], self.bank.tags
        a = int(rng.choice(views))
        impostors = views[tags["animal"][views] != tags["animal"][a]]
        same_side = impostors[tags["side"][impostors] == tags["side"][a]]
        return a, int(rng.choice(same_side if len(same_side) and rng.random() < 0.8 else impostors))

    def _keypoints(self, view: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """The strongest ``n`` keypoints, or a random ``n``."""
        count = int(self.bank.counts[view])
        if rng.random() < 0.5 or count <= n:
            return np.arange(min(n, count))
        return np.sort(rng.permutation(count)[:n])

    def _placed(self, view: int, index: np.ndarray) -> Placed:
        return self.bank.placed_of(view, int(self.bank.counts[view])).take(index)

    def collate(self, pairs: Sequence[ViewPair], n: int) -> PairBatch:
        """Pairs padded to ``n`` keypoints."""
        a, b = (self._sides([(p.views[side], p.keypoints[side]) for p in pairs], n) for side in (0, 1))
        of_a, of_b = (np.full((len(pairs), n), IGNORED, np.int64) for _ in range(2))
        for row, pair in enumerate(pairs):
            for of, partner in zip((of_a, of_b), pair.partners, strict=True):
                of[row, : len(partner)] = partner
        return PairBatch(a, b, Targets(torch.from_numpy(of_a), torch.from_numpy(of_b)))

    def _sides(self, chosen: Sequence[tuple[int, np.ndarray]], n: int) -> Sides:
        descriptors = np.zeros((len(chosen), n, self.bank.descriptors.shape[-1]), np.float32)
        positions, mask = np.zeros((len(chosen), n, 4), np.float32), np.zeros((len(chosen), n), bool)
        for row, (view, index) in enumerate(chosen):
            descriptors[row, : len(index)] = self.bank.descriptors[view, index]
            positions[row, : len(index)] = self.bank.positions[view, index]
            mask[row, : len(index)] = True
        return Sides(torch.from_numpy(descriptors), torch.from_numpy(positions), torch.from_numpy(mask))


def plain_views(bank: Bank) -> np.ndarray:
    """The first view of every photo's picture: the picture as it is."""
    photos = np.flatnonzero(bank.tags["kind"] != "rendered")
    _, first = np.unique(bank.tags["space"][photos], return_index=True)
    return np.sort(photos[first])
