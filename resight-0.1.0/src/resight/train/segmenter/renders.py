"""Turtles that do not exist, with exact truth: as divers frame them, from above and afar, and large on a deck."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from resight.demo.plan import plan_survey
from resight.demo.render import BodyShape, HeadRender, make_view, render_head
from resight.demo.scene import Look
from resight.segment.learned.network import VIEWS
from resight.status import Viewpoint
from resight.train.segmenter.samples import SNOUT_RAD, OutlinedPhoto, wrapped
from resight.train.segmenter.scenes import blended, deck

SIDES = (Viewpoint.LEFT, Viewpoint.RIGHT)


def rendered_samples(n_photos: int, seed: int, size_px: tuple[int, int] = (640, 480)) -> list[OutlinedPhoto]:
    """Pictures of heads in the middle of the frame, as the demo draws them; their view, outline and upright are exact."""
    n_animals = 25
    plan = plan_survey(seed, n_animals, 0, math.ceil(n_photos / (n_animals * 4)), 0, 4, size_px)
    renders = ((photo, render_head(photo.individual_seed, photo.view, photo.look)) for photo in plan[:n_photos])
    return _with_heads([_sample(photo.file, photo.individual_id, render, free=False) for photo, render in renders])


def far_samples(n_photos: int, seed: int, size_px: tuple[int, int] = (480, 360)) -> list[OutlinedPhoto]:
    """Whole animals, small in the frame, most of them from above, turned any way, with shells and flippers of many shapes."""
    rng = np.random.default_rng([seed, 31])
    samples = []
    for k in range(n_photos):
        viewpoint = (Viewpoint.TOP, Viewpoint.TOP, Viewpoint.TOP, Viewpoint.FRONT, *SIDES)[int(rng.integers(6))]
        above = viewpoint is Viewpoint.TOP
        animal = seed * 1000 + int(rng.integers(400))
        view = make_view(
            animal,
            viewpoint,
            yaw_deg=float(rng.normal(0, 20)),
            roll_deg=float(rng.normal(0, 16) if above else rng.normal(14, 14)),
            tilt_deg=float(rng.uniform(-180, 180) if above else rng.normal(0, 30)),
            head_px=math.exp(rng.uniform(math.log(22), math.log(120))),
            distance=float(rng.uniform(3.5, 12)),
            centre_xy_px=(size_px[0] * rng.uniform(0.2, 0.8), size_px[1] * rng.uniform(0.2, 0.8)),
            size_wh_px=size_px,
        )
        look = Look(seed * 1000 + k, int(rng.integers(1 << 31)), int(rng.integers(1 << 31)))
        samples.append(_sample(f"far {k}", f"far{animal}", render_head(animal, view, look, some_shapes(rng))))
    return _with_heads(samples)


def deck_samples(n_photos: int, seed: int, size_px: tuple[int, int] = (480, 360)) -> list[OutlinedPhoto]:
    """Captured animals: a large head from the side in daylight, with hands, cloth and written signs about it."""
    rng = np.random.default_rng([seed, 32])
    samples = []
    for k in range(n_photos):
        size = size_px if rng.random() < 0.6 else size_px[::-1]
        animal = seed * 1000 + 500 + int(rng.integers(400))
        view = make_view(
            animal,
            SIDES[k % 2],
            yaw_deg=float(np.clip(rng.normal(0, 18), -36, 36)),
            roll_deg=float(rng.normal(8, 13)),
            tilt_deg=float(rng.normal(0, 25)),
            head_px=float(rng.uniform(0.22, 0.7) * size[0]),
            distance=float(rng.uniform(3.0, 7.0)),
            centre_xy_px=(size[0] * rng.uniform(0.3, 0.7), size[1] * rng.uniform(0.3, 0.7)),
            size_wh_px=size,
        )
        render = render_head(animal, view, None, some_shapes(rng))
        lit = np.clip(render.rgb * np.exp(rng.normal(0.15, 0.22) + rng.normal(0, 0.08, 3)), 0, 255).astype(np.uint8)
        cover = cv2.GaussianBlur(render.body_mask.astype(np.uint8) * 255, (0, 0), 0.8)
        rgb = blended(lit, deck(rng, size), cover)
        samples.append(_sample(f"deck {k}", f"deck{animal}", HeadRender(rgb, render.mask, render.body_mask, view)))
    return _with_heads(samples)


def some_shapes(rng: np.random.Generator) -> list[BodyShape]:
    """Shell and flippers of an animal of some species, age and stroke."""
    length, half_width = rng.uniform(1.3, 2.4), rng.uniform(0.68, 0.86)
    gap, height = rng.uniform(-0.05, 0.5), rng.uniform(0.45, 0.8)
    shapes = [BodyShape((-gap - length, rng.normal(0.1, 0.06), 0.0), (length, height, length * half_width), (0.0, 0.0, rng.normal(3, 4)), "shell")]  # fmt: skip
    for front, place, reach in ((True, gap + 0.25 * length, 0.95), (False, gap + 1.75 * length, 0.5)):
        stroke = rng.uniform(-35, 55)
        for side in (-1, 1):
            semi = (0.33 if front else 0.26, 0.08, reach * rng.uniform(0.8, 1.25))
            x, z = -place + 0.25 * math.sin(math.radians(stroke)), side * length * half_width * 0.95
            centre = (x, rng.normal(-0.15, 0.2), z)
            turn = (side * rng.normal(15, 22), side * stroke * (1 if front else -0.7), 0.0)
            shapes.append(BodyShape(centre, semi, turn, "flipper"))
    return shapes


def _sample(name: str, individual_id: str, render: HeadRender, free: bool = True) -> OutlinedPhoto:
    """``free``: may stand before another background."""
    view = render.view
    # A rendered head lies with the snout to the right in the views from the right and from above, tilted by the pose.
    x, y = (view.rotation @ np.array([1.0, 0.0, 0.0]))[:2]
    up_x, up_y = (view.rotation @ np.array([0.0, 1.0, 0.0]))[:2]
    viewpoint = view.viewpoint.value
    upright = math.pi / 2 - math.atan2(up_y, up_x) if viewpoint == "front" else SNOUT_RAD[viewpoint] - math.atan2(y, x)
    left, top, width, height = cv2.boundingRect(render.body_mask.astype(np.uint8))
    return OutlinedPhoto(
        name,
        individual_id,
        "rendered",
        render.rgb,
        _outline(render.mask),
        (float(left), float(top), float(width), float(height)),
        VIEWS.index(viewpoint),
        wrapped(upright),
        "good",
        view.size_wh_px,
        render.body_mask.astype(np.uint8) * 255 if free else None,
    )


def _with_heads(samples: Sequence[OutlinedPhoto]) -> list[OutlinedPhoto]:
    return [sample for sample in samples if len(sample.head_xy_px)]


def _outline(mask: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    return np.zeros((0, 2)) if largest is None or len(largest) < 8 else largest[:, 0, :] + 0.5
