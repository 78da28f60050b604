"""Two photos of one animal as weak truth: what the current model matches and one geometry confirms."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from resight.match.params import VerifyParams
from resight.match.verify import MAX_SAMPLES, RNG_SEED, SURE
from resight.store.parts import write_bytes
from resight.train.matcher.bank import Bank
from resight.train.matcher.truth import Placed, carried

log = logging.getLogger("resight")
REACH_PX = 36.0  # how far from a verified match the common geometry is trusted
TOLERANCE = 3.0  # heads bend and turn, so that one homography is off by some pixels
MIN_INLIERS = 10
N_IMPOSTORS, N_PAIRS = 400, 1200  # most pairs to match
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


def find_links(bank: Bank, plain: Iterable[int], match: Match, seed: int) -> list[Link]:
    """Links among labelled pictures. A link needs two inliers more than one impostor pair in 200 reaches by chance.

    Args:
        bank: Views.
        plain: Those that are pictures as they are.
        match: Keypoints of two views that match, as two arrays of indices.
        seed: Of the sample of impostor pairs.
    """
    heads = [v for v in plain if bank.tags["animal"][v] and bank.tags["kind"][v] == "head"]
    pairs = [(a, b) for a, b in combinations(heads, 2) if not opposite(bank, a, b)]
    same = [p for p in pairs if bank.tags["animal"][p[0]] == bank.tags["animal"][p[1]]]
    impostors = [p for p in pairs if bank.tags["animal"][p[0]] != bank.tags["animal"][p[1]]]
    rng = np.random.default_rng([seed, 41])
    impostors = [impostors[i] for i in rng.permutation(len(impostors))[:N_IMPOSTORS]]
    same = [same[i] for i in np.sort(rng.permutation(len(same))[:N_PAIRS])]
    chance = [len(link.verified_xy_px) if (link := _link(bank, a, b, match)) else 0 for a, b in impostors]
    least = max(MIN_INLIERS, int(np.quantile(chance, 0.995)) + 2) if chance else MIN_INLIERS
    links = [link for a, b in same if (link := _link(bank, a, b, match)) and len(link.verified_xy_px) >= least]
    log.info("links: %d of %d pairs of one animal have %d verified matches or more", len(links), len(same), least)
    return links


def write_links(file: Path, links: Sequence[Link]) -> None:
    """Keep links, so that a resumed training need not search for them again."""
    rows = [[int(link.a), int(link.b), link.homography.tolist(), link.verified_xy_px.tolist()] for link in links]
    write_bytes(file, json.dumps(rows).encode())


def read_links(file: Path) -> list[Link]:
    """The links in a file of `write_links`."""
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [Link(a, b, np.array(homography), np.array(xy).reshape(-1, 2)) for a, b, homography, xy in rows]


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
