"""What one query photo costs against a whole catalogue, in CPU seconds of one thread: the pipeline's steps, and every pair matched instead.

    python benchmarks/bench_query.py --data heads --animals animals.csv --workspace /tmp/heads

The gallery of `bench_verdicts.py`, whose workspace it shares: crops and features are there after that. Some crops of animals that ask are taken anew from
the picture to the last pair, after one to warm up, with networks, index and gallery in memory, as on a night: keypoints, vector, votes, and the matching of ``--places``
gallery crops. Beside it, in turns with it, some of the other pairs, as many as ``--sample``, by the same engine and by kornia's LightGlue with the same
weights one by one, times what the whole gallery is to these. Matching includes the geometry in the engine's rows and not in kornia's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
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
BINS = 20


def kornias(run: Run) -> Any:
    """kornia's LightGlue with the weights of the settings."""
    from kornia.feature import LightGlue

    state = run.env.weights.state_dict(run.settings.match.weight_names_for(run.settings.extract.family)[0])
    dim = state["posenc.Wr.weight"].shape[0] * 2
    shape = {
        "input_dim": 128,
        "descriptor_dim": state["input_proj.weight"].shape[0],
        "n_layers": 3,
        "add_scale_ori": True,
    }
    heads = shape["descriptor_dim"] // dim
    model: Any = LightGlue(None, **shape, num_heads=heads, depth_confidence=-1, width_confidence=-1).eval()
    missing, unknown = model.load_state_dict(state, strict=False)
    assert not unknown and all(name.startswith(("token_confidence", "confidence_thresholds")) for name in missing)
    return model


def as_kornia(features: Features) -> dict[str, torch.Tensor]:
    """One photo in the form that kornia's LightGlue takes."""
    columns = {
        "keypoints": features.xy_px, "descriptors": features.descriptors,
        "scales": features.scale_px, "oris": features.angle_rad,
    }  # fmt: skip
    tensors = {name: torch.from_numpy(np.array(of, np.float32))[None] for name, of in columns.items()}
    return tensors | {"image_size": torch.tensor([features.size_wh_px], dtype=torch.float32)}


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
    model, clock, rng, by_id = kornias(run), Clock(), np.random.default_rng(0), dict(gallery)
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
            sample = [gallery[k] for k in rng.choice(len(gallery), given.sample, replace=False)]
            match(matcher, (f"new {crop_id}", features), [(c, by_id[c]) for c in found], clock, "list")
            match(matcher, (f"new {crop_id}", features), sample, clock, "sample")
            one, others = as_kornia(features), [as_kornia(of) for _, of in sample]
            with torch.inference_mode(), clock.of("kornia"):
                for other in others:
                    model({"image0": one, "image1": other})
    return {name: seconds[1:] for name, seconds in clock.spent.items()}


def match(matcher: EngineMatcher, query: Crop, crops: Sequence[Crop], clock: Clock, name: str) -> None:
    """The query with each of these, which the engine keeps encoded as it does on a night."""
    for crop_id, features in crops:
        matcher.kept(crop_id, lambda features=features: features)  # type: ignore[misc]
    index_a, index_b = np.zeros(len(crops), np.int64), np.arange(1, len(crops) + 1)
    with clock.of(name):
        matcher.match_tile([query, *crops], index_a, index_b, BINS)


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
        "every pair by kornia's LightGlue, one by one, without geometry": whole * means["kornia"],
    }  # fmt: skip
    lines = ["| step | CPU s of a query photo | times all of these |", "| --- | --- | --- |"]
    return lines + [f"| {name} | {seconds:.2f} | {seconds / total:.2f} |" for name, seconds in rows.items()]


def main() -> None:
    parser = arguments(__doc__, gallery_photos=1000)
    parser.add_argument("--places", type=int, default=50, help="gallery photos that a photo is matched with")
    parser.add_argument("--queries", type=int, default=6, help="that are measured, after one more to warm up")
    parser.add_argument("--sample", type=int, default=60, help="pairs that stand for all")
    given = parser.parse_args()
    given.calibrating = 0
    single_thread()
    with opened(given, settings_of(given)) as run:
        extracted, cohort = prepared(run, read_animals(given.animals, Part(given.part)), given)
        places, reader = places_of(extracted.features), FeatureReader(run.workspace)
        of_gallery = [c for c in of_photos(extracted.crops, cohort.gallery)["crop_id"].to_pylist() if c in places]
        gallery = list(zip(of_gallery, reader.load_many([places[c] for c in of_gallery]), strict=True))
        asking = of_photos(extracted.crops, cohort.queries).sort_by("crop_id").slice(0, given.queries + 1)
        queries = list(zip(asking["crop_id"].to_pylist(), asking["path"].to_pylist(), strict=True))
        spent = measured(run, queries, gallery, given)
    print("\n".join(table(spent, len(gallery), given)))
    print(json.dumps({name: [round(s, 3) for s in seconds] for name, seconds in spent.items()}))


if __name__ == "__main__":
    main()
