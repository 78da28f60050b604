"""The bundled matcher beside others, on animals that it was not trained on: heads outlined by hand, time-aware.

    python benchmarks/matcher.py --data ../shared/data --out build/matcher [--weights FILE] [--parts ranking homography speed]

Weights of XFeat and LighterGlue are looked for in RESIGHT_WEIGHTS (default: the folder ``weights`` beside the data). Results of pairs are kept in
``--out``, so that a second call draws and counts only.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from resight.environment import Environment
from resight.evaluate.protocol import split
from resight.extract.base import Features
from resight.extract.kinds.sift import SiftParams
from resight.extract.kinds.xfeat import XFeatParams
from resight.ingest.stage import ingest
from resight.match.base import Matches
from resight.match.engine.batch import batch_of_one
from resight.match.engine.engine import LightGlueEngine
from resight.match.engine_matcher import EngineMatcher
from resight.match.kinds.lightglue import SURE_AFFINE, LightGlueParams
from resight.match.kinds.nearest import NearestMatcher, NearestParams
from resight.match.lightglue import build_lightglue
from resight.match.presets import NetworkShape
from resight.match.verify import fit_of
from resight.pairs.policy import _COMPATIBLE, _SIDES
from resight.run.names import ingest_name, segment_name
from resight.run.setups import ingest_setup, segment_setup
from resight.runner.runner import Runner
from resight.segment.stage import segment
from resight.segment.store import read_crop
from resight.settings import load_settings
from resight.store.workspace import Workspace
from resight.train.matcher.links import nearest_of
from resight.train.matcher.network import Shape, start
from resight.train.matcher.truth import partners
from resight.train.matcher.warp import apply, draw_warp, place_keypoints
from resight.train.water import under_other_water
from resight.weights.store import WeightStore

log = logging.getLogger("resight")
HELD_OUT = ("t001", "t004", "t013", "t016", "t020", "t021")
SETS = ("zakynthos", "bonaire")
PARTS = ("ranking", "homography", "speed")
SCORES = ("sum", "mean", "count", "count_05", "sum_squares", "llr", "inliers")
CONFIDENCES = (0.1, 0.5)


@dataclass(frozen=True)
class Crop:
    """A head, cut by its outline."""

    name: str
    photo: str
    animal: str
    encounter: str
    side: str
    query: bool
    rgb: np.ndarray
    mask: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/matcher"))
    parser.add_argument("--weights", default="lightglue-sift-turtle")
    parser.add_argument("--keypoints", type=int, default=512, help="of SIFT for LightGlue")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--all-queries", action="store_true", help="also the animals that it was trained on")
    parser.add_argument("--quick", action="store_true", help="every eighth query only, to try it out")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ.setdefault("RESIGHT_WEIGHTS", str(given.data.parent / "weights"))
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for part in given.parts:
        run: Callable[[argparse.Namespace], Any] = {"ranking": ranking, "homography": homographies, "speed": speeds}[
            part
        ]
        results[part] = run(given)
        (given.out / f"{part}.json").write_text(json.dumps(results[part], indent=1), encoding="utf-8")
    print(json.dumps(results, indent=1))


def crops_of(data: Path, name: str, out: Path) -> list[Crop]:
    """Heads outlined by hand, with the part that each plays in the time-aware split."""
    place = Workspace(out / name)
    place.root.mkdir(parents=True, exist_ok=True)
    settings = load_settings(None, {"segment.kind": "annotations", "dask.mode": "inline"})
    with Runner(settings.dask, "cpu", quiet=True) as runner:
        env = Environment(place, WeightStore(), runner)
        source = str((data / name).absolute())
        ingested = ingest(env, ingest_setup(settings), ingest_name(settings), [source], "2026-01-01")
        crops_name = segment_name(settings, env.weights)
        cut = segment(env, segment_setup(settings), crops_name, ingested.photos, ingested.annotations).crops
    parts = split(ingested.photos)
    photos = {row["photo_id"]: row for row in ingested.photos.to_pylist()}
    crops = []
    for row in cut.to_pylist():
        photo = photos[row["photo_id"]]
        role = photo["encounter_id"] in parts.query_encounters
        if row["status"] != "ok" or not (role or photo["encounter_id"] in parts.gallery_encounters):
            continue
        rgb, mask = read_crop(place, row["path"])
        side = str(row["viewpoint"] or "unknown")
        crops.append(Crop(row["crop_id"], row["photo_id"], photo["individual_id"], photo["encounter_id"], side, role, rgb, mask))  # fmt: skip
    return crops


def wanted_pairs(crops: Sequence[Crop], animals: Sequence[str] | None, quick: bool = False) -> list[tuple[int, int]]:
    """Queries of ``animals`` against the whole gallery, views that may show the same skin only, as a nightly run plans them."""
    asking = [i for i, c in enumerate(crops) if c.query and (animals is None or c.animal in animals)]
    candidates = [j for j, c in enumerate(crops) if not c.query]
    sides = [str(side.value) for side in _SIDES]
    place = [sides.index(c.side) if c.side in sides else sides.index("unknown") for c in crops]
    return [(i, j) for i in (asking[::8] if quick else asking) for j in candidates if _COMPATIBLE[place[i], place[j]]]


@dataclass(frozen=True)
class Contender:
    """A name, what it extracts, and what it says about a pair: a row of `SCORES` per layer."""

    name: str
    extract: Any
    pair: Callable[[Features, Features], list[dict[str, float]]]


def contenders(given: argparse.Namespace) -> list[Contender]:
    store = WeightStore(allow_download=False)
    plain, verified = LightGlueParams(weights="xfeat_lighterglue_3layer"), NearestParams()
    ours = LightGlueParams(weights=given.weights, families=("sift",))
    xfeat = build_lightglue(plain, store, "xfeat", "cpu")
    own = build_lightglue(ours, store, "sift", "cpu")
    assert isinstance(own, EngineMatcher) and isinstance(xfeat, EngineMatcher)
    first = Shape(1)
    seen = NetworkShape(first.input_dim, first.width, first.n_layers, first.num_heads, True)
    blank = EngineMatcher(LightGlueEngine.from_state_dict(start(first, 0).state_dict()), seen, ours, "sift")
    few = SiftParams(max_keypoints=given.keypoints)
    return [
        Contender("SIFT 1024 + mutual nearest neighbours + MAGSAC++", SiftParams().build(store), _verified(NearestMatcher(verified))),
        Contender("XFeat 512 + 3-layer LighterGlue", XFeatParams().build(store, "cpu"), _layers(xfeat)),
        Contender(f"SIFT {given.keypoints} + {Path(given.weights).stem}", few.build(store), _layers(own)),
        Contender(f"SIFT {given.keypoints} + the same before training", few.build(store), _layers(blank)),
    ]  # fmt: skip


def _verified(matcher: NearestMatcher) -> Callable[[Features, Features], list[dict[str, float]]]:
    def pair(a: Features, b: Features) -> list[dict[str, float]]:
        match = matcher.match(a, b)
        row = scores_of(match.confidence, len(a), len(b))
        return [row | {"inliers": match.n_inliers + row["mean"]}]  # as the pipeline's score

    return pair


def _layers(matcher: EngineMatcher) -> Callable[[Features, Features], list[dict[str, float]]]:
    """Every layer that has a trained head."""
    network, kept = matcher.engine.network, {}
    heads = [layer for layer, trained in enumerate(matcher.engine.arch.trained_heads) if trained]

    @torch.inference_mode()
    def pair(a: Features, b: Features) -> list[dict[str, float]]:
        for features in (a, b):
            if id(features) not in kept:
                kept[id(features)] = (features, matcher.encode(features))
        batch, rows, done = batch_of_one(kept[id(a)][1], kept[id(b)][1]), [], 0
        for layer in heads:
            batch, done = network.run(batch, done, layer + 1), layer + 1
            assignment = network.assign(batch, layer)
            confidence = assignment.confidence[0].numpy()
            index_a = np.flatnonzero(confidence)
            row = scores_of(confidence[index_a], len(a), len(b))
            if layer == heads[-1]:
                index_b = assignment.partner[0].numpy()[index_a]
                agree = fit_of(a, b, Matches(index_a, index_b, confidence[index_a]), SURE_AFFINE).inlier
                row["inliers"] = agree.sum() + row["mean"]
            rows.append(row)
        return rows

    return pair


def scores_of(confidence: np.ndarray, n_a: int, n_b: int) -> dict[str, float]:
    s = confidence.astype(np.float64)
    return {
        "sum": float(s.sum()),
        "mean": float(s.sum() / np.sqrt(max(n_a * n_b, 1))),
        "count": float((s > 0.1).sum()),
        "count_05": float((s > 0.5).sum()),
        "sum_squares": float((s**2).sum()),
        "llr": float(-np.log1p(-np.minimum(s, 1 - 1e-6)).sum()),
        "inliers": 0.0,
    }


def ranking(given: argparse.Namespace) -> dict[str, Any]:
    """Right at once on the animals kept out of training, and on bonaire; score distributions; what halving does."""
    out: dict[str, Any] = {}
    for name in SETS:
        crops = crops_of(given.data, name, given.out)
        pairs = wanted_pairs(crops, None if name == "bonaire" or given.all_queries else HELD_OUT, given.quick)
        out[name] = {"queries": len({i for i, _ in pairs}), "pairs": len(pairs)}
        for contender in contenders(given):
            rows = matched(contender, crops, pairs, given.out / f"{name} {contender.name}.json")
            out[name][contender.name] = judged(crops, pairs, rows)
            if name == "zakynthos":
                out[name][contender.name]["separation"] = separation(crops, pairs, rows)
    draw_distributions(given)
    return out


def matched(
    contender: Contender, crops: Sequence[Crop], pairs: Sequence[tuple[int, int]], file: Path
) -> list[list[dict[str, float]]]:
    """Rows of all pairs; those that lie in ``file`` are not computed again, so that a stopped run goes on."""
    record = json.loads(file.read_text()) if file.exists() else {"rows": [], "cpu_s": 0.0}
    rows: list[list[dict[str, float]]] = record["rows"]
    features: dict[int, Features] = {}
    for i, j in pairs[len(rows) :]:
        for k in (i, j):
            if k not in features:
                features[k] = contender.extract.extract(crops[k].rgb, crops[k].mask)
        began = time.process_time()
        rows.append(contender.pair(features[i], features[j]))
        record["cpu_s"] = record.get("cpu_s", 0.0) + time.process_time() - began
        if len(rows) % 200 == 0 or len(rows) == len(pairs):
            same = [crops[i].animal == crops[j].animal for i, j in pairs[: len(rows)]]
            file.write_text(json.dumps(record | {"rows": rows, "same": same}))
            log.info(
                "%s: %d of %d pairs, %.1f ms each",
                contender.name,
                len(rows),
                len(pairs),
                1000 * record["cpu_s"] / len(rows),
            )
    return rows


def judged(
    crops: Sequence[Crop], pairs: Sequence[tuple[int, int]], rows: list[list[dict[str, float]]]
) -> dict[str, Any]:
    """Per layer and score: right at once of all photos and encounters; for the last layer also with halving."""
    out: dict[str, Any] = {}
    for layer in range(len(rows[0])):
        for score in SCORES:
            values = np.array([r[layer][score] for r in rows])
            if values.any():
                out[f"layer {layer + 1}, {score}"] = right_at_once(crops, pairs, values)
    for layer in range(len(rows[0]) - 1):
        for score in ("sum", "sum_squares"):
            values = halved(pairs, np.array([r[layer]["sum"] for r in rows]), np.array([r[-1][score] for r in rows]))
            out[f"a third kept after layer {layer + 1}, {score}"] = right_at_once(crops, pairs, values)
    return out


def right_at_once(crops: Sequence[Crop], pairs: Sequence[tuple[int, int]], values: np.ndarray) -> dict[str, Any]:
    photos: dict[str, dict[str, float]] = {}
    meetings: dict[str, dict[str, float]] = {}
    truth = {}
    for (i, j), value in zip(pairs, values, strict=True):
        for table, key in ((photos, crops[i].photo), (meetings, crops[i].encounter)):
            of = table.setdefault(key, {})
            of[crops[j].animal] = max(of.get(crops[j].animal, -np.inf), float(value))
            truth[key] = crops[i].animal
    return {
        "photos": _share(photos, truth, 1), "photos_top3": _share(photos, truth, 3),
        "encounters": _share(meetings, truth, 1), "n_photos": len(photos), "n_encounters": len(meetings),
    }  # fmt: skip


def _share(table: dict[str, dict[str, float]], truth: dict[str, str], k: int) -> float:
    """Ties count as wrong: an animal is right at once where no other has as high a score."""
    right = 0
    for key, of in table.items():
        own = of.get(truth[key], -np.inf)
        right += np.isfinite(own) and sum(v >= own for name, v in of.items() if name != truth[key]) < k
    return round(right / max(len(table), 1), 4)


def halved(pairs: Sequence[tuple[int, int]], early: np.ndarray, late: np.ndarray, share: float = 1 / 3) -> np.ndarray:
    """Last scores of the best third of each query after an early layer; below all others, the rest."""
    out, queries = np.full(len(pairs), -1e9), np.array([i for i, _ in pairs])
    for query in np.unique(queries):
        rows = np.flatnonzero(queries == query)
        kept = rows[np.argsort(-early[rows], kind="stable")[: max(1, int(np.ceil(share * len(rows))))]]
        out[kept] = late[kept]
    return out


def separation(
    crops: Sequence[Crop], pairs: Sequence[tuple[int, int]], rows: list[list[dict[str, float]]]
) -> dict[str, float]:
    """How often a pair of one animal scores above a pair of two (area under the ROC curve), by score, last layer."""
    same = np.array([crops[i].animal == crops[j].animal for i, j in pairs])
    out = {}
    for score in SCORES:
        values = np.array([r[-1][score] for r in rows])
        if values.any():
            gap = values[same][:, None] - values[~same][None]
            out[f"auroc {score}"] = round(float((gap > 0).mean() + 0.5 * (gap == 0).mean()), 4)
    means = np.array([r[-1]["mean"] for r in rows])
    out |= {
        f"strangers, mean confidence, quantile {q}": round(float(np.quantile(means[~same], q)), 5) for q in (0.5, 0.95)
    }
    out |= {f"same, mean confidence, quantile {q}": round(float(np.quantile(means[same], q)), 5) for q in (0.5, 0.95)}
    return out


def draw_distributions(given: argparse.Namespace) -> None:
    """``strangers.svg``: mean confidence of pairs of two animals and of one, contender by contender."""
    panels, width, height = [], 520, 150
    for number, file in enumerate(f for f in sorted(given.out.glob("zakynthos *.json")) if "MAGSAC" not in f.name):
        record = json.loads(file.read_text())
        values, same = np.array([r[-1]["mean"] for r in record["rows"]]), np.array(record["same"])
        edges = np.linspace(-4, 0, 41)
        top, bars = 40 + number * (height + 60), []
        for colour, part in (("#d1495b", values[~same]), ("#0b6e8a", values[same])):
            count, _ = np.histogram(np.log10(np.maximum(part, 1e-4)), edges)
            for k, n in enumerate(count / max(count.max(), 1)):
                bars.append(f'<rect x="{50 + k * width / 40:.1f}" y="{top + height * (1 - n):.1f}" width="{width / 40:.1f}" height="{height * n:.1f}" fill="{colour}" fill-opacity="0.55"/>')  # fmt: skip
        marks = [f'<text x="{50 + width * (m + 4) / 4}" y="{top + height + 16}" text-anchor="middle">{10.0**m:g}</text>' for m in range(-4, 1)]  # fmt: skip
        title = file.stem.removeprefix("zakynthos ")
        panels.append(f'<text x="50" y="{top - 8}" font-size="14">{title}: mean confidence of two animals (red) and of one (blue)</text><rect x="50" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>{"".join(bars)}{"".join(marks)}')  # fmt: skip
    total = 60 + len(panels) * (height + 60)
    (given.out / "strangers.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{total}" viewBox="0 0 680 {total}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="white"/>{"".join(panels)}</svg>\n'
    )


def homographies(given: argparse.Namespace) -> dict[str, Any]:
    """Views that nobody has trained on, of heads of animals kept out: matches found (recall) and right (precision)."""
    store, rng = WeightStore(allow_download=False), np.random.default_rng(77)
    own = build_lightglue(LightGlueParams(weights=given.weights, families=("sift",)), store, "sift", "cpu")
    sift = SiftParams(max_keypoints=given.keypoints).build(store)
    names = ["mutual nearest neighbours", "the same, ratio 0.85"] + [f"matcher, confidence above {c}" for c in (0.0, *CONFIDENCES)]  # fmt: skip
    sums = {name: np.zeros(3) for name in names}
    crops = [c for c in crops_of(given.data, "zakynthos", given.out) if c.animal in HELD_OUT]
    crops += crops_of(given.data, "bonaire", given.out)
    crops = crops[::4] if given.quick else crops
    for crop in crops:
        seen = []
        for plain in (True, False):
            warp = draw_warp(rng, (crop.mask.shape[1], crop.mask.shape[0]), plain=plain)
            view, mask = apply(warp, crop.rgb, crop.mask)
            features = sift.extract(view if plain else under_other_water(view, rng), mask)
            nowhere = np.zeros(len(features), bool)
            seen.append(
                (features, place_keypoints(warp, features.xy_px, features.scale_px, features.angle_rad, nowhere))
            )
        (a, placed_a), (b, placed_b) = seen
        if min(len(a), len(b)) < 8:
            continue
        truth = partners(placed_a, placed_b)
        tell(sums[names[0]], *nearest_of(a.descriptors, b.descriptors, 1.0), truth)
        tell(sums[names[1]], *nearest_of(a.descriptors, b.descriptors, 0.85), truth)
        match = own.match(a, b)
        for name, above in zip(names[2:], (0.0, *CONFIDENCES), strict=True):
            sure = match.confidence > above
            tell(sums[name], match.index_a[sure], match.index_b[sure], truth)
    return {"pairs": len(crops)} | {
        name: {"recall": round(float(r / t), 4), "precision": round(float(r / max(n, 1)), 4)}
        for name, (r, n, t) in sums.items()
    }


def tell(sums: np.ndarray, index_a: np.ndarray, index_b: np.ndarray, truth: tuple[np.ndarray, np.ndarray]) -> None:
    """Add right, told and true; matches of keypoints of which nobody knows do not count."""
    decided = (truth[0][index_a] != -2) & (truth[1][index_b] != -2)
    sums += ((truth[0][index_a] == index_b)[decided].sum(), decided.sum(), (truth[0] >= 0).sum())


def speeds(given: argparse.Namespace) -> dict[str, Any]:
    """CPU milliseconds a pair, taking turns: this matcher, nine layers of width 256 (random weights), three layers of width 96."""
    from kornia.feature import LightGlue

    torch.manual_seed(0)
    state = WeightStore(allow_download=False).state_dict(given.weights)
    nine = LightGlue(None, input_dim=128, descriptor_dim=256, n_layers=9, num_heads=4, add_scale_ori=True).state_dict()
    three = LightGlue(None, input_dim=64, descriptor_dim=96, n_layers=3, num_heads=1, add_scale_ori=False).state_dict()
    engines = {"this one": state, "9 x 256, as the official one for SIFT": nine, "3 x 96, as LighterGlue": three}
    built = {name: LightGlueEngine.from_state_dict(weights) for name, weights in engines.items()}
    out: dict[str, Any] = {}
    for n in (512, 1024):
        best: dict[str, float] = {}
        for _ in range(3):
            for name, engine in built.items():
                photos = [_random_photo(engine, n, seed) for seed in (0, 1)]
                engine.match_pair(*photos)
                began = time.process_time()
                engine.match_pair(*photos)
                best[name] = min(best.get(name, np.inf), 1000 * (time.process_time() - began))
        out[str(n)] = {name: round(ms, 1) for name, ms in best.items()}
    return out


def _random_photo(engine: LightGlueEngine, n: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    descriptors = np.abs(rng.normal(size=(n, engine.arch.input_dim))).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    more = (np.full(n, 3.0, np.float32), np.zeros(n, np.float32)) if engine.arch.scale_ori else ()
    return engine.encode(rng.uniform(0, 640, (n, 2)).astype(np.float32), descriptors, (640.0, 640.0), *more)


if __name__ == "__main__":
    main()
