"""The bundled head finder as a segmenter: two looks, then regions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from resight.segment.base import Photo, Region
from resight.segment.geometry import Box, Polygon, bounds, clip_polygon
from resight.segment.learned.copies import Copies
from resight.segment.learned.looks import NONE, SAME, Candidate, CloseView, look_close, look_wide, overlap
from resight.segment.learned.network import VIEWS, HeadNet
from resight.status import CropStatus, Viewpoint

if TYPE_CHECKING:
    from resight.segment.kinds.head_finder import HeadFinderParams

NAME = "head-finder"
WIDE_SIDES_PX = (96, 192, 384)  # of the copies for the first look: heads from a tenth of the photo to all of it
LOOK_AGAIN_DEG = 60  # the network saw heads within this of upright; others are turned and looked at once more
TURN_FROM_DEG = 60  # crops of heads that lie less askew stay as they are in the photo
HOPELESS = 0.02  # of 586 candidates below it and beside a head, another look found none of 0.7
EVIDENCE = (
    "log odds of the first look",
    "log odds of the second look's outline",
    "log odds of its not being none",
    "slope from neck to snout",
    "slope from throat to crown",
    "overlap of both looks' boxes",
)
INTERCEPT = -18.793
COEFFICIENTS = (1.211, 3.062, 0.771, 0.345, 0.039, 6.584)


@dataclass(frozen=True)
class Finding:
    """A head in a photo.

    Attributes:
        bbox_xywh_px: Its box in outline coordinates of the photo.
        polygons_xy_px: Its outline.
        body_xywh_px: Box of the animal it belongs to, or None.
        view_chances: Chance of every name of `VIEWS`; they add up to 1.
        upright_rad: Counter-clockwise turn that brings the head upright.
        upright_trust: 0 to 1.
        confidence: Chance that this is a head whose outline fits (intersection over union of at least a half), 0 to 1.
        evidence: What the chance was computed from, in the order of `EVIDENCE`.
    """

    bbox_xywh_px: Box
    polygons_xy_px: tuple[Polygon, ...]
    body_xywh_px: Box | None
    view_chances: Mapping[str, float]
    upright_rad: float
    upright_trust: float
    confidence: float
    evidence: tuple[float, ...] = ()

    @property
    def viewpoint(self) -> tuple[str, float]:
        """The likeliest view of a head, and its chance among them (without ``none``)."""
        chances = {name: chance for name, chance in self.view_chances.items() if name != "none"}
        best = max(chances, key=lambda name: chances[name])
        return best, chances[best] / max(sum(chances.values()), 1e-9)


class HeadFinder:
    """Finds heads by a look at the frame and a second one at each candidate, at full resolution."""

    nothing_found = CropStatus.NO_HEAD

    def __init__(self, params: HeadFinderParams, net: HeadNet) -> None:
        self.params = params
        self.net = net

    def find(self, photo: Photo) -> list[Region]:
        findings, bodies = self.look(photo.rgb)
        further = max(self.params.min_confidence, self.params.min_confidence_further)
        least = [self.params.min_confidence] + [further] * len(findings)
        heads = [finding for finding, enough in zip(findings, least, strict=False) if finding.confidence >= enough]
        if self.params.part == "body":
            boxes = [(head.body_xywh_px, head.confidence) for head in heads if head.body_xywh_px]
            return [_body(box, confidence) for box, confidence in dict(boxes).items()]
        return [self._region(head) for head in heads] or self._without_head(photo, bodies)

    def look(self, rgb: np.ndarray) -> tuple[list[Finding], tuple[Box, ...]]:
        """All candidates, however unlikely, best first, and the boxes of animals.

        Args:
            rgb: (H, W, 3) uint8, upright as its EXIF says.
        """
        photo = Copies(rgb, self.params.quick)
        wide = look_wide(self.net, photo, WIDE_SIDES_PX, 2 * self.params.max_heads)
        closes = look_close(self.net, photo, [(candidate.bbox_xywh_px, 0.0) for candidate in wide.candidates])
        pairs = [pair for pair in zip(wide.candidates, closes, strict=True) if pair[1].polygons_xy_px]
        firsts = sorted(pairs, key=lambda pair: -_chance(*pair))[: self.params.max_heads + 1]
        findings = self._again(photo, self._hopeful(photo, firsts, wide.bodies), wide.bodies)
        heads: list[Finding] = []
        for finding in sorted((f for f in findings if f is not None), key=lambda f: -f.confidence):
            if all(overlap(finding.bbox_xywh_px, head.bbox_xywh_px) < SAME for head in heads):
                heads.append(finding)
        return heads[: self.params.max_heads], wide.bodies

    def _hopeful(
        self, photo: Copies, firsts: Sequence[tuple[Candidate, CloseView]], bodies: tuple[Box, ...]
    ) -> Sequence[tuple[Candidate, CloseView]]:
        """Of the candidates those that are worth another look: all, but for a quick finder that has found a head already."""
        if not self.params.quick:
            return firsts
        seen = [_finding(photo.rgb, candidate, first, first, bodies) for candidate, first in firsts]
        chances = [finding.confidence if finding else 0.0 for finding in seen]
        if max(chances, default=0.0) < self.params.min_confidence:
            return firsts
        return [pair for pair, chance in zip(firsts, chances, strict=True) if chance >= HOPELESS]

    def _again(
        self, photo: Copies, firsts: Sequence[tuple[Candidate, CloseView]], bodies: tuple[Box, ...]
    ) -> list[Finding | None]:
        """Look once more with each head in the middle of the window and upright."""
        askew = math.radians(LOOK_AGAIN_DEG)
        turns = [first.upright_rad if abs(first.upright_rad) > askew else 0.0 for _, first in firsts]
        boxes = [first.bbox_xywh_px for _, first in firsts]
        agains = look_close(self.net, photo, list(zip(boxes, turns, strict=True)))
        return [
            _finding(photo.rgb, candidate, again if again.polygons_xy_px else first, first, bodies)
            for (candidate, first), again in zip(firsts, agains, strict=True)
        ]

    def _region(self, head: Finding) -> Region:
        view, chance = head.viewpoint
        turns = abs(head.upright_rad) >= math.radians(TURN_FROM_DEG) and head.upright_trust >= 0.5
        return Region(
            "head",
            head.bbox_xywh_px,
            head.polygons_xy_px,
            viewpoint=Viewpoint(view) if chance >= self.params.min_view_confidence else Viewpoint.UNKNOWN,
            confidence=head.confidence,
            upright_rotation_rad=head.upright_rad if turns else 0.0,
            segmenter=NAME,
        )

    def _without_head(self, photo: Photo, bodies: tuple[Box, ...]) -> list[Region]:
        """What is used where no head is found: nothing, the body or the photo, marked by its part and by ``segmenter``."""
        if self.params.if_no_head == "body" and bodies:
            return [_body(bodies[0], 0.0)]
        if self.params.if_no_head in ("body", "whole"):
            height, width = photo.rgb.shape[:2]
            return [
                Region("whole", (0.0, 0.0, float(width), float(height)), confidence=0.0, segmenter=f"{NAME}:no-head")
            ]
        return []


def _chance(candidate: Candidate, first: CloseView) -> float:
    """How likely the candidate is a head, before the second look: a sum of log odds."""
    return _logit(candidate.confidence) + _logit(first.confidence) + _logit(1 - float(first.view_chances[NONE]))


def _body(box: Box, confidence: float) -> Region:
    return Region("body", box, confidence=confidence, segmenter=NAME if confidence else f"{NAME}:no-head")


def _finding(
    rgb: np.ndarray, candidate: Candidate, best: CloseView, first: CloseView, bodies: tuple[Box, ...]
) -> Finding | None:
    height, width = rgb.shape[:2]
    clipped = (clip_polygon(polygon, (width, height)) for polygon in best.polygons_xy_px)
    polygons = tuple(polygon for polygon in clipped if len(polygon) >= 3)
    if not polygons:
        return None
    box = bounds(np.concatenate(polygons))
    chances = (first.view_chances + best.view_chances) / 2
    evidence = _evidence(candidate, best, float(chances[NONE]), box)
    return Finding(
        box,
        polygons,
        max((b for b in bodies if overlap(box, b) > 0.5), key=lambda b: b[2] * b[3], default=None),
        {name: float(chance) for name, chance in zip(VIEWS, chances, strict=True)},
        best.upright_rad,
        best.upright_trust,
        confidence_of(evidence),
        evidence,
    )


def _evidence(candidate: Candidate, best: CloseView, nothing: float, box: Box) -> tuple[float, ...]:
    shared = overlap(candidate.bbox_xywh_px, box)
    slopes = (float(np.hypot(*slope)) for slope in (best.lie.snoutward, best.lie.crownward))
    return (_logit(candidate.confidence), _logit(best.confidence), _logit(1 - nothing), *slopes, shared)


def confidence_of(
    evidence: tuple[float, ...], intercept: float = INTERCEPT, coefficients: Sequence[float] = COEFFICIENTS
) -> float:
    """Logistic regression of `EVIDENCE`; the coefficients were fitted to the findings of the cross-validation."""
    log_odds = intercept + sum(weight * value for weight, value in zip(coefficients, evidence, strict=True))
    return 1 / (1 + math.exp(-max(min(log_odds, 30.0), -30.0)))


def _logit(chance: float) -> float:
    chance = min(max(chance, 1e-3), 1 - 1e-3)
    return math.log(chance / (1 - chance))
