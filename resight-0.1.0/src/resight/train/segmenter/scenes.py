"""Backgrounds: decks with cloth, signs, hands and flippers, drawn; and the empty parts of photos."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from resight.demo.noise import value_noise
from resight.demo.render import plates
from resight.demo.scene import Look, backdrop
from resight.train.segmenter.samples import OutlinedPhoto

SIDE_PX = 240
SKIN = ((0.85, 0.65, 0.52), (0.62, 0.43, 0.32), (0.38, 0.25, 0.19), (0.08, 0.08, 0.09))  # the last is a glove
MIN_EMPTY = 0.22


def backgrounds(n_drawn: int, photos: Sequence[OutlinedPhoto], seed: int) -> list[np.ndarray]:
    """Pictures without a turtle, (h, w, 3) uint8: ``n_drawn`` decks and half as many sea floors, and what photos show
    beside their animal."""
    rng = np.random.default_rng([seed, 33])
    drawn = [deck(rng, (SIDE_PX, SIDE_PX)) for _ in range(n_drawn)]
    for k in range(n_drawn // 2):
        floor = backdrop(Look(seed * 1000 + k, k, k), (SIDE_PX, SIDE_PX))
        drawn.append(np.clip(floor * 255, 0, 255).astype(np.uint8))
    return drawn + [part for photo in photos if (part := beside(photo)) is not None]


def beside(sample: OutlinedPhoto) -> np.ndarray | None:
    """The largest strip of a photo that its animal's box leaves free; None if it is small or no box is drawn."""
    if sample.body_xywh_px is None:
        return None
    height, width = sample.rgb.shape[:2]
    x, y, w, h = sample.body_xywh_px
    left, top = max(0, int(x)), max(0, int(y))
    right, bottom = min(width, math.ceil(x + w)), min(height, math.ceil(y + h))
    strips = (sample.rgb[:, :left], sample.rgb[:, right:], sample.rgb[:top], sample.rgb[bottom:])
    best = max(strips, key=lambda s: min(s.shape[0] / height, s.shape[1] / width))
    enough = min(best.shape[0] / height, best.shape[1] / width) >= MIN_EMPTY
    return cv2.resize(best, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) if enough else None


def blended(front: np.ndarray, behind: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """``front`` where ``cover`` (H, W) uint8 is 255, ``behind`` where it is 0."""
    weight = cv2.merge([cover] * 3).astype(np.float32) / np.float32(255)
    return np.asarray(behind + (front.astype(np.float32) - behind) * weight).astype(np.uint8)


def deck(rng: np.random.Generator, size_wh_px: tuple[int, int]) -> np.ndarray:
    """Boards, mats, cloth, written signs, arms, and flippers as things that are not heads: (H, W, 3) uint8."""
    width, height = size_wh_px
    pale = rng.random() < 0.55
    base = rng.uniform(0.55, 0.95) * np.ones(3) + rng.normal(0, 0.03, 3) if pale else rng.uniform(0.03, 0.7, 3)
    picture = np.ones((height, width, 3), np.float32) * base.astype(np.float32)
    for _ in range(int(rng.integers(1, 6))):
        _patch(picture, rng)
    for _ in range(int(rng.integers(0, 3))):
        _flipper(picture, rng)
    if rng.random() < 0.4:
        _sign(picture, rng)
    for _ in range(int(rng.integers(0, 3))):
        _limb(picture, rng)
    light = np.exp(0.3 * value_noise(rng, size_wh_px, width / rng.uniform(1.5, 5), 2))
    grain = 1 + 0.06 * value_noise(rng, size_wh_px, rng.uniform(3, 14), 3)
    picture *= (light * grain)[..., None]
    blurred = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 2.0)))
    return np.clip(blurred * 255, 0, 255).astype(np.uint8)


