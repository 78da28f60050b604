"""What a gallery that changes costs in votes: queries that follow it against the same queries asked anew; are the votes the same to the last bit?

    python benchmarks/bench_votes.py                                        # 3,000 crops, 60 queries, 512 keypoints: some minutes on one core
    python benchmarks/bench_votes.py --gallery 1000 --keypoints 128 --no-vectors

Features are DRAWN as in `bench_catalogue.py`, ten crops to an animal; vectors are drawn around a centre for each animal. In one process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import drawn_features
import numpy as np
import pyarrow as pa

from resight.embed.vectors import Vectors
from resight.environment import Environment
from resight.extract.kinds.sift import SiftParams
from resight.extract.stage import extract
from resight.pairs.cohort import IDENTIFY
from resight.pairs.plan import PLAN, PLANNED, PairGrid
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.segment.store import write_crop
from resight.shortlist import kept, neighbours
from resight.shortlist.params import ShortlistParams
from resight.shortlist.setup import Voting, voting_names
from resight.shortlist.stage import ShortlistResult, shortlist
from resight.shortlist.union import Alike
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

MORE, PER_ANIMAL, DIM = 12, 10, 256


@dataclass(frozen=True)
class World:
    """Crops with drawn features in a workspace; ``g…`` are the gallery's, ``q…`` ask, two of an encounter."""

    env: Environment
    n_gallery: int
    n_queries: int
    keypoints: int

    @cached_property
    def shown(self) -> dict[str, tuple[int, int]]:
        """Animal and number of each crop."""
        animals = self.n_gallery // PER_ANIMAL
        gallery = {f"g{i:06d}": (i % animals, i) for i in range(self.n_gallery + MORE)}
        return gallery | {f"q{i:04d}": (i // 2 % animals, 10**6 + i) for i in range(self.n_queries)}

    @cached_property
    def crops(self) -> pa.Table:
        """Their table; the pictures are stamps."""
        rows = []
        for crop_id, stamp in self.shown.items():
            path = self.env.workspace.store / "segment" / f"{crop_id}.png"
            rgb = cv2.imdecode(np.frombuffer(drawn_features.stamped(*stamp), np.uint8), cv2.IMREAD_COLOR)
            write_crop(path, rgb, np.ones(rgb.shape[:2], bool))
            rows.append({"crop_id": crop_id, "photo_id": f"p{crop_id}", "path": self.env.workspace.relative(path), "status": "ok"})  # fmt: skip
        return pa.Table.from_pylist(rows)

    @cached_property
    def alike(self) -> Alike:
        """Vectors of all."""
        animal = {a: np.random.default_rng([1, a]).normal(size=DIM) for a, _ in self.shown.values()}
        values = [animal[a] + 1.2 * np.random.default_rng([2, n]).normal(size=DIM) for a, n in self.shown.values()]
        vectors = np.stack([v / np.linalg.norm(v) for v in values]).astype(np.float32)
        owners = {c: f"animal {a}" if c[0] == "g" else f"encounter {a}" for c, (a, _) in self.shown.items()}
        encounters = {c: f"encounter {n // 2}" for c, (_, n) in self.shown.items() if c[0] == "q"}
        return Alike(Vectors([(c, False) for c in self.shown], vectors), dict.fromkeys(owners, "left"), owners, encounters)  # fmt: skip

    def night(self, gallery: list[str], alike: Alike | None) -> tuple[ShortlistResult, float]:
        """The shortlist of all queries, and the CPU seconds that it took; features are there."""
        queries = [crop_id for crop_id in self.shown if crop_id[0] == "q"]
        ids = (np.repeat(queries, len(gallery)).tolist(), gallery * len(queries))
        photos = [[f"p{crop_id}" for crop_id in side] for side in ids]
        rest = [[value] * len(ids[0]) for value in (IDENTIFY, PLANNED, "")]
        grid = PairGrid.listed(pa.table([*ids, *photos, *rest], names=PLAN.names).cast(PLAN), IDENTIFY)
        extractor = SiftParams(max_keypoints=self.keypoints)
        features = extract(self.env, extractor, "features", self.crops).features
        params = ShortlistParams(enabled="on", descriptors_per_crop=self.keypoints)
        voting = Voting(params, extractor, True, False, voting_names(params, "features"))
        start = time.process_time()
        return shortlist(self.env, voting, (grid,), self.crops, features, alike=alike), time.process_time() - start

    @property
    def folder(self) -> Path:
        """Of index, answers and neighbours."""
        (folder,) = (self.env.workspace.store / "shortlist").iterdir()
        return folder

    def anew(self, gallery: list[str], alike: Alike | None) -> tuple[ShortlistResult, float]:
        """The same night in the same index, but nobody remembers anything; what is kept stays as it was."""
        remembered = [self.folder / name for name in (kept.FOLDER, neighbours.FOLDER)]
        for path in remembered:
            path.rename(path.with_suffix(".aside"))
        found = self.night(gallery, alike)
        for path in remembered:
            shutil.rmtree(path)
            path.with_suffix(".aside").rename(path)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gallery", type=int, default=3000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--keypoints", type=int, default=512)
    parser.add_argument("--no-vectors", action="store_true", help="votes alone choose")
    args = parser.parse_args()
    drawn_features.KEYPOINTS, drawn_features.OF_ANIMAL = args.keypoints, args.keypoints * 3 // 4
    drawn_features.draw_instead_of_extracting()
    with tempfile.TemporaryDirectory() as temporary:
        workspace, runner = Workspace(Path(temporary)), Runner(DaskParams(mode="inline"), quiet=True)
        world = World(Environment(workspace, WeightStore(allow_download=False), runner), args.gallery, args.queries, args.keypoints)  # fmt: skip
        measure(world, None if args.no_vectors else world.alike)


def measure(world: World, alike: Alike | None) -> None:
    """Night after night, each against asking anew."""
    every = [crop_id for crop_id in world.shown if crop_id[0] == "g"]
    n, renamed = world.n_gallery, alike and replace(alike, owners=alike.owners | dict.fromkeys(every[20:30], "another"))
    nights = [
        ("the first", every[:n], alike),
        ("one crop more", every[: n + 1], alike),
        ("another one", every[: n + 2], alike),
        ("ten crops more", every, alike),
        ("one crop less", every[1:], alike),
        ("another one", every[2:], alike),
        ("ten crops less", every[12:], alike),
        *([("names of ten changed", every[12:], renamed)] if alike else []),
    ]
    print(f"{'night':22}{'queries':>9}{'looked up':>11}{'CPU s':>8}{'anew':>8}{'KB written':>12}   same votes   load")
    for label, gallery, by in nights:
        before = sizes(world.folder) if label != "the first" else {}
        now, spent = world.night(gallery, by)
        written = sum(size for file, size in sizes(world.folder).items() if before.get(file) != size)
        anew, spent_anew = world.anew(gallery, by)
        same = now.votes.equals(anew.votes)
        print(
            f"{label:22}{now.n_voted:>9}{now.n_looked_up:>11,}{spent:>8.2f}{spent_anew:>8.2f}{written / 1e3:>12,.0f}"
            f"   {'yes' if same else 'NO':10}   {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def sizes(folder: Path) -> dict[Path, int]:
    """Of answers and neighbours."""
    return {file: file.stat().st_size for name in (kept.FOLDER, neighbours.FOLDER) for file in (folder / name).glob("*")}  # fmt: skip


if __name__ == "__main__":
    main()
