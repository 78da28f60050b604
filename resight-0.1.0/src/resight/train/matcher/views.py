"""Views: a picture under other water and from another viewpoint, its keypoints, and where they lie in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from resight.demo.plan import draw_pose
from resight.demo.render import render_head
from resight.demo.scene import Look
from resight.demo.shape import View, skin_chart
from resight.extract.base import Extractor, Features
from resight.extract.kinds.sift import SiftExtractor, SiftParams, lightglue_scale_ori
from resight.status import Viewpoint
from resight.train.matcher.material import SourceCrop
from resight.train.matcher.truth import Placed
from resight.train.matcher.warp import apply, draw_warp, place_keypoints
from resight.train.water import cover, under_other_water

RENDER_WH_PX = (640, 520)


@dataclass(frozen=True)
class View2D:
    """One view, ready for the network.

    Attributes:
        descriptors: (N, 128) float16.
        positions: (N, 4) float32, as `Sides.positions`.
        placed: Where the keypoints lie in the view's space.
        space: The picture (or rendered animal) that the view shows; views of one space have exact correspondences.
        animal: Individual; '' if unlabelled.
        encounter: Animal and day; '' if unlabelled.
        side: Viewpoint.
        kind: ``head``, ``whole`` or ``rendered``.
    """

    descriptors: np.ndarray
    positions: np.ndarray
    placed: Placed
    space: str
    animal: str
    encounter: str
    side: str
    kind: str


def extractor(max_keypoints: int) -> Extractor:
    """The one that the matcher is trained for: the pipeline's own SIFT."""
    return SiftExtractor(SiftParams(max_keypoints=max_keypoints))


def photo_views(pictures: Sequence[SourceCrop], each: int, sift: Extractor, seed: int) -> Iterator[View2D]:
    """``each`` views of every picture; the first is the picture as it is. Depends on the seed alone."""
    for picture in pictures:
        rgb, mask = picture.pixels()
        for number in range(each):
            digits = [int(picture.name[i : i + 8], 16) for i in (0, 8)]
            yield _photo_view(picture, rgb, mask, np.random.default_rng([seed, number, *digits]), sift, number == 0)


def _photo_view(
    picture: SourceCrop, rgb: np.ndarray, mask: np.ndarray, rng: np.random.Generator, sift: Extractor, plain: bool
) -> View2D:
    warp = draw_warp(rng, (mask.shape[1], mask.shape[0]), (0.75, 1.35) if picture.head else (0.8, 2.0), plain)
    view, shown = apply(warp, rgb, mask)
    covered = np.zeros(shown.shape, bool)
    if not plain:
        if rng.random() < 0.3:
            view, covered = cover(view, rng)
        view = under_other_water(view, rng)
    features = sift.extract(view, shown)
    column, row = np.round(features.xy_px).astype(int).T
    placed = place_keypoints(warp, features.xy_px, features.scale_px, features.angle_rad, covered[row, column])
    kind = "head" if picture.head else "whole"
    return View2D(
        features.descriptors, positions(features), placed, picture.name, picture.individual_id, picture.encounter_id,
        picture.viewpoint, kind,
    )  # fmt: skip


def rendered_views(n_animals: int, each: int, sift: Extractor, seed: int) -> Iterator[View2D]:
    """``each`` pictures of every one of ``n_animals`` animals that do not exist, on as many occasions."""
    sides = (Viewpoint.LEFT, Viewpoint.RIGHT, Viewpoint.LEFT, Viewpoint.RIGHT, Viewpoint.TOP)
    for animal in range(n_animals):
        for number in range(each):
            rng = np.random.default_rng([seed, 31, animal, number])
            yield _rendered_view(seed * 100_000 + animal, sides[number % len(sides)], rng, sift)


def _rendered_view(animal_seed: int, side: Viewpoint, rng: np.random.Generator, sift: Extractor) -> View2D:
    view = draw_pose(rng, animal_seed, side, RENDER_WH_PX, head_share=(0.55, 0.85), ahead=0.0)
    day, occasion, shot = (int(n) for n in rng.integers(1 << 31, size=3))
    render = render_head(animal_seed, view, Look(day % 40, occasion, shot))
    features = sift.extract(render.rgb, cv2.dilate(render.mask.astype(np.uint8), np.ones((9, 9))) > 0)
    return View2D(
        features.descriptors, positions(features), place_on_skin(view, features), f"rendered {animal_seed}",
        f"rendered {animal_seed}", f"rendered {animal_seed} {occasion}", side.value, "rendered",
    )  # fmt: skip


def place_on_skin(view: View, features: Features) -> Placed:
    """Keypoints of a rendered picture on the animal, in head lengths; those beside it lie nowhere."""
    xy = np.asarray(features.xy_px, np.float64)
    step = np.stack([np.cos(features.angle_rad), np.sin(features.angle_rad)], 1)
    skin, on = view.surface_at(xy)
    ahead, still_on = view.surface_at(xy + step)
    on = on & still_on & (skin[:, 0] > 0)
    depth = view.project(skin)[1]
    along = skin_chart(view.shape, ahead) - skin_chart(view.shape, skin)
    return Placed(
        np.where(on[:, None], skin, np.nan).astype(np.float32),
        np.where(on, view.head_px * view.distance / np.maximum(depth, 1e-3), 1.0).astype(np.float32),
        features.scale_px,
        np.where(on, np.arctan2(along[:, 1], along[:, 0]), 0.0).astype(np.float32),
        np.ones(len(xy), bool),
    )


def positions(features: Features) -> np.ndarray:
    """(N, 4) float32: x and y in -1 to 1 along the longer side, sigma in pixels, angle, as the engine feeds them."""
    size = np.asarray(features.size_wh_px, np.float32)
    scale, angle = lightglue_scale_ori(features)
    xy = (features.xy_px.clip(0, size) - size / 2) / (size.max() / 2)
    return np.column_stack([xy, scale, angle]).astype(np.float32)
