"""The drawn year of a site: which animals are met on which night, what fails, and what people do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from math import cos, pi
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT, BLOBS = 120, 90, 24
KNOWN_BEFORE = 12  # animals that were met twice before the year begins: the fewest that can show that somebody is new
PEAK = 0.55  # of the year: August


@dataclass(frozen=True)
class Meeting:
    """An encounter: which animal, and the photos of it."""

    animal: int
    folder: str
    looks: tuple[int, ...]

    @property
    def files(self) -> list[str]:
        """Its photos, from the inbox."""
        return [f"{self.folder}/{look}.jpg" for look in self.looks]


@dataclass
class Night:
    """A night, and what goes wrong on it.

    Attributes:
        day: Its date.
        meetings: What the survey of the day has brought.
        killed_after_s: Kill the night's command after so long, then start it again.
        trouble: missed (nobody starts it), disk (the inbox is not mounted), damaged (a photo is cut off); '' for none.
        model: better or worse: a rebuild with other settings follows.
        accuracy: Accuracy is measured.
        review: A person looks at what is open.
    """

    day: date
    meetings: list[Meeting] = field(default_factory=list)
    killed_after_s: float = 0.0
    trouble: str = ""
    model: str = ""
    accuracy: bool = False
    review: bool = False


def plan_year(begin: date, n_nights: int, per_night: float, seed: int) -> list[Night]:
    """The nights of a site. With fewer than a year's nights the year is cut short, and everything happens all the same.

    Args:
        begin: The first night.
        n_nights: How many.
        per_night: Encounters of a night in the mean over the year.
        seed: The same seed, the same year.
    """
    rng = np.random.default_rng(seed)
    nights = [Night(begin + timedelta(days=k)) for k in range(n_nights)]
    there, looks = list(range(1, KNOWN_BEFORE + 1)), dict[int, int]()
    newcomers = sorted(rng.choice(n_nights, max(2, n_nights // 14), replace=False).tolist())
    for k, night in enumerate(nights):
        if k in newcomers:
            there.append(KNOWN_BEFORE + 1 + newcomers.index(k))
        season = 1 - 0.9 * cos(2 * pi * (k / max(n_nights, 1) - PEAK + 0.5))
        n = int(rng.poisson(per_night * season))
        met = rng.choice(there, min(n, len(there)), replace=False).tolist()
        if k in newcomers and there[-1] not in met:
            met.append(there[-1])
        for number, animal in enumerate(met):
            night.meetings.append(_meeting(int(animal), night.day, number, looks, rng))
        night.review, night.accuracy = k % 7 == 6, k % 28 == 27
    _troubles(nights, rng)
    return nights


def _meeting(animal: int, day: date, number: int, looks: dict[int, int], rng: np.random.Generator) -> Meeting:
    first = looks.get(animal, 10)
    looks[animal] = first + 1 + int(rng.integers(2))
    return Meeting(animal, f"{day}/dive {number + 1}", tuple(range(first, looks[animal])))


def _troubles(nights: list[Night], rng: np.random.Generator) -> None:
    """Two updates of the model, kills, a disk that is away, nights that nobody starts, photos that are cut off."""
    n = len(nights)
    for share, model in ((0.36, "better"), (0.7, "worse")):
        nights[int(share * n)].model = model
    for share in (0.15, 0.3, 0.45, 0.62, 0.8, 0.95)[: max(1, n // 20)]:
        nights[int(share * n)].killed_after_s = float(rng.uniform(0.03, 0.3))
    for share in (0.22, 0.52, 0.9)[: max(1, n // 40)]:
        nights[int(share * n)].trouble = "disk"
    for share in (0.41, 0.42, 0.43, 0.75)[: max(1, n // 10)]:
        nights[int(share * n)].trouble = "missed"
    for share in (0.1, 0.58, 0.85)[: max(1, n // 40)]:
        nights[int(share * n)].trouble = "damaged"


def name_of(animal: int) -> str:
    """What people call an animal. Names that differ in one letter would be taken for slips of the pen."""
    first = ("Ada", "Bruno", "Chiara", "Dimitris", "Eleni", "Fotis", "Giulia", "Helmut", "Ioanna", "Jorge")
    last = ("Alba", "Brizzi", "Costa", "Drosos", "Ferro", "Galanis", "Haas")
    return f"{first[animal % 10]} {last[animal // 10 % 7]}{' jr' if animal >= 70 else ''}"


def draw(path: Path, animal: int, look: int) -> None:
    """A photo of blobs that belong to the animal, moved, lit and noisy a little differently each time it is seen."""
    blobs = np.random.default_rng(animal).uniform(0, 1, (BLOBS, 4))
    rng = np.random.default_rng(1000 * animal + look)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    grey, light = np.full((HEIGHT, WIDTH), 120.0), rng.uniform(0.6, 1.1)
    for cx, cy, size, shade in blobs:
        away = (x - WIDTH * cx - rng.uniform(-1.4, 1.4)) ** 2 + (y - HEIGHT * cy - rng.uniform(-1.4, 1.4)) ** 2
        grey += light * (shade - 0.5) * 260 * np.exp(-away / (2 * (2 + 4 * size) ** 2))
    grey += rng.normal(0, 5, grey.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)).save(path, quality=90)
