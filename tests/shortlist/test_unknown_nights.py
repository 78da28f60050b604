"""Unknown animals beside the gallery, over nights on which names come and go: what is kept is what asking anew says."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pyarrow as pa
import pytest
from drawn_crops import CODED, EXACT, QUERIES, answered, listed, with_more

from resight.embed.vectors import Vectors
from resight.environment import Environment
from resight.shortlist import kept, neighbours, numbered
from resight.shortlist.setup import voting_names
from resight.shortlist.union import Alike

GALLERY = [f"g{i}" for i in range(24)]
UNKNOWN = [*(f"u{i}" for i in range(8)), *QUERIES]


@pytest.fixture
def many(env: Environment, crops: pa.Table) -> pa.Table:
    """More of the gallery, and eight without a name, four of which show the same as one of the gallery, with noise."""
    rng = np.random.default_rng(1)

    def drawn() -> np.ndarray:
        return np.kron(rng.integers(0, 255, (9, 12, 3), np.uint8), np.ones((9, 9, 1), np.uint8))

    pictures = {name: drawn() for name in GALLERY[12:]}
    for i, name in enumerate(UNKNOWN[:8]):
        shown = drawn() if i % 2 else pictures[GALLERY[12 + i]]
        pictures[name] = np.clip(shown.astype(int) + rng.integers(-9, 9, shown.shape), 0, 255).astype(np.uint8)
    return with_more(env, crops, pictures)


class World:
    """Who has a name, and which animal it is; changes a little from night to night."""

    def __init__(self, seed: int) -> None:
        self.draw, self.gallery = random.Random(seed), set(GALLERY[:12])
        self.animal = {name: f"animal {i // 2}" for i, name in enumerate(GALLERY)}
        values = np.random.default_rng(seed).normal(size=(len(GALLERY) + len(UNKNOWN), 16)).astype(np.float32)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        self.vectors = Vectors(tuple((crop, False) for crop in [*GALLERY, *UNKNOWN]), values)

    def alike(self) -> Alike:
        owners = {u: f"encounter {u}" for u in UNKNOWN} | self.animal
        return Alike(
            self.vectors, dict.fromkeys(owners, "left"), owners, {u: f"e{k // 2}" for k, u in enumerate(UNKNOWN)}
        )

    def night_passes(self) -> None:
        what = self.draw.random()
        if what < 0.5:
            self.gallery.add(self.draw.choice(GALLERY))
        if 0.3 < what < 0.7:
            named = self.draw.choice(sorted(set(UNKNOWN) - self.gallery))
            self.gallery.add(named)
            self.animal[named] = "animal 1"
        if what > 0.6:
            gone = self.draw.choice(sorted(self.gallery))
            self.gallery.discard(gone)
            if gone in UNKNOWN:
                self.animal.pop(gone)
        if self.draw.random() < 0.5:
            self.animal[self.draw.choice(GALLERY)] = f"animal {self.draw.randrange(9)}"


@pytest.mark.parametrize("way", ["votes", "vectors", "exact"])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_is_what_asking_anew_says(env: Environment, many: pa.Table, seed: int, way: str) -> None:
    world, looked_up = World(seed), [0, 0]
    params = EXACT if way == "exact" else CODED
    names = voting_names(params, "features", "unknown")
    folder = env.workspace.stage_dir("shortlist", names.exact_index if way == "exact" else names.index)
    before, aside = folder.parent / "before", folder.parent / "aside"
    for _ in range(5):
        alike = world.alike() if way == "vectors" else None
        unknown, known = [u for u in UNKNOWN if u not in world.gallery], tuple(sorted(world.gallery))
        answered(env, many, listed(dict.fromkeys(unknown, known)), alike=alike, params=params)
        may_find = {q: (*known, *(u for u in unknown if u != q)) for q in unknown}
        now = answered(env, many, listed(may_find), "unknown", alike=alike, params=params)
        shutil.copytree(folder, before)
        for name in (kept.FOLDER, neighbours.FOLDER, numbered.NUMBERS):
            shutil.rmtree(folder / name, ignore_errors=True)
        anew = answered(env, many, listed(may_find), "unknown", alike=alike, params=params)
        assert anew.n_voted == len(unknown) and now.votes.equals(anew.votes)
        looked_up = [looked_up[0] + now.n_looked_up, looked_up[1] + anew.n_looked_up]
        folder.rename(aside)
        before.rename(folder)
        shutil.rmtree(aside)
        world.night_passes()
    assert looked_up[0] < 0.6 * looked_up[1], "not everything is looked up on every night"
