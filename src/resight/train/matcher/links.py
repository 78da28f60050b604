"""Two photos of one animal as weak truth: what the current model matches and one geometry confirms."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from resight.match.params import VerifyParams
from resight.match.verify import MAX_SAMPLES, RNG_SEED, SURE
from resight.runner.progress import Tracker, track
from resight.store.parts import write_bytes
from resight.train.matcher.bank import Bank
from resight.train.matcher.truth import Placed, carried

log = logging.getLogger("resight")
REACH_PX = 36.0  # how far from a verified match the common geometry is trusted
TOLERANCE = 3.0  # heads bend and turn, so that one homography is off by some pixels
MIN_INLIERS = 10
N_IMPOSTORS, N_PAIRS = 400, 1200  # most pairs to match
TRIES = 20  # draws for each impostor pair, most of which are of two animals
Match = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Link:
    """Two pictures of one animal that show the same skin.

    Attributes:
        a, b: Views of the bank that are the pictures as they are.
        homography: (3, 3), pixels of a to pixels of b.
        verified_xy_px: (M, 2), verified matches in picture a.
    """

    a: int
    b: int
    homography: np.ndarray
    verified_xy_px: np.ndarray

    def into_first(self, placed: Placed) -> Placed:
        """Keypoints of a view of picture b, placed in picture a."""
        xy = placed.place[:, :2].astype(np.float64)
        xy_a, area, angle = carried(partial(_map, np.linalg.inv(self.homography)), xy, placed.angle_rad)
        px = placed.px_per_unit / np.sqrt(np.where(np.isnan(area), 1.0, area.clip(1e-6, 1e6)))
        place = np.column_stack([xy_a, np.zeros(len(xy_a))]).astype(np.float32)
        return self.near(Placed(place, px.astype(np.float32), placed.sigma_px, angle.astype(np.float32), placed.known))

    def near(self, placed: Placed) -> Placed:
        """The same with only the keypoints near a verified match known."""
        gap = np.linalg.norm(placed.place[:, None, :2] - self.verified_xy_px[None], axis=-1)
        near = np.where(np.isfinite(gap), gap, np.inf).min(1) < REACH_PX
        return replace(placed, known=placed.known & near)


@dataclass(frozen=True)
class Found:
    """What the photos of named animals have in common.

    Attributes:
        links: Photos of one animal that surely show the same skin.
        look_alikes: (N, 2) views of photos of two animals; of all that were compared, the quarter with the most verified matches.
    """

    links: list[Link]
    look_alikes: np.ndarray


def find_links(
    bank: Bank, plain: Iterable[int], match: Match, seed: int, n_pairs: int = N_PAIRS, n_impostors: int = N_IMPOSTORS
) -> Found:
    """Links among named pictures. A link needs two inliers more than one impostor pair in 200 reaches by chance.

    Photos of two encounters come first, because those of one are alike in light and water; an animal that was met once gives pairs of its one encounter.

    Args:
        bank: Views.
        plain: Those that are pictures as they are.
        match: Keypoints of two views that match, as two arrays of indices.
        seed: Of the samples of pairs.
        n_pairs, n_impostors: Most pairs of one animal and of two animals to match.
    """
    heads = np.array([v for v in plain if bank.tags["animal"][v] and bank.tags["kind"][v] == "head"], np.int64)
    rng = np.random.default_rng([seed, 41])
    same = _genuine(bank, heads, n_pairs, rng)
    impostors = _impostors(bank, heads, n_impostors, rng)
    with track("links", "pairs", len(same) + len(impostors)) as done:
        chance = np.array([_counted(_link(bank, a, b, match), done) for a, b in impostors])
        least = max(MIN_INLIERS, int(np.quantile(chance, 0.995)) + 2) if len(chance) else MIN_INLIERS
        found = [(link, _counted(link, done)) for a, b in same for link in [_link(bank, a, b, match)]]
    links = [link for link, n in found if link is not None and n >= least]
    log.info("links: %d of %d pairs of one animal have %d verified matches or more", len(links), len(same), least)
    most = np.argsort(-chance, kind="stable")[: len(chance) // 4]
    return Found(links, np.array(impostors, np.int64).reshape(-1, 2)[most])


def _counted(link: Link | None, done: Tracker) -> int:
    done.advance(1)
    return len(link.verified_xy_px) if link is not None else 0


def _genuine(bank: Bank, heads: np.ndarray, most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    animals, encounters = bank.tags["animal"][heads], bank.tags["encounter"][heads]
    pairs: list[tuple[int, int]] = []
    for animal in np.unique(animals):
        of = np.flatnonzero(animals == animal)
        may = [(heads[i], heads[j], encounters[i] != encounters[j]) for i, j in combinations(of, 2)]
        may = [one for one in may if not opposite(bank, one[0], one[1])]
        apart = [one for one in may if one[2]]
        pairs += [(int(a), int(b)) for a, b, _ in apart or may]
    return [pairs[i] for i in np.sort(rng.permutation(len(pairs))[:most])]


def _impostors(bank: Bank, heads: np.ndarray, most: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Different pairs of photos of two animals that do not show opposite sides, drawn at random."""
    pairs: dict[tuple[int, int], None] = {}
    for _ in range(TRIES * most if len(heads) > 1 else 0):
        a, b = sorted(heads[rng.choice(len(heads), 2, replace=False)].tolist())
        if bank.tags["animal"][a] != bank.tags["animal"][b] and not opposite(bank, a, b):
            pairs[a, b] = None
        if len(pairs) == most:
            break
    return list(pairs)


