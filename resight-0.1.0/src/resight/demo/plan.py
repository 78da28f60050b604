"""Who is met when, where and how, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from resight.demo.render import make_view
from resight.demo.scene import Look
from resight.demo.shape import View
from resight.status import Viewpoint

# fmt: off
NAMES = (
    "Calypso", "Nereus", "Thalia", "Proteus", "Galene", "Doris", "Glaucus", "Ino", "Leucothea", "Triton",
    "Amphitrite", "Maia", "Alcyone", "Phorcys", "Thetis", "Cymo", "Delphine", "Ione", "Melite", "Naia",
    "Orion", "Pallas", "Rhode", "Spio", "Thoe", "Zeuxo", "Arion", "Brizo", "Eione", "Halia",
)
# fmt: on
BAYS = (
    ("Laganas bay", 37.7189, 20.8722),
    ("Gerakas", 37.6972, 20.9875),
    ("Dafni", 37.7147, 20.9561),
    ("Marathonisi", 37.6836, 20.8683),
)
_FIRST_DAY = datetime(2025, 6, 14)
_QUERY_DAY = datetime(2026, 6, 3)


@dataclass(frozen=True)
class PhotoTruth:
    """What is true about one photo. ``file`` is relative to the survey's folder; the view is that of the upright photo."""

    file: str
    individual_id: str
    individual_seed: int
    encounter_id: str
    viewpoint: Viewpoint
    taken_at: datetime
    is_query: bool
    is_new: bool
    place: tuple[str, float, float]
    exif_orientation: int
    view: View
    look: Look


def plan_survey(
    seed: int, n_known: int, n_new: int, gallery: int, query: int, n_photos: int, size_px: tuple[int, int]
) -> tuple[PhotoTruth, ...]:
    """Who is met when, where, and how; nothing is drawn yet."""
    rng = np.random.default_rng([seed, 20])
    animals = rng.permutation(len(NAMES))[: n_known + n_new]
    rounds = ((k, a) for k in range(gallery) for a in range(n_known))
    meetings = [(a, _FIRST_DAY + timedelta(days=int(23 * k + rng.integers(0, 3))), False) for k, a in rounds]
    for k in range(query):
        meetings += [(a, _QUERY_DAY + timedelta(days=9 * k), True) for a in rng.permutation(n_known + n_new)]
    photos: list[PhotoTruth] = []
    frame = 11
    per_day: dict[datetime, int] = {}
    for animal, day, is_query in sorted(meetings, key=lambda m: m[1]):
        per_day[day] = number = per_day.get(day, 0) + 1
        place = BAYS[(seed + day.toordinal()) % len(BAYS)]
        when = day + timedelta(hours=8, minutes=21 * number, seconds=int(rng.integers(60)))
        encounter_seed = int(rng.integers(1 << 31))
        for turn, viewpoint in enumerate(_viewpoints(rng, n_photos)):
            frame += int(rng.integers(1, 7))
            animal_seed = seed * 1000 + int(animals[animal])
            suffix = ("JPG", "jpg")[int(rng.random() < 0.3)]
            photos.append(
                PhotoTruth(
                    file=f"{day:%Y-%m-%d} {place[0].split()[0].lower()}/DSC_{frame:04d}.{suffix}",
                    individual_id=NAMES[animals[animal]],
                    individual_seed=animal_seed,
                    encounter_id=f"{day:%Y-%m-%d}-e{number:02d}",
                    viewpoint=viewpoint,
                    taken_at=when + timedelta(seconds=14 * turn),
                    is_query=is_query,
                    is_new=is_query and int(animal) >= n_known,
                    place=place,
                    exif_orientation=int(rng.choice([1, 1, 1, 1, 1, 6, 3, 8])),
                    view=draw_pose(rng, animal_seed, viewpoint, size_px),
                    look=Look(seed * 1000 + day.toordinal(), encounter_seed, int(rng.integers(1 << 31))),
                )
            )
    return tuple(photos)


def _viewpoints(rng: np.random.Generator, n_photos: int) -> list[Viewpoint]:
    sides = [Viewpoint.LEFT, Viewpoint.RIGHT] if rng.random() < 0.5 else [Viewpoint.RIGHT, Viewpoint.LEFT]
    odd = [Viewpoint.TOP, Viewpoint.FRONT]
    return [odd[(k // 4) % 2] if k % 4 == 3 else sides[k % 2] for k in range(n_photos)]


def draw_pose(
    rng: np.random.Generator,
    animal_seed: int,
    viewpoint: Viewpoint,
    size_px: tuple[int, int],
    head_share: tuple[float, float] = (0.17, 0.42),
    ahead: float = 0.07,
) -> View:
    """A swimming animal as a diver would frame it: the head near the middle, turned and tilted a little.

    Args:
        rng: Source of randomness.
        animal_seed: The animal.
        viewpoint: Side that is seen.
        size_px: Width and height of the picture.
        head_share: Range of the head's length over the picture's width.
        ahead: How far the head lies ahead of the middle, over the picture's width.
    """
    width, height = size_px
    shift = {Viewpoint.RIGHT: ahead, Viewpoint.LEFT: -ahead}.get(viewpoint, 0.0)
    steep = rng.random() < 0.15
    return make_view(
        animal_seed,
        viewpoint,
        yaw_deg=float(np.clip(rng.normal(0, 17), -36, 36)),
        roll_deg=float(np.clip(rng.normal(6, 11), -16, 30)),
        tilt_deg=float(rng.normal(0, 34 if steep else 11)),
        head_px=float(rng.uniform(*head_share) * width),
        distance=float(rng.uniform(3.5, 7.0)),
        centre_xy_px=(width * (0.5 + shift + rng.normal(0, 0.04)), height * (0.49 + rng.normal(0, 0.05))),
        size_wh_px=size_px,
    )
