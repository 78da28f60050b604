"""The two looks: where in the frame heads may be, and a head at full resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import torch

from resight.segment.cropper import resample
from resight.segment.geometry import Box, CropFrame, Polygon, bounds, transform
from resight.segment.learned.copies import Copies
from resight.segment.learned.network import MAP_STRIDE, STRIDE, SWAPPED, VIEWS, HeadNet
from resight.segment.masks import polygons_of, resized

CLOSE_SIDE_PX = 128
WINDOW = 2.3  # side of the second look's window, in long sides of the head
WINDOWS_AT_ONCE = (
    6  # with their mirror images fewer than 16 pictures, from where on torch takes another way through the same sums
)
SIDE_STEEPNESS = 4.0  # how fast the slopes' determinant becomes certainty about the side
CLEAR_SLOPE = 1.5  # about two thirds of the slope that perfect maps would have
CORE = 0.85  # at this level a head that was joined to a flipper is often a piece of its own
INSIDE = 0.5  # least chance of a pixel that counts as head or body
NONE = VIEWS.index("none")
SAME = 0.5  # boxes that share more of the smaller one's area are one head


@dataclass(frozen=True)
class Candidate:
    """A place where a head may be: its box in outline coordinates of the photo, and how sure the first look is, 0 to 1."""

    bbox_xywh_px: Box
    confidence: float


@dataclass(frozen=True)
class WideView:
    """What the first look saw.

    Attributes:
        candidates: Best first; the best is there even where its confidence is next to nothing.
        bodies: Boxes of animals, largest first.
    """

    candidates: tuple[Candidate, ...]
    bodies: tuple[Box, ...]


@dataclass(frozen=True)
class Lie:
    """How a head lies in an image.

    Attributes:
        snoutward: (2,) slope of the map of that name to the right and down, per half side of the image.
        crownward: (2,) the same of the other.
    """

    snoutward: np.ndarray
    crownward: np.ndarray

    def sided(self, views: np.ndarray) -> np.ndarray:
        """Chances (6,) of the views, with left and right divided between them by geometry.

        Snout and crown turn into each other clockwise on one side of the head and counter-clockwise on the other, however the
        photo is turned. This distinguishes the sides far better than the network's vote, which is kept for the other views.
        """
        crossed = self.snoutward[0] * self.crownward[1] - self.snoutward[1] * self.crownward[0]
        left = 1 / (1 + math.exp(-float(np.clip(SIDE_STEEPNESS * crossed, -30, 30))))
        shared = views.copy()
        shared[:2] = (views[0] + views[1]) * np.array([left, 1 - left])
        return shared

    def upright(self, view: str) -> tuple[float, float]:
        """Counter-clockwise turn that brings the head upright, and how clear it is, 0 to 1.

        From above the snout goes up, from all other sides the crown.
        """
        slope = self.snoutward if view == "top" else self.crownward
        return _wrapped(math.pi / 2 - math.atan2(-slope[1], slope[0])), float(min(1.0, np.hypot(*slope) / CLEAR_SLOPE))


@dataclass(frozen=True)
class CloseView:
    """What the second look saw.

    Attributes:
        polygons_xy_px: Outline in the photo; empty where the window shows no head.
        view_chances: (6,) in the order of `VIEWS`, sum 1.
        upright_rad: Turn of the photo, counter-clockwise, that brings the head upright.
        upright_trust: 0 to 1: how clearly crown and throat, or snout and neck, differ.
        confidence: Mean chance of the pixels inside the outline, 0 to 1.
        lie: How the head lies in the window.
    """

    polygons_xy_px: tuple[Polygon, ...]
    view_chances: np.ndarray
    upright_rad: float
    upright_trust: float
    confidence: float
    lie: Lie

    @property
    def bbox_xywh_px(self) -> Box:
        return bounds(np.concatenate(self.polygons_xy_px))


def look_wide(net: HeadNet, photo: Copies, sides_px: Sequence[int], max_heads: int) -> WideView:
    """Look at the whole frame and its mirror image, shrunk to each of several long sides.

    Heads that fill half the frame are seen in the smallest copy, heads of a few percent in the largest.
    """
    heads: list[Candidate] = []
    bodies: list[Box] = []
    for side_px in sorted(set(sides_px)):
        view = _look_once(net, photo, side_px, max_heads)
        heads += view.candidates
        bodies += view.bodies
    best: list[Candidate] = []
    for head in sorted(heads, key=lambda c: -c.confidence):
        # A box inside another stays: in a small copy, head and shoulders are easily one piece.
        if all(_iou(head.bbox_xywh_px, better.bbox_xywh_px) < SAME for better in best):
            best.append(head)
    return WideView(tuple(best[:max_heads]), tuple(sorted(bodies, key=lambda b: -b[2] * b[3])))


def _look_once(net: HeadNet, photo: Copies, side_px: int, max_heads: int) -> WideView:
    height, width = photo.rgb.shape[:2]
    scale = min(1.0, side_px / max(height, width))
    copy, n_px = photo.for_scale(scale)
    small = resized(copy, min(1.0, scale * n_px))
    h, w = small.shape[:2]
    padded = cv2.copyMakeBorder(small, 0, -h % STRIDE, 0, -w % STRIDE, cv2.BORDER_CONSTANT)
    ((maps, _),) = _predict(net, [padded])
    enlarged = cv2.resize(maps[..., :2], (padded.shape[1], padded.shape[0]), interpolation=cv2.INTER_LINEAR)[:h, :w]
    factor = (width / w, height / h)
    heads = _candidates(enlarged[..., 0], factor, max_heads)
    return WideView(tuple(heads), tuple(_scaled(box, factor) for box, _ in _pieces(enlarged[..., 1], INSIDE)))


def look_close(net: HeadNet, photo: Copies, windows: Sequence[tuple[Box, float]]) -> list[CloseView]:
    """Look at the surroundings of boxes in the photo, each turned counter-clockwise by so many radians."""
    frames = [_around(box, turn_rad) for box, turn_rad in windows]
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for first in range(0, len(frames), WINDOWS_AT_ONCE):
        seen += _predict(net, [_window(photo, frame) for frame in frames[first : first + WINDOWS_AT_ONCE]])
    return [_close_view(frame, *of_window) for frame, of_window in zip(frames, seen, strict=True)]


def _around(box: Box, turn_rad: float) -> CropFrame:
    x, y, width, height = box
    scale = CLOSE_SIDE_PX / (WINDOW * max(width, height, 4.0))
    return CropFrame((x + width / 2, y + height / 2), turn_rad, scale, (CLOSE_SIDE_PX, CLOSE_SIDE_PX))


def _close_view(frame: CropFrame, maps: np.ndarray, views: np.ndarray) -> CloseView:
    head = cv2.resize(maps[..., 0], frame.size_wh_px, interpolation=cv2.INTER_LINEAR)
    mask = _central(head)
    polygons = tuple(_to_photo(polygon, frame) for polygon in polygons_of(mask)[:1])
    confidence = float(head[mask].mean()) if mask.any() else 0.0
    lie = lie_of(maps)
    chances = lie.sided(views)
    turn, trust = lie.upright(VIEWS[int(chances[:NONE].argmax())])
    return CloseView(polygons, chances, _wrapped(turn + frame.rotation_rad), trust, confidence, lie)


def lie_of(maps: np.ndarray) -> Lie:
    """Slopes of the maps (h, w, 4) by least squares, every pixel with its chance of being head."""
    x, y = _places(*maps.shape[:2])
    weight = maps[..., 0] / max(float(maps[..., 0].sum()), 1e-9)
    places = np.stack([x - (weight * x).sum(), y - (weight * y).sum()])
    spread = np.einsum("ihw,jhw,hw->ij", places, places, weight) + 1e-4 * np.eye(2)
    values = maps[..., 2:] - np.einsum("hw,hwk->k", weight, maps[..., 2:])
    slopes = np.linalg.solve(spread, np.einsum("ihw,hwk,hw->ik", places, values, weight))
    return Lie(slopes[:, 0], slopes[:, 1])


@lru_cache(maxsize=8)
def _places(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """How far to the right and down the pixels of an image lie, each (height, width), from -1 to 1."""
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return x, y


def _window(photo: Copies, frame: CropFrame) -> np.ndarray:
    """As `resample`, from the part of the photo that the window shows: photos are large, heads are not."""
    rgb, n_px = photo.for_scale(frame.scale)
    frame = replace(frame, center_xy=(frame.center_xy[0] / n_px, frame.center_xy[1] / n_px), scale=frame.scale * n_px)
    reach = math.hypot(*frame.size_wh_px) / 2 / frame.scale + 4
    (cx, cy), (height, width) = frame.center_xy, rgb.shape[:2]
    left, top = max(0, min(int(cx - reach), width - 1)), max(0, min(int(cy - reach), height - 1))
    part = rgb[top : max(top + 1, math.ceil(cy + reach)), left : max(left + 1, math.ceil(cx + reach))]
    moved = replace(frame, center_xy=(cx - left, cy - top))
    return resample(part, moved, cv2.INTER_LINEAR if photo.quick else cv2.INTER_CUBIC)


@torch.inference_mode()
def _predict(net: HeadNet, rgbs: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the network makes of each of some images (H, W, 3) of one size and its mirror image, averaged.

    Returns:
        Of each, maps (H/4, W/4, 4): chances of head and body, places along the head; chances (6,) of the views.
    """
    sides = np.empty((2 * len(rgbs), *rgbs[0].shape), np.uint8)
    for k, rgb in enumerate(rgbs):
        sides[2 * k] = rgb
        cv2.flip(rgb, 1, dst=sides[2 * k + 1])
    images = torch.from_numpy(sides).permute(0, 3, 1, 2)
    maps, views, _ = net(images.float().div_(255).contiguous(memory_format=torch.channels_last))
    return [_averaged(*both) for both in zip(maps.split(2), views.split(2), strict=True)]