def write_links(file: Path, found: Found) -> None:
    """Keep them, so that a resumed training need not search for them again."""
    rows = [[int(link.a), int(link.b), link.homography.tolist(), link.verified_xy_px.tolist()] for link in found.links]
    write_bytes(file, json.dumps({"links": rows, "look_alikes": found.look_alikes.tolist()}).encode())


def read_links(file: Path) -> Found:
    """What is in a file of `write_links`."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    links = [Link(a, b, np.array(homography), np.array(xy).reshape(-1, 2)) for a, b, homography, xy in kept["links"]]
    return Found(links, np.array(kept["look_alikes"], np.int64).reshape(-1, 2))


def opposite(bank: Bank, a: int, b: int) -> bool:
    """Whether one view is from the left and the other from the right, so that they share no skin."""
    return {str(bank.tags["side"][a]), str(bank.tags["side"][b])} == {"left", "right"}


def nearest(bank: Bank, n: int, ratio: float = 0.9) -> Match:
    """Mutual nearest neighbours with the ratio test among the strongest ``n`` keypoints."""

    def match(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        first, second = (bank.descriptors[v, : min(n, bank.counts[v])] for v in (a, b))
        return nearest_of(first, second, ratio)

    return match


def nearest_of(a: np.ndarray, b: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Mutual nearest neighbours of unit descriptors that are nearer than ``ratio`` times the second nearest, seen from a."""
    if min(len(a), len(b)) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    gap = np.sqrt(np.maximum(2 - 2 * a.astype(np.float32) @ b.astype(np.float32).T, 1e-9))
    best = gap.argmin(1)
    first, second = np.partition(gap, 1, axis=1)[:, :2].T
    keep = (gap.argmin(0)[best] == np.arange(len(a))) & ((first < ratio * second) | (ratio >= 1))
    return np.flatnonzero(keep), best[keep]


def _link(bank: Bank, a: int, b: int, match: Match) -> Link | None:
    index_a, index_b = match(a, b)
    if len(index_a) < MIN_INLIERS:
        return None
    xy_a, xy_b = (bank.placed.place[v, i, :2].astype(np.float64) for v, i in ((a, index_a), (b, index_b)))
    verify = VerifyParams()
    cv2.setRNGSeed(RNG_SEED)
    homography, inside = cv2.findHomography(
        xy_a, xy_b, cv2.USAC_MAGSAC, verify.threshold_px, maxIters=MAX_SAMPLES, confidence=SURE
    )
    if homography is None or abs(np.linalg.det(homography)) < 1e-9:
        return None
    return Link(a, b, homography, xy_a[inside.ravel() > 0])


def _map(homography: np.ndarray, xy: np.ndarray) -> np.ndarray:
    lifted = np.column_stack([xy, np.ones(len(xy))]) @ homography.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(lifted[:, :2] / lifted[:, 2:])