def _patch(picture: np.ndarray, rng: np.random.Generator) -> None:
    """A mat or a cloth with stripes, tiles or nothing on it, as a skew polygon."""
    height, width = picture.shape[:2]
    y, x = np.indices((height, width), dtype=np.float32)
    angle, period = rng.uniform(0, math.pi), math.exp(rng.uniform(math.log(5), math.log(70)))
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    across, along = x * c + y * s, y * c - x * s
    kind = rng.random()
    if kind < 0.35:
        pattern = (np.sin(across * np.float32(2 * math.pi / period)) > rng.uniform(-0.6, 0.6)).astype(np.float32)
    elif kind < 0.65:
        tiles = np.sin(across * np.float32(6.3 / period)) * np.sin(along * np.float32(6.3 / period))
        pattern = np.clip(tiles * 3, -1, 1) / 2 + np.float32(0.5)
    else:
        pattern = np.clip(value_noise(rng, (width, height), period * 2, 3) * 2 + 0.5, 0, 1)
    first, second = rng.uniform(0, 1, 3), rng.uniform(0, 1, 3)
    if kind >= 0.35:
        second = np.clip(first * rng.uniform(0.5, 1.5), 0, 1)
    colours = (first + (second - first) * pattern[..., None]).astype(np.float32)
    middle = rng.uniform(-0.1, 1.1, 2) * (width, height)
    corners = middle + rng.normal(0, 0.45, (4, 2)) * (width, height)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.float32)).astype(np.int32), 1)
    picture[mask > 0] = colours[mask > 0]


def _flipper(picture: np.ndarray, rng: np.random.Generator) -> None:
    """Large scales on an ellipse: what most often is taken for a head."""
    height, width = picture.shape[:2]
    texture = plates(int(rng.integers(24)), "flipper")
    semi = np.array([rng.uniform(0.05, 0.14), rng.uniform(0.2, 0.5)]) * min(width, height)
    turn, middle = rng.uniform(0, 2 * math.pi), rng.uniform(0, 1, 2) * (width, height)
    y, x = np.indices((height, width), dtype=np.float32)
    dx, dy = x - np.float32(middle[0]), y - np.float32(middle[1])
    u = (dx * np.float32(math.cos(turn)) + dy * np.float32(math.sin(turn))) / np.float32(semi[0])
    v = (dy * np.float32(math.cos(turn)) - dx * np.float32(math.sin(turn))) / np.float32(semi[1])
    side = texture.shape[0] - 1
    scales = cv2.remap(texture, (u + 1) * (side / 2), (v + 1) * (side / 2), cv2.INTER_LINEAR)
    inside = u * u + v * v < 1
    shaded = scales * np.sqrt(np.clip(1.1 - u * u, 0, 1))[..., None] * np.float32(rng.uniform(0.7, 1.4))
    picture[inside] = shaded[inside]


def _sign(picture: np.ndarray, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    middle, size = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.12, 0.4, 2) * width
    turn = rng.normal(0, 25)
    box = cv2.boxPoints(((float(middle[0]), float(middle[1])), (float(size[0]), float(size[1])), float(turn)))
    cv2.fillConvexPoly(picture, box.astype(np.int32), [float(v) for v in rng.uniform(0.8, 1.0, 3)])
    right, down = (box[2] - box[1]) / 8, (box[1] - box[0]) / 8
    for line in range(1, int(rng.integers(3, 7))):
        start = box[0] + down * line * 1.3
        stroke = start + right * np.linspace(1, 7, 22)[:, None] + rng.normal(0, size[1] / 30, (22, 2))
        cv2.polylines(picture, [stroke.astype(np.int32)], False, [0.1, 0.1, 0.2], int(rng.integers(1, 4)), cv2.LINE_AA)


def _limb(picture: np.ndarray, rng: np.random.Generator) -> None:
    """An arm from the border, with fingers."""
    height, width = picture.shape[:2]
    colour = np.array(SKIN[int(rng.integers(len(SKIN)))]) * rng.uniform(0.8, 1.2)
    edge = rng.uniform(0, 1, 2) * (width, height)
    edge[int(rng.integers(2))] = 0 if rng.random() < 0.5 else max(width, height)
    hand = rng.uniform(0.15, 0.85, 2) * (width, height)
    thick = rng.uniform(0.05, 0.13) * width
    for part in np.linspace(0, 1, 24):
        centre = edge + (hand - edge) * part
        tone = colour * (1 + 0.15 * math.sin(part * 9))
        radius = int(thick * (1 - 0.35 * part))
        cv2.circle(picture, tuple(int(v) for v in centre), radius, tone.tolist(), -1, cv2.LINE_AA)
    ahead = math.atan2(*(hand - edge)[::-1])
    for finger in np.linspace(-0.6, 0.6, 4):
        tip = hand + thick * 2.2 * np.array([math.cos(ahead + finger), math.sin(ahead + finger)])
        tone = (colour * rng.uniform(0.8, 1.1)).tolist()
        ends = hand.astype(int).tolist(), tip.astype(int).tolist()
        cv2.line(picture, *ends, tone, max(2, int(thick * 0.45)), cv2.LINE_AA)
