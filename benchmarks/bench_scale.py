"""What the pipeline adds to the engine, from a thousand to a million pairs, and a large gallery in one request.

    python benchmarks/bench_scale.py                       # 10^3 to 10^5 pairs, a gallery of 12,000 photos
    python benchmarks/bench_scale.py --pairs 1000 1000000 --workers 1  # the long one: about half an hour

Features are SYNTHETIC (random unit descriptors, no two photos alike) and the matcher is a small LightGlue with random
weights: this measures bookkeeping, not matching. Per pair it does far less arithmetic than a real model, so the share of
the bookkeeping is shown as it would be with a real model too (--model-ms, the time per pair of bench_engine's model).
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import torch
from kornia.feature import LightGlue
from safetensors.torch import save_file

from resight.environment import Environment
from resight.extract.base import Features
from resight.extract.reader import FeatureReader
from resight.extract.store import Layout, complete, create, write_shard
from resight.match.blocks import MatcherSpec, load_matcher
from resight.match.lightglue import build_lightglue
from resight.match.stage import MatchResult, match
from resight.match.work import matcher_spec
from resight.pairs.plan import PairGrid
from resight.run.names import stage_names
from resight.run.setups import match_setup
from resight.runner.runner import Runner
from resight.settings import Settings, settings_from
from resight.store.tables import status_counts
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

DIM, KEYPOINTS = 64, 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--gallery", type=int, default=12_000, help="photos of the large gallery; 0 leaves it out")
    parser.add_argument(
        "--model-ms", type=float, default=68.0, help="time per pair of a real model, for the last column"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for n in args.pairs:
        for workers in args.workers:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(scale(n, workers, args.model_ms, Path(folder)))
            print(text(rows[-1:]), flush=True)
    print(text(rows))
    for workers in args.workers:
        ms = [r["worker_cpu_ms"] for r in rows if r["workers"] == workers]
        print(
            f"{workers} worker(s), CPU per pair: {min(ms):.2f} to {max(ms):.2f} ms, {100 * (max(ms) / min(ms) - 1):.0f} % apart"
        )
    result: dict[str, Any] = {"scale": rows}
    if args.gallery:
        result["gallery"] = large_gallery(args.gallery)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))


def scale(n_pairs: int, workers: int, model_ms: float, root: Path) -> dict[str, Any]:
    """Match about ``n_pairs`` pairs through the stage, and the same pairs in the engine alone."""
    side = max(2, round(n_pairs**0.5))
    place, settings, features = prepare(root, 2 * side, workers)
    plan = planned(features, side)
    alone = engine_alone(place, settings, features, plan, min(2_000, plan.num_rows))
    base_mb = flow_peak_mb()
    with Runner(settings.dask, quiet=True) as runner:
        warm(place, runner, settings, workers)
        start, busy = time.perf_counter(), cpu_s()
        result = match_stage(place, settings, plan, features, runner)
        spent, cpu = time.perf_counter() - start, [after - before for after, before in zip(cpu_s(), busy, strict=True)]
        worker_mb = workers_peak_mb()
    match_mb = flow_peak_mb() - base_mb
    start = time.perf_counter()
    with Runner(settings.dask, quiet=True) as runner:
        again = match_stage(place, settings, plan, features, runner)
        if runner.started:
            raise SystemExit("a run with nothing to do started workers")
    look_up = time.perf_counter() - start
    if status_counts(result.pairs) != {"scored": plan.num_rows} or again.n_matched:
        raise SystemExit(f"lost pairs: {status_counts(result.pairs)}, matched again: {again.n_matched}")
    ms = [1000 * s / plan.num_rows for s in cpu]
    overhead = max(0.0, sum(ms) - alone)
    return {
        "pairs": plan.num_rows, "workers": workers, "engine_ms": alone, "worker_cpu_ms": ms[1], "flow_cpu_ms": ms[0], "wall_s": spent,
        "overhead_share_of_real_model": overhead / (overhead + model_ms), "no_op_s": look_up,
        "worker_peak_mb": worker_mb, "flow_more_mb": match_mb,
    }  # fmt: skip


def match_stage(
    place: Workspace, settings: Settings, plan: pa.Table, features: pa.Table, runner: Runner
) -> MatchResult:
    """Stage ``match``."""
    env = Environment(place, WeightStore(allow_download=False), runner, settings.device)
    return match(env, match_setup(settings), stage_names(settings, env.weights).match, plan, features)


def warm(place: Workspace, runner: Runner, settings: Settings, workers: int) -> None:
    """Starting workers and loading the model is paid once a night, not per pair."""
    spec = matcher_spec(Environment(place, WeightStore(allow_download=False), runner), match_setup(settings))
    runner.run("warm", load_and_wait, [spec] * 2 * workers)


def load_and_wait(spec: MatcherSpec) -> None:
    """Load the matcher, and leave the other workers time to take theirs."""
    load_matcher(spec)
    time.sleep(0.5)


def large_gallery(n: int) -> dict[str, Any]:
    """One query against ``n`` gallery photos: a status for every pair, a score for every one that was compared."""
    with tempfile.TemporaryDirectory() as folder:
        place, settings, features = prepare(Path(folder), n + 1, 2)
        plan = planned(features, 1)
        start = time.perf_counter()
        with Runner(settings.dask, quiet=True) as runner:
            result = match_stage(place, settings, plan, features, runner)
        spent = time.perf_counter() - start
    statuses = status_counts(result.pairs)
    scored = result.pairs.filter(pa.compute.equal(result.pairs["status"], "scored"))
    without = scored["confidence_sum"].null_count + int(np.sum(scored["confidence_sum"].to_numpy() == 0))
    print(f"\nOne query, {n} gallery photos: {statuses}, {without} scored pairs without any confidence, {spent:.1f} s")
    if sum(statuses.values()) != n:
        raise SystemExit("a pair has no status")
    return {"photos": n, "statuses": statuses, "scored_without_confidence": without, "seconds": spent}


def prepare(
    root: Path, n_crops: int, workers: int, keypoints: int = KEYPOINTS, layers: int = 1, width: int = 32
) -> tuple[Workspace, Settings, pa.Table]:
    """A workspace with one store of synthetic features and a small random checkpoint."""
    torch.manual_seed(0)
    model = LightGlue(
        None,
        input_dim=DIM,
        descriptor_dim=width,
        n_layers=layers,
        num_heads=1,
        depth_confidence=-1,
        width_confidence=-1,
    )
    save_file(model.state_dict(), root / "xfeat_bench.safetensors")
    settings = settings_from({
        "extract": {"kind": "xfeat", "max_keypoints": keypoints, "weights": str(root / "xfeat_bench.safetensors")},
        "match": {"kind": "lightglue", "weights": str(root / "xfeat_bench.safetensors")},
        "dask": {"workers": workers}, "shortlist": {"enabled": "off"},
    })  # fmt: skip
    place = Workspace(root)
    name = stage_names(settings, WeightStore(allow_download=False)).extract
    folder = place.stage_dir("extract", name) / "synthetic.zarr"
    ids = [f"{i:020d}" for i in range(n_crops)]
    layout = Layout(n_crops, 64, keypoints, DIM, "float16")
    create(folder, layout, ids, {})
    rng = np.random.default_rng(0)
    for start, stop in layout.shards():
        write_shard(folder, start, [crop(rng, keypoints) for _ in range(start, stop)])
    complete(folder, {})
    columns = {
        "crop_id": ids,
        "store": [place.relative(folder)] * n_crops,
        "store_row": pa.array(range(n_crops), pa.int32()),
    }
    return place, settings, pa.table(columns)


def crop(rng: np.random.Generator, most: int) -> Features:
    n = int(rng.integers(most // 2, most + 1)) if most == KEYPOINTS else most
    d = rng.normal(size=(n, DIM))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    xy = rng.uniform(0, 300, (n, 2)).astype(np.float32)
    zeros = np.zeros(n, np.float32)
    return Features(xy, d.astype(np.float16), zeros, zeros, zeros, (471, 313))


def planned(features: pa.Table, n_queries: int) -> pa.Table:
    """The first ``n_queries`` crops against all others."""
    ids = features["crop_id"].to_pylist()
    info = pa.table({
        "crop_id": ids, "photo_id": [f"p{i}" for i in ids], "encounter_id": [f"e{i}" for i in ids],
        "viewpoint": ["unknown"] * len(ids), "feature_status": ["ok"] * len(ids),
    })  # fmt: skip
    policy = settings_from({}).pairs
    queries, gallery = info.slice(0, n_queries), info.slice(n_queries)
    grid = PairGrid.between(queries, gallery, policy=policy, purpose="identify", forbid_same_encounter=False)
    return grid.plan().pairs


def engine_alone(place: Workspace, settings: Settings, features: pa.Table, plan: pa.Table, n: int) -> float:
    """Milliseconds per pair in this process, features in memory, nothing written."""
    matcher: Any = build_lightglue(settings.match, WeightStore(allow_download=False), "xfeat", "cpu")
    reader = FeatureReader(place, shards_held=10_000)
    where = dict(zip(features["crop_id"].to_pylist(), features["store_row"].to_pylist(), strict=True))
    store = features["store"][0].as_py()
    step = max(1, plan.num_rows // n)
    pairs = list(
        zip(plan["query_crop_id"].to_pylist()[::step], plan["gallery_crop_id"].to_pylist()[::step], strict=True)
    )[:n]
    used = sorted({c for pair in pairs for c in pair})
    crops = [(c, reader.load(store, where[c])) for c in used]
    place_of = {c: i for i, c in enumerate(used)}
    index = np.array([[place_of[a], place_of[b]] for a, b in pairs])
    matcher.match_tile(crops[:2], np.array([0]), np.array([1]), settings.score.bins)
    start = time.perf_counter()
    matcher.match_tile(crops, index[:, 0], index[:, 1], settings.score.bins)
    return 1000 * (time.perf_counter() - start) / len(pairs)


def flow_peak_mb() -> float:
    """Largest resident memory so far of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def workers_peak_mb() -> float:
    """Largest resident memory that a running worker has had."""
    fields = [Path(f"/proc/{p.pid}/status").read_text() for p in psutil.Process().children(recursive=True)]
    return max(int(line.split()[1]) for text in fields for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def cpu_s() -> tuple[float, float]:
    """CPU seconds of this process and of its workers."""
    me = psutil.Process()
    every = [sum(p.cpu_times()[:2]) for p in (me, *me.children(recursive=True))]
    return every[0], sum(every[1:])


def text(rows: list[dict[str, Any]]) -> str:
    """Plain text table."""
    heads = (
        "pairs",
        "workers",
        "engine ms",
        "workers' CPU ms",
        "flow's CPU ms",
        "wall s",
        "overhead, real model",
        "no-op s",
        "worker MB",
        "flow + MB",
    )
    lines = ["  ".join(heads)]
    for r in rows:
        cells = (
            f"{r['pairs']}", f"{r['workers']}", f"{r['engine_ms']:.2f}", f"{r['worker_cpu_ms']:.2f}", f"{r['flow_cpu_ms']:.3f}", f"{r['wall_s']:.1f}",
            f"{100 * r['overhead_share_of_real_model']:.2f}%", f"{r['no_op_s']:.2f}", f"{r['worker_peak_mb']:.0f}", f"{r['flow_more_mb']:.0f}",
        )  # fmt: skip
        lines.append("  ".join(cell.rjust(len(head)) for cell, head in zip(cells, heads, strict=True)))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
