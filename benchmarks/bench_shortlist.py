"""How good and how fast the shortlist is: on real turtles, and on synthetic galleries of up to 10^5 photos.

    python benchmarks/bench_shortlist.py --real ../shared/data/zakynthos --cache /tmp/sift.npz
    python benchmarks/bench_shortlist.py --synthetic 1000 10000 100000

Real: RootSIFT of whole photos at 1,024 px, the 512 strongest. A query is a dated photo whose turtle has a dated photo in another
encounter (individual and day); it may find every dated photo but those of its own encounter. "Recall at r" is the share of
queries for which at least one of the r *gallery photos* with the most votes shows the right turtle. "By individual" ranks the
turtles by their best photo.

Synthetic: descriptors around random centres, and in each query ten that repeat those of one gallery photo with noise. It says
how time and size grow; its recall only tells that lists and codes lose nothing that is easy, and nothing about animals.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import InMemory
from resight.shortlist.store import ShortlistIndex, build_index
from resight.shortlist.votes import search

SIDE_PX = 1024
RANKS = (1, 5, 10, 15, 20, 50, 100)
DIM, CENTRES, PLANTED, QUERY_DESCRIPTORS = 128, 4096, 10, 512
SPREAD, REPEAT_NOISE = 0.045, 0.03


def main() -> None:
    """Run what was asked for and print one JSON line per measurement."""
    args = _arguments()
    params = ShortlistParams(backend=args.backend, pq_bytes=args.pq_bytes, n_probe=args.n_probe, n_lists=args.n_lists)
    if args.real:
        print(json.dumps(real(args.real, args.cache, params, args.every)), flush=True)
    for n in args.synthetic:
        print(json.dumps(synthetic(n, args.descriptors, params)), flush=True)


def real(root: Path, cache: Path | None, params: ShortlistParams, every: int = 1) -> dict[str, object]:
    """Recall on labelled photos; ``every`` takes each n-th query only."""
    rows = [r for r in csv.DictReader((root / "metadata.csv").open(encoding="utf-8")) if r["encounter_id"]]
    descriptors_of, extract_s = descriptors(root, [r["file"] for r in rows], cache)
    turtle = {r["file"]: r["individual_id"] for r in rows}
    encounter = {r["file"]: r["encounter_id"] for r in rows}
    queries = [f for f in turtle if any(turtle[g] == turtle[f] and encounter[g] != encounter[f] for g in turtle)][
        ::every
    ]
    with tempfile.TemporaryDirectory() as folder:
        index, build_s = _timed_build(Path(folder), list(turtle), descriptors_of, params)
        of_row = np.array([encounter[c] for c in index.crop_ids], dtype=object)
        start = time.process_time(), time.perf_counter()
        votes = search(
            index,
            [(f, descriptors_of[f]) for f in queries],
            params,
            allowed=lambda f: of_row != encounter[f],
        )
        spent = _spent(start, len(queries))
    photo = first_hits(votes, "gallery_crop_id", turtle, queries)
    return _described("real", index, params, build_s, spent) | {
        "queries": len(queries),
        "gallery_photos": len(turtle),
        "individuals": len(set(turtle.values())),
        "extract_s_per_photo": extract_s,
        "recall_photos": _recall(photo),
    }


def descriptors(root: Path, files: Sequence[str], cache: Path | None) -> tuple[dict[str, np.ndarray], float | None]:
    """RootSIFT of each photo, strongest first, and the seconds per photo where they were not in the cache."""
    if cache and cache.exists():
        with np.load(cache, allow_pickle=False) as stored:
            return dict(
                zip(stored["names"].tolist(), np.split(stored["d"], stored["n"].cumsum()[:-1]), strict=True)
            ), None
    import cv2

    from resight.extract.kinds.sift import SiftExtractor, SiftParams

    cv2.setNumThreads(1)
    sift, out = SiftExtractor(SiftParams(max_keypoints=512)), {}
    start = time.process_time()
    for file in files:
        bgr = cv2.imread(str(root / file))
        scale = SIDE_PX / max(bgr.shape[:2])
        small = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        out[file] = sift.extract(np.ascontiguousarray(small[:, :, ::-1]), None).descriptors
    seconds = (time.process_time() - start) / len(files)
    if cache:
        np.savez(
            cache,
            names=np.array(files),
            n=np.array([len(x) for x in out.values()]),
            d=np.concatenate(list(out.values())),
        )
    return out, round(seconds, 3)


def synthetic(n_crops: int, per_crop: int, params: ShortlistParams, n_queries: int = 50) -> dict[str, object]:
    """Time, size and recall of planted repeats."""
    params = params.model_copy(update={"descriptors_per_crop": max(per_crop, QUERY_DESCRIPTORS)})
    if not params.n_lists:
        from resight.shortlist.training import auto_lists

        params = params.model_copy(update={"n_lists": min(2048, auto_lists(n_crops * per_crop))})
    rng = np.random.default_rng(7)
    centres = np.abs(rng.normal(size=(CENTRES, DIM))).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)

    def draw(seed: int, n: int) -> np.ndarray:
        own = np.random.default_rng(seed)
        x = centres[own.integers(CENTRES, size=n)] + own.normal(scale=SPREAD, size=(n, DIM)).astype(np.float32)
        return _unit(x)

    class Gallery(dict[str, np.ndarray]):
        def __missing__(self, crop_id: str) -> np.ndarray:
            return draw(int(crop_id), per_crop)

    gallery = Gallery()
    ids = [f"{i:07d}" for i in range(n_crops)]
    targets = [ids[i] for i in rng.choice(n_crops, n_queries, replace=False)]
    queries = []
    for at, target in enumerate(targets):
        x = draw(n_crops + at, QUERY_DESCRIPTORS)
        repeated = gallery[target][:PLANTED]
        x[: len(repeated)] = _unit(repeated + rng.normal(scale=REPEAT_NOISE, size=repeated.shape).astype(np.float32))
        queries.append((f"q{at:03d}", x))
    with tempfile.TemporaryDirectory() as folder:
        index, build_s = _timed_build(Path(folder), ids, gallery, params)
        start = time.process_time(), time.perf_counter()
        votes = search(index, queries, params)
        spent = _spent(start, n_queries)
    truth = {query: target for (query, _), target in zip(queries, targets, strict=True)}
    hits = first_hits(votes, "gallery_crop_id", {name: name for name in ids}, list(truth), truth)
    return _described("synthetic", index, params, build_s, spent) | {
        "queries": n_queries,
        "gallery_photos": n_crops,
        "descriptors_per_photo": per_crop,
        "descriptors_per_query": QUERY_DESCRIPTORS,
        "repeated_descriptors": PLANTED,
        "recall_photos": _recall(hits),
    }


def first_hits(
    votes: pa.Table, column: str, owner: dict[str, str], queries: Sequence[str], truth: dict[str, str] | None = None
) -> np.ndarray:
    """Rank of the first right candidate of each query; infinite where it has no vote."""
    first = dict.fromkeys(queries, np.inf)
    wanted = truth or owner
    for row in votes.select(["query_crop_id", column, "rank"]).to_pylist():
        if owner[row[column]] == wanted[row["query_crop_id"]]:
            first[row["query_crop_id"]] = min(first[row["query_crop_id"]], row["rank"])
    return np.array(list(first.values()))


def _timed_build(
    folder: Path, ids: list[str], descriptors_of: dict[str, np.ndarray], params: ShortlistParams
) -> tuple[ShortlistIndex, float]:
    start = time.process_time()
    index = build_index(folder, ids, InMemory(descriptors_of.__getitem__), params, "bench")
    return index, round(time.process_time() - start, 1)


def _described(
    what: str, index: ShortlistIndex, params: ShortlistParams, build_s: float, spent: dict[str, float]
) -> dict[str, object]:
    entries = index.entries
    n_lists = len(entries.codebook.centres) if entries else 0
    tensors = [t for part in entries.parts for t in (part.starts, part.stored, part.crops)] if entries else []
    return {
        "data": what,
        "backend": params.backend,
        "pq_bytes": params.pq_bytes,
        "lists": n_lists,
        "n_probe": params.n_probe,
        "descriptors": sum(map(len, entries.parts)) if entries else 0,
        "build_cpu_s": build_s,
        "index_mb": round(sum(tensor.nbytes for tensor in tensors) / 1e6, 1),
    } | spent


def _spent(start: tuple[float, float], n: int) -> dict[str, float]:
    cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
    return {"query_cpu_s": round(cpu / n, 4), "query_wall_s": round(wall / n, 4)}


def _recall(first: np.ndarray) -> dict[str, float]:
    return {str(r): round(float((first <= r).mean()), 3) for r in RANKS}


def _unit(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help="folder with metadata.csv and labelled photos")
    parser.add_argument("--cache", type=Path, help="file for the descriptors of --real (.npz)")
    parser.add_argument("--every", type=int, default=1, help="each n-th query of --real only")
    parser.add_argument("--synthetic", type=int, nargs="*", default=[], help="gallery sizes in photos")
    parser.add_argument("--descriptors", type=int, default=32, help="descriptors per synthetic photo")
    parser.add_argument("--backend", choices=["torch", "faiss"], default="torch")
    parser.add_argument("--pq-bytes", type=int, default=32)
    parser.add_argument("--n-probe", type=int, default=16)
    parser.add_argument("--n-lists", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
