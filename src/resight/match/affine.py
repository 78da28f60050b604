"""Which matches agree with one affine map: a consensus that is the same whichever of the two photos comes first.

A match is a point (x, y, x', y') in four dimensions, and an affine map between the photos is a plane there. The plane nearest
to some matches comes from the eigenvectors of their covariance: the map that moves both photos' keypoints least (Gold
Standard algorithm for affine maps: Hartley and Zisserman, Multiple View Geometry, 2nd ed., algorithm 14.1). Unlike a fit
from one photo to the other, it treats both alike.

The first planes come from single matches where the detector gives the size and direction of a keypoint (Philbin et al., CVPR
2007): one per match, so that nothing is random. Otherwise they come from three matches each, as in RANSAC (Fischler and Bolles
1981). The best of them are fitted again to the matches that agree (Chum et al., DAGM 2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

REFINED, ROUNDS = 16, 3
COARSE = 2.0  # a keypoint's size and direction are rough: for its plane, matches within so many thresholds agree
LOOSE = 1.5  # a plane is fitted to matches within so many thresholds
LARGEST_ZOOM, LARGEST_STRETCH = 4.0, 3.0
MIN_SPREAD_PX = 5.0  # three points nearer to one line than that fix no plane
FIXES, RNG_SEED = 3, 0  # so many matches fix an affine map
# What a match may be off the map before it counts for less: standard deviations of place (in thresholds), of the logarithm of size, and of
# direction. Chosen on pairs of 36 loggerheads; twice as much or as little changes little (DECISIONS.md, matches that agree more or less).
PLACE, SIZE, TURN_RAD = 0.75, 0.25, 0.3
TINY = 1e-12  # of a plane that is no map, so that its logarithm is finite


@dataclass(frozen=True)
class Shapes:
    """Size and direction of the keypoints of M matches, as the detector gives them.

    Attributes:
        zoom: (M,) size in photo b over size in photo a.
        turn_rad: (M,) direction in photo b minus that in photo a.
    """

    zoom: np.ndarray
    turn_rad: np.ndarray


@dataclass(frozen=True)
class _Planes:
    """H planes in four dimensions: (H, 4) a point of each, (H, 4, 2) the two directions at right angles to it."""

    point: np.ndarray
    normals: np.ndarray

    def __getitem__(self, which: np.ndarray) -> _Planes:
        return _Planes(self.point[which], self.normals[which])

    def distances(self, points: np.ndarray) -> np.ndarray:
        """(H, M) squared distance of each match, in px of either photo where they are of one size."""
        off = np.einsum("mi,hij->hmj", points, self.normals, optimize=True)
        off -= np.einsum("hi,hij->hj", self.point, self.normals)[:, None]
        # A match one of whose keypoints is off by d lies d / sqrt(2) from the plane.
        return np.asarray(2 * np.square(off).sum(axis=-1))

    def linear(self) -> np.ndarray:
        """(H, 2, 2) the maps' linear part, from a to b; zeros where a plane is no map."""
        of_a, of_b = self.normals[:, :2], self.normals[:, 2:]
        solvable = np.abs(np.linalg.det(of_b)) > 1e-9
        linear = np.zeros_like(of_a)
        linear[solvable] = -np.linalg.solve(of_b[solvable].transpose(0, 2, 1), of_a[solvable].transpose(0, 2, 1))
        return linear

    def sane(self) -> np.ndarray:
        """(H,) bool: no mirror image, no zoom beyond 4 and no stretch beyond 3, which two views of one side of a head never have."""
        linear = self.linear()
        size = np.linalg.svd(linear, compute_uv=False)
        zoom = np.sqrt(size[:, 0] * size[:, 1])
        fits = (zoom < LARGEST_ZOOM) & (zoom * LARGEST_ZOOM > 1) & (size[:, 0] < LARGEST_STRETCH * size[:, 1])
        return np.asarray(fits & (np.linalg.det(linear) > 0))


def affine_consensus(
    xy_a_px: np.ndarray,
    xy_b_px: np.ndarray,
    weight: np.ndarray,
    threshold_px: float,
    samples: int,
    shapes: Shapes | None,
) -> np.ndarray:
    """Which matches agree with the affine map that the heaviest set of matches agrees with.

    Args:
        xy_a_px, xy_b_px: (M, 2) float, matched points of both crops.
        weight: (M,) positive, e.g. confidences.
        threshold_px: Largest distance between a point and its partner's place, the photos being of one size.
        samples: Triples to draw where ``shapes`` is None.
        shapes: Sizes and directions of the keypoints, where the detector gives them.

    Returns:
        (M,) bool.
    """
    points = np.concatenate([xy_a_px, xy_b_px], axis=1).astype(np.float64)
    order = np.lexsort((*points.T, -weight))
    points, weight = points[order], weight[order].astype(np.float64)
    limit = threshold_px**2
    planes = _triples(points, samples) if shapes is None else _single(points, shapes, order)
    out = np.zeros(len(points), bool)
    if len(planes.point):
        out[order] = _heaviest(points, weight, planes, limit, limit if shapes is None else limit * COARSE**2)
    return out