def _averaged(maps: torch.Tensor, views: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    chances = torch.cat([maps[:, :2].sigmoid(), maps[:, 2:]], 1).numpy()
    both = (chances[0] + chances[1][:, :, ::-1]) / 2  # what is snout or crown stays so in the mirror
    of_views = views.softmax(1).numpy()
    return np.ascontiguousarray(both.transpose(1, 2, 0)), (of_views[0] + of_views[1][list(SWAPPED)]) / 2


def _candidates(chance: np.ndarray, factor: tuple[float, float], max_heads: int) -> list[Candidate]:
    """Pieces of the map (h, w) of heads, and their cores; where nothing is likely, the likeliest place."""
    pieces = [piece for level in (INSIDE, CORE) for piece in _pieces(chance, level)]
    if not pieces:
        pieces = _pieces(chance, max(float(chance.max()) * 0.6, 1e-3))
    heads = [Candidate(_scaled(box, factor), confidence) for box, confidence in pieces]
    return sorted(heads, key=lambda c: -c.confidence * math.sqrt(c.bbox_xywh_px[2] * c.bbox_xywh_px[3]))[:max_heads]


def _pieces(chance: np.ndarray, threshold: float) -> list[tuple[Box, float]]:
    """Box and mean chance of every connected piece of ``chance`` (h, w) that is at least ``threshold``."""
    likely, left, top = _framed(chance >= threshold)
    n, labels, stats, _ = cv2.connectedComponentsWithStats(likely)
    inside = np.flatnonzero(labels)
    framed = chance[top : top + likely.shape[0], left : left + likely.shape[1]]
    sums = np.bincount(labels.ravel()[inside], weights=framed.ravel()[inside], minlength=n)
    least = MAP_STRIDE * MAP_STRIDE / 2  # half a cell of the map
    pieces = zip(stats[1:].astype(float).tolist(), sums[1:], strict=True)  # what is below the threshold comes first
    return [
        ((left + x, top + y, width, height), float(total / area))
        for (x, y, width, height, area), total in pieces
        if area >= least
    ]


def _framed(likely: np.ndarray) -> tuple[np.ndarray, int, int]:
    """The part of (h, w) bool around all that is true, as uint8, and where its left and top edges lie: what is looked for is mostly small.

    Both are even, because OpenCV numbers pieces in the order in which it meets them in blocks of 2 x 2.
    """
    mask = likely.view(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    left, top = x & ~1, y & ~1
    return mask[top : max(y + height, 1), left : max(x + width, 1)], left, top


def _central(chance: np.ndarray) -> np.ndarray:
    """(S, S) bool: the piece with the most chance, pieces near the middle preferred."""
    n, labels = cv2.connectedComponents((chance >= INSIDE).view(np.uint8))
    if n < 2:
        return np.zeros(chance.shape, bool)
    inside = np.flatnonzero(labels)
    weight = np.bincount(labels.ravel()[inside], weights=(chance * _nearness(len(chance))).ravel()[inside], minlength=n)
    return labels == 1 + int(weight[1:].argmax())


@lru_cache(maxsize=4)
def _nearness(side: int) -> np.ndarray:
    """(side, side): 1 in the middle, less the farther from it."""
    away = (np.arange(side) - (side - 1) / 2) / (side / 3)
    return np.exp(-(away[:, None] ** 2 + away**2))


def _to_photo(polygon: Polygon, frame: CropFrame) -> Polygon:
    points = transform(frame.inverse(), np.array(polygon) - 0.5) + 0.5
    return tuple((float(x), float(y)) for x, y in points)


def _scaled(box: Sequence[float], factor: tuple[float, float]) -> Box:
    return box[0] * factor[0], box[1] * factor[1], box[2] * factor[0], box[3] * factor[1]


def _wrapped(angle_rad: float) -> float:
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share, over that of the smaller."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0) / max(min(a[2] * a[3], b[2] * b[3]), 1e-9)


def _iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    both = overlap(a, b) * min(a[2] * a[3], b[2] * b[3])
    return both / max(a[2] * a[3] + b[2] * b[3] - both, 1e-9)
