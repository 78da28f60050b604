"""What one query photo costs against a whole catalogue, in CPU seconds of one thread: the pipeline's steps, and every pair matched instead.

    python benchmarks/bench_query.py --data heads --animals animals.csv --workspace /tmp/heads

The gallery of `bench_verdicts.py`, whose workspace it shares: crops and features are there after that. Some crops of animals that ask are taken anew from
the picture to the last pair, after one to warm up, with networks, index and gallery in memory, as on a night: keypoints, vector, votes, and the matching of ``--places``
gallery crops. Beside it, in turns with it, ``--sample`` of the pairs that are not on that list, by the same engine and one by one by kornia's LightGlue with the same
weights (``match.backend = "kornia"``), times what the whole gallery is to these. Geometry is part of all of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bench_verdicts import settings_of
from labelled_crops import arguments, of_photos, opened, prepared

from resight.compare.local import places_of
from resight.embed.block import loaded, picture_of, vectors_of
from resight.evaluate.animals import Part, read_animals
from resight.extract.base import Features
from resight.extract.reader import FeatureReader
from resight.match.blocks import single_thread
from resight.match.engine_matcher import EngineMatcher
from resight.run.run import Run
from resight.segment.store import read_crop
from resight.shortlist.passes import InMemory
from resight.shortlist.store import build_index
from resight.shortlist.votes import search

Crop = tuple[str, Features]


class Clock:
    """CPU seconds of this thread, by what was done."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.spent.setdefault(name, []).append(time.thread_time() - start)


def measured(
    run: Run, queries: Sequence[tuple[str, str]], gallery: Sequence[Crop], given: argparse.Namespace
) -> dict[str, list[float]]:
    """CPU seconds of every step for each query (crop and path)."""
    used, env = run.settings, run.env
    extractor = used.extract.build(env.weights, "cpu")
    matcher = used.match.build(env.weights, used.extract.family, "cpu")
    assert isinstance(matcher, EngineMatcher)
    net, side_px = loaded(used.embed.weights, env.weights, "cpu")
    kornia = used.match.model_copy(update={"backend": "kornia"}).build(env.weights, used.extract.family, "cpu")
    clock, rng, by_id = Clock(), np.random.default_rng(0), dict(gallery)
    descriptors = InMemory(lambda crop_id: by_id[crop_id].descriptors)
    with TemporaryDirectory() as folder:
        index = build_index(Path(folder), sorted(by_id), descriptors, used.shortlist, "bench")
        for crop_id, path in queries:
            rgb, mask = read_crop(env.workspace, path)
            with clock.of("keypoints"):
                features = extractor.extract(rgb, mask)
            with clock.of("vector"):
                vectors_of([picture_of(rgb, False, side_px)], net, "cpu")
            with clock.of("votes"):
                votes = search(index, [(crop_id, features.descriptors)], used.shortlist)
            found = votes["gallery_crop_id"].to_pylist()[: given.places]
            others = [one for one in gallery if one[0] not in set(found)]
            sample = [others[k] for k in rng.choice(len(others), given.sample, replace=False)]
            for name, crops in (("list", [(c, by_id[c]) for c in found]), ("sample", sample)):
                for kept, of_crop in crops:  # the engine keeps the gallery encoded, as it does on a night
                    matcher.kept(kept, lambda of_crop=of_crop: of_crop)  # type: ignore[misc]
                pairs = np.zeros(len(crops), np.int64), np.arange(1, len(crops) + 1)
                with clock.of(name):
                    matcher.match_tile([(f"new {crop_id}", features), *crops], *pairs, used.score.bins)
            with clock.of("kornia"):
                for _, other in sample:
                    kornia.match(features, other)
    return {name: seconds[1:] for name, seconds in clock.spent.items()}


def table(spent: dict[str, list[float]], n_gallery: int, given: argparse.Namespace) -> list[str]:
    """Lines of a Markdown table."""
    means = {name: float(np.mean(seconds)) for name, seconds in spent.items()}
    whole = n_gallery / given.sample
    rows = {
        "keypoints (SIFT)": means["keypoints"], "vector": means["vector"], "votes of its descriptors": means["votes"],
        f"{given.places} pairs matched, with geometry": means["list"],
    }  # fmt: skip
    total = sum(rows.values())
    rows |= {
        "**all of these**": total, f"every one of {n_gallery} pairs matched by the engine, with geometry": whole * means["sample"],
        "every pair by kornia's LightGlue, one by one, with the same geometry": whole * means["kornia"],
    }  # fmt: skip
    lines = ["| step | CPU s of a query photo | times all of these |", "| --- | --- | --- |"]
    return lines + [f"| {name} | {seconds:.2f} | {seconds / total:.2f} |" for name, seconds in rows.items()]


def main() -> None:
    parser = arguments(__doc__, gallery_photos=1000)
    parser.add_argument("--places", type=int, default=50, help="gallery photos that a photo is matched with")
    parser.add_argument("--queries", type=int, default=6, help="that are measured, after one more to warm up")
    parser.add_argument("--sample", type=int, default=60, help="pairs that stand for all")
    given = parser.parse_args()
    given.calibrating = 0  # for `settings_of`: nobody stands in for an unknown animal here
    single_thread()
    with opened(given, settings_of(given)) as run:
        extracted, cohort = prepared(run, read_animals(given.animals, Part(given.part)), given)
        places, reader = places_of(extracted.features), FeatureReader(run.workspace)
        of_gallery = [c for c in of_photos(extracted.crops, cohort.gallery)["crop_id"].to_pylist() if c in places]
        gallery = list(zip(of_gallery, reader.load_many([places[c] for c in of_gallery]), strict=True))
        asking = of_photos(extracted.crops, cohort.queries).sort_by("crop_id").slice(0, given.queries + 1)
        queries = list(zip(asking["crop_id"].to_pylist(), asking["path"].to_pylist(), strict=True))
        if len(queries) < 2 or len(gallery) <= given.places + given.sample:
            raise SystemExit(
                f"{len(queries)} crops ask {len(gallery)}, which is too few; give more --crops, or fewer --places and --sample."
            )
        spent = measured(run, queries, gallery, given)
    print("\n".join(table(spent, len(gallery), given)))
    print(json.dumps({name: [round(s, 3) for s in seconds] for name, seconds in spent.items()}))


if __name__ == "__main__":
    main()
