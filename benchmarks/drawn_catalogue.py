"""A catalogue of drawn photos with their table of names, the same on every machine; for `bench_catalogue.py`."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from drawn_features import stamped

WIDTH, HEIGHT = 240, 180
PHOTOS_PER_ANIMAL, PHOTOS_PER_ENCOUNTER = 10, 2
COLUMNS = ("file", "individual_id", "encounter_id", "viewpoint")


class Catalogue:
    """Drawn photos with their table of names, and a workspace beside them."""

    def __init__(self, root: Path, n_gallery: int, is_drawn: bool, named: bool = False) -> None:
        """With ``named`` both photos of a new encounter show one animal, as people will name it; without, each shows another."""
        self.root, self.n_gallery, self.is_drawn, self.named = root, n_gallery, is_drawn, named
        self.animals: list[int] = []
        self.n_animals = max(1, n_gallery // PHOTOS_PER_ANIMAL)
        self.rows: list[dict[str, str]] = []
        root.mkdir(parents=True, exist_ok=True)
        self._draw(n_gallery, "gallery", labelled=True)

    def add_new(self, n: int, night: str) -> None:
        """Photos without a name: nine of ten of animals of the gallery, the others of new ones."""
        self._draw(n, night, labelled=False)

    def name_one(self) -> None:
        """The last new photo's animal gets a name: an added animal."""
        self.rows[-1]["individual_id"] = "added"

    def name_all(self) -> None:
        """People name the animal in every photo that has no name."""
        for row, animal in zip(self.rows, self.animals, strict=True):
            row["individual_id"] = row["individual_id"] or _name(animal)

    def rename_one(self) -> None:
        """One photo of the gallery turns out to show another animal."""
        self.rows[0]["individual_id"] = self.rows[PHOTOS_PER_ANIMAL]["individual_id"]

    def write(self) -> None:
        """The table of names."""
        with (self.root / "photos" / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)

    def _draw(self, n: int, part: str, *, labelled: bool) -> None:
        for i in range(n):
            number = len(self.rows)
            seen = number - i % PHOTOS_PER_ENCOUNTER if self.named else number
            animal = i // PHOTOS_PER_ANIMAL if labelled else (7919 * seen) % self.n_animals
            if not labelled and (i // PHOTOS_PER_ENCOUNTER % 10 if self.named else i % 10) == 9:
                animal = self.n_animals + seen
            file = f"{part}/{i // 1000:03d}/{i:06d}.{'png' if self.is_drawn else 'jpg'}"
            path = self.root / "photos" / file
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes((stamped if self.is_drawn else picture)(animal, number))
            self.animals.append(animal)
            name = _name(animal) if labelled else ""
            encounter = f"{part}-{i // PHOTOS_PER_ENCOUNTER:06d}"
            self.rows.append(dict(zip(COLUMNS, (file, name, encounter, "left"), strict=True)))


def _name(animal: int) -> str:
    return f"animal{animal:06d}"


def picture(animal: int, number: int) -> bytes:
    """JPEG of an animal's pattern, turned, scaled and lit as in no other photo."""
    own, rng = np.random.default_rng([1, animal]), np.random.default_rng([2, number])
    canvas = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for _ in range(60):
        centre = own.integers(0, WIDTH), own.integers(0, HEIGHT)
        axes = int(own.integers(4, 22)), int(own.integers(4, 22))
        cv2.ellipse(
            canvas,
            (int(centre[0]), int(centre[1])),
            axes,
            float(own.integers(0, 180)),
            0,
            360,
            int(own.integers(20, 235)),
            -1,
        )
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), float(rng.uniform(-6, 6)), float(rng.uniform(0.95, 1.1)))
    turned = cv2.warpAffine(canvas, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    noisy = turned * rng.uniform(0.85, 1.1) + rng.normal(0, 4, turned.shape)
    grey = np.clip(noisy, 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
