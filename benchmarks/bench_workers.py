"""What a second worker gains.

    python benchmarks/bench_workers.py                # 576 pairs of 1024 keypoints, 3 layers: about four minutes on two cores

Three figures, each one against two, the same pairs:

- ``processes``: the engine alone in processes that know nothing of each other: what the machine gives.
- ``running``: stage ``match`` on workers that run and have their model, as in the middle of a night.
- ``from nothing``: stage ``match`` in a fresh workspace, with the start of the workers, their imports, and the first
  pairs, that only tell the rate.

Features are SYNTHETIC (random unit descriptors) and the weights random: arithmetic does not depend on them.

    python benchmarks/bench_workers.py --late 6       # whether workers that come late get their share: half a minute

counts blocks instead: one worker begins alone, six more processes join while it works, each is checked as it joins, and a block is a
quarter of a second of waiting, so that the number of cores does not matter. It ends with 1 where the late ones together get less
than five sixths of their share.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_scale import crop, match_stage, planned, prepare

from resight.match.lightglue import build_lightglue
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.weights.store import WeightStore

NETWORK: dict[str, int] = {"keypoints": 1024, "layers": 3, "width": 96}
ALONE_S = 8.0
BLOCK_S, LATE_BLOCKS_EACH = 0.25, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=576, help="pairs of each of the two stage runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--late", type=int, default=0, help="only count the blocks of so many workers that join late")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.late:
        figures = late_blocks(args.late)
        print(late_text(figures))
        if args.json:
            args.json.write_text(json.dumps(figures, indent=2))
        fair = figures["joined"] == args.late and sum(figures["late"]) >= 5 / 6 * args.late * figures["first"]
        sys.exit(0 if fair else 1)
    counts = (1, args.workers)
    alone = {n: alone_ms(n) for n in counts}
    stage = {n: stage_ms(n, args.pairs) for n in counts}
    figures = {"processes": alone} | {name: {n: stage[n][name] for n in counts} for name in stage[1]}
    for name, ms in figures.items():
        print(
            f"{name:>13}: {ms[1]:6.2f} ms/pair with one, {ms[args.workers]:6.2f} with {args.workers}: {ms[1] / ms[args.workers]:.2f} times"
        )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2))


def late_blocks(n_late: int) -> dict[str, Any]:
    """Blocks of the worker that began and of each that joined late: all of them, and those since everybody was there."""
    settings = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 40}
    dask = DaskParams(cluster="distributed:LocalCluster", cluster_settings=settings)
    with Runner(dask, quiet=True) as runner:
        ((_, (first, *_)),), _ = runner.run("first", wait_here, [0.0])
        runner._made.scale(1 + n_late)
        done, failures = runner.run("late", wait_here, [BLOCK_S] * (LATE_BLOCKS_EACH * (1 + n_late)))
    if failures:
        raise SystemExit(f"{len(failures)} blocks failed, the first: {failures[0].reason}")
    ended = [result for _, result in done]
    begun = {worker: min(end for other, _, end in ended if other == worker) for worker, _, _ in ended}
    everybody = max(begun.values())
    share = Counter(worker for worker, start, _ in ended if start >= everybody)
    return {
        "first": share[first],
        "late": sorted(share[worker] for worker in begun if worker != first),
        "before_everybody": len(ended) - share.total(),
        "joined": len(begun) - 1,
    }


def wait_here(seconds: float) -> tuple[str, float, float]:
    """Which worker it was, and from when to when."""
    from distributed import get_worker

    start = time.time()
    time.sleep(seconds)
    return get_worker().address, start, time.time()


def late_text(figures: dict[str, Any]) -> str:
    """The counts in two lines."""
    late = figures["late"]
    return (
        f"{figures['joined']} workers joined late; {figures['before_everybody']} blocks were done or under way before all of them worked.\n"
        f"From then on the first worker had {figures['first']} blocks and the late ones {', '.join(map(str, late))}: "
        f"together {sum(late) / max(figures['first'], 1):.1f} times as many."
    )


def stage_ms(workers: int, n_pairs: int) -> dict[str, float]:
    """Wall milliseconds per pair of the stage, on running workers and from nothing."""
    side = max(2, round(n_pairs**0.5))
    with tempfile.TemporaryDirectory() as folder:
        place, settings, features = prepare(Path(folder), 3 * side, workers, **NETWORK)
        plan = planned(features, 2 * side)  # half of the queries come first, the others when all is warm
        spent = []
        with Runner(settings.dask, quiet=True) as runner:
            for part in (plan.slice(0, side * side), plan.slice(side * side)):
                start = time.perf_counter()
                match_stage(place, settings, part, features, runner)
                spent.append(1000 * (time.perf_counter() - start) / part.num_rows)
    return {"running": spent[1], "from nothing": spent[0]}


def alone_ms(processes: int) -> float:
    """Wall milliseconds per pair of ``processes`` engines at once, nothing else around them."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        _, settings, _ = prepare(Path(folder), 2, 1, **NETWORK)
        line, rates = spawn.Barrier(processes), spawn.SimpleQueue()
        running = [spawn.Process(target=_alone, args=(settings.match, line, rates)) for _ in range(processes)]
        for process in running:
            process.start()
        total = sum(rates.get() for _ in running)
        for process in running:
            process.join()
    return 1000 / total


def _alone(params: Any, line: Any, rates: Any) -> None:
    torch.set_num_threads(1)
    matcher: Any = build_lightglue(params, WeightStore(allow_download=False), "xfeat", "cpu")
    rng = np.random.default_rng(0)
    crops = [(str(i), crop(rng, NETWORK["keypoints"])) for i in range(8)]
    a, b = np.arange(0, 8, 2), np.arange(1, 8, 2)
    matcher.match_tile(crops, a, b, 20)
    line.wait()
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < ALONE_S:
        matcher.match_tile(crops, a, b, 20)
        done += len(a)
    rates.put(done / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