def affine_agreement(
    xy_a_px: np.ndarray,
    xy_b_px: np.ndarray,
    confidence: np.ndarray,
    agree: np.ndarray,
    threshold_px: float,
    shapes: Shapes | None,
) -> float:
    """How well all matches together agree with the affine map of those that ``agree``: each counts by how well it fits, none by more than 1.

    A keypoint has a size and a direction of its own, so each match says by itself how much larger photo b is and how far it is turned. Matches
    of two photos of one animal say that with one voice; matches of strangers that happen to lie on one map mostly do not (weak geometric
    consistency: Jegou et al., ECCV 2008). A count with a threshold sees neither that nor how near to the map a match lies.

    Args:
        xy_a_px, xy_b_px: (M, 2) float, matched points of both crops.
        confidence: (M,) of the matches.
        agree: (M,) bool, from `affine_consensus`; none where no map was found.
        threshold_px: That of the consensus.
        shapes: Sizes and directions of the keypoints, where the detector gives them; without, places alone count.

    Returns:
        The sum over matches of ``sqrt(confidence) exp(-(d^2 / s_d^2 + z^2 / s_z^2 + t^2 / s_t^2) / 2)``: d the distance from the map, z the
        difference in size (logarithm) and t in direction from what the map does; 0 without a map.
    """
    if agree.sum() < FIXES:
        return 0.0
    points = np.concatenate([xy_a_px, xy_b_px], axis=1).astype(np.float64)
    weight = np.where(agree, confidence, 0.0).astype(np.float64)
    plane = _fitted(points, weight[None])
    off = plane.distances(points)[0] / (PLACE * threshold_px) ** 2
    if shapes is not None:
        ((a, b), (c, d)) = plane.linear()[0]
        turn = shapes.turn_rad.astype(np.float64) - np.arctan2(c - b, a + d)
        off += np.square((np.remainder(turn + np.pi, 2 * np.pi) - np.pi) / TURN_RAD)
        off += np.square((np.log(shapes.zoom.astype(np.float64)) - np.log(max(abs(a * d - b * c), TINY)) / 2) / SIZE)
    return float((np.sqrt(confidence.astype(np.float64)) * np.exp(-off / 2)).sum())


def _heaviest(points: np.ndarray, weight: np.ndarray, planes: _Planes, limit: float, first: float) -> np.ndarray:
    """(M,) bool, what the heaviest plane agrees with after the best of ``planes`` were fitted anew to what is near them.

    Squared pixels: ``limit`` for a match that agrees, ``first`` for one that counts before the first fit.
    """
    agreeing = np.zeros(len(points), bool)
    distance = planes.distances(points)
    best = np.argsort(-((distance <= first) @ weight), kind="stable")[:REFINED]
    planes, distance, heaviest = planes[best], distance[best], 0.0
    near = distance <= first
    for last in (False,) * ROUNDS + (True,):
        agree = distance <= limit
        heavy = agree @ weight
        k = int(np.argmax(heavy))
        if heavy[k] > heaviest:
            heaviest, agreeing = float(heavy[k]), agree[k]
        near = near[near.sum(axis=1) >= FIXES]
        if last or not len(near):
            break
        planes = _fitted(points, near * weight)
        planes = planes[planes.sane()]
        if not len(planes.point):
            break
        distance = planes.distances(points)
        near = distance <= limit * LOOSE**2
    return agreeing


def _fitted(points: np.ndarray, weight: np.ndarray) -> _Planes:
    """Planes nearest to the matches in the sense of weighted squared distances; (H, M) weights."""
    total = weight.sum(axis=1, keepdims=True)
    centre = weight @ points / total
    moved = np.einsum("hm,mi,mj->hij", weight, points, points, optimize=True) / total[:, :, None]
    _, axes = np.linalg.eigh(moved - centre[:, :, None] * centre[:, None, :])
    return _Planes(centre, axes[:, :, :2])


def _single(points: np.ndarray, shapes: Shapes, order: np.ndarray) -> _Planes:
    """A plane through each match, from the size and direction of its keypoints."""
    zoom, turn = shapes.zoom[order].astype(np.float64), shapes.turn_rad[order].astype(np.float64)
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    across = np.concatenate([linear.transpose(0, 2, 1), np.broadcast_to(-np.eye(2), linear.shape)], axis=1)
    planes = _Planes(points, across / np.sqrt(1 + zoom**2)[:, None, None])
    return planes[(zoom < LARGEST_ZOOM) & (zoom * LARGEST_ZOOM > 1)]


def _triples(points: np.ndarray, samples: int) -> _Planes:
    """Planes through three matches each: all triples where they are few, otherwise a seeded sample."""
    n = len(points)
    if n * (n - 1) * (n - 2) // 6 <= samples:
        index = np.array(list(combinations(range(n), FIXES)), np.int64).reshape(-1, FIXES)
    else:
        index = np.random.default_rng(RNG_SEED).integers(0, n, (samples, FIXES))
        index = index[(index[:, 0] != index[:, 1]) & (index[:, 1] != index[:, 2]) & (index[:, 0] != index[:, 2])]
    three = points[index]
    centre = three.mean(axis=1)
    off = three - centre[:, None]
    spread, axes = np.linalg.eigh(np.einsum("hki,hkj->hij", off, off))
    planes = _Planes(centre, axes[:, :, :2])
    return planes[(spread[:, 2] > MIN_SPREAD_PX**2) & planes.sane()]
