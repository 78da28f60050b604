"""What the flow's own process does with a large catalogue, stage by stage: CPU seconds and memory, without a photo.

    python benchmarks/bench_flow.py                                # 10^3, 10^4 and 10^5 gallery photos, 500 queries
    python benchmarks/bench_flow.py --photos 100000 --queries 500

Crops, votes and results of matching are DRAWN, so nothing is decoded, searched or matched: this measures what is left, which is
the plan, the names of the votes, looking up what was matched, scores, ranks, the calibration and the verdicts. Each size runs
in a process of its own. Memory is the largest resident set until the end of the stage; the row `imports` is what a process has before.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.match.cache import PART_SCHEMA, CropCodes
from resight.match.stage import match
from resight.pairs.cohort import Cohort, pair_grids
from resight.pairs.plan import PairGrid, Plan
from resight.run.conditions import Conditions
from resight.run.judging import judge_novelty, rank_candidates, score_pairs
from resight.run.pairing import with_cosines, with_votes
from resight.run.setups import match_setup
from resight.run.state import Judged, Matched
from resight.runner.runner import Runner
from resight.settings import Settings, settings_from
from resight.shortlist.kept import EVIDENCE_VOTES, Keys, Question
from resight.shortlist.plan import allowed_by_grids, shortlisted
from resight.store.counts import reconcile_left_out
from resight.store.parts import write_part
from resight.store.tables import conform, write_table
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

PHOTOS_PER_ANIMAL, PHOTOS_PER_ENCOUNTER, K, BINS, QUERIES_AT_ONCE = 10, 2, 100, 64, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="photos of the gallery")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measured(args.photos[0], args.queries)))
        return
    rows: dict[int, dict[str, Any]] = {}
    for n in args.photos:
        command = [sys.executable, __file__, "--here", "--photos", str(n), "--queries", str(args.queries)]
        rows[n] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        )
        print(f"{n} photos, {args.queries} queries: {rows[n].pop('counts')}", flush=True)
    print("\nCPU seconds, and MB at the end\n" + text(rows))


def text(rows: dict[int, dict[str, Any]]) -> str:
    """Plain text table, a row for each stage."""
    lines = [" ".join([f"{'stage':28}", *(f"{n:>20}" for n in rows)])]
    for stage in next(iter(rows.values())):
        cells = (f"{of_size[stage][0]:9.2f} s {of_size[stage][1]:6.0f} MB" for of_size in rows.values())
        lines.append(" ".join([f"{stage:28}", *(f"{cell:>20}" for cell in cells)]))
    return "\n".join(lines)


class Clock(dict[str, Any]):
    """CPU seconds since the last mark, and the largest resident set so far."""

    def mark(self, stage: str) -> None:
        now = time.process_time()
        self[stage] = (now - self.__dict__.get("last", 0.0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        self.__dict__["last"] = time.process_time()


def measured(n_gallery: int, n_queries: int) -> dict[str, Any]:
    """All stages of one size."""
    clock, rng = Clock(), np.random.default_rng(0)
    settings = settings_from({"score": {"name": "mean"}, "match": {"kind": "nearest"}, "extract": {"kind": "sift"}})
    clock.mark("imports")
    info, cohort = catalogue(n_gallery, n_queries)
    clock.mark("(drawing the catalogue)")
    grids = pair_grids(info, cohort, settings.pairs, settings.novelty.calibration_encounters)
    opened = [grid.open_sides() for grid in grids]
    clock.mark("who may be compared")
    crop_ids = [c for c, photo in zip(*(info[n].to_pylist() for n in ("crop_id", "photo_id")), strict=True) if photo in cohort.gallery]  # fmt: skip
    asked = sorted({q for grid, (side, _) in zip(grids, opened, strict=True) for q in grid.query_ids.filter(pa.array(side)).to_pylist()})  # fmt: skip
    open_rows, keys, votes = allowed_by_grids(grids, crop_ids), Keys(crop_ids, "drawn", None), []
    for first in range(0, len(asked), QUERIES_AT_ONCE):
        some = asked[first : first + QUERIES_AT_ONCE]
        allowed = open_rows(some)
        keys.of([Question(q, rows, None, q) for q, rows in zip(some, allowed, strict=True)])
        votes += [drawn_votes(rng, q, np.flatnonzero(rows), crop_ids) for q, rows in zip(some, allowed, strict=True)]
    table = pa.concat_tables(votes)
    clock.mark("names of votes (and drawing)")
    plans = shortlisted(grids, table, K)
    plan = Plan.of(plans)
    reconcile_left_out("shortlist", pa.concat_tables([grid.n_pairs() for grid in grids]), plan.pairs, plan.left_out)
    clock.mark("plan")
    with tempfile.TemporaryDirectory() as folder, Runner(settings.dask, quiet=True) as runner:
        env = Environment(Workspace(Path(folder)), WeightStore(allow_download=False), runner)
        draw_matches(rng, env.workspace.stage_dir("match", "drawn"), plan.pairs)
        clock.mark("(drawing matches)")
        result = match(env, match_setup(settings), "drawn", plan.pairs, info)
        pairs = with_cosines(with_votes(result.pairs, table), None)
        clock.mark("look-up of matches")
        if result.n_matched:
            raise SystemExit("what was drawn was not found")
        written = conform("pairs", pairs, "bench")
        write_table(Path(folder), "pairs", written)
        clock.mark("pairs, sorted and written")
        matched = matched_state(info, cohort, grids, plan, table, written)
        judged = verdicts(clock, settings, matched, Path(folder))
    n_left_out = int(np.sum(plan.left_out["n_left_out"].to_numpy()))
    counts = {"rows": plan.pairs.num_rows, "counted": n_left_out, "verdicts": judged.novelty.num_rows}
    return {**clock, "counts": counts}


def matched_state(
    info: pa.Table, cohort: Cohort, grids: tuple[PairGrid, ...], plan: Plan, votes: pa.Table, pairs: pa.Table
) -> Matched:
    """As the stage ``match`` hands it on."""
    empty = pa.table({})
    return Matched(
        photos=info, crops=empty, features=empty, cohort=cohort, info=info, grids=grids, plan=plan.pairs, left_out=plan.left_out,
        votes=votes, shortlisted=True, pairs=pairs,
    )  # fmt: skip


def verdicts(clock: Clock, settings: Settings, matched: Matched, folder: Path) -> Judged:
    """From matched pairs to verdicts."""
    scored = score_pairs(cast(Conditions, SimpleNamespace(settings=settings)), matched)
    write_table(folder, "scores", conform("scores", scored.scores, "bench"))
    clock.mark("scores, sorted and written")
    ranked = rank_candidates(settings, scored)
    clock.mark("ranks")
    judged = judge_novelty(settings, ranked)
    clock.mark("calibration and verdicts")
    return judged


def catalogue(n_gallery: int, n_queries: int) -> tuple[pa.Table, Cohort]:
    """`cohort.crop_info` of a gallery and its queries, one crop for each photo, seen from the left or the right; two encounters of an animal are on two days."""
    numbers = np.arange(n_gallery + n_queries)
    photos = [f"p{i:07d}" for i in numbers]
    encounter = numbers // PHOTOS_PER_ENCOUNTER
    names = [f"a{i // PHOTOS_PER_ANIMAL:06d}" if i < n_gallery else None for i in numbers.tolist()]
    n = len(photos)
    info = pa.table({
        "crop_id": pa.array([f"{i * 2654435761 % 2**64:020x}" for i in numbers.tolist()], pa.string()), "photo_id": photos,
        "encounter_id": [f"e{i:06d}" for i in encounter.tolist()], "taken_at": pa.nulls(n, pa.timestamp("us")),
        "taken_on": pa.array((19_000 + encounter % 1_000).astype(np.int32)).cast(pa.date32()), "individual_id": pa.array(names, pa.string()),
        "viewpoint": [("left", "right")[e % 2] for e in encounter.tolist()], "extra": ["{}"] * n, "feature_status": ["ok"] * n,
        "n_keypoints": pa.array(np.full(n, 512), pa.int64()),
    })  # fmt: skip
    labels = {photo: name for photo, name in zip(photos, names, strict=True) if name}
    return info, Cohort(frozenset(photos[n_gallery:]), frozenset(labels), labels)


def drawn_votes(rng: np.random.Generator, query: str, rows: np.ndarray, crop_ids: list[str]) -> pa.Table:
    """Votes of one query for K crops that it may find."""
    best = rng.choice(rows, min(K, len(rows)), replace=False)
    n = len(best)
    columns = [
        pa.repeat(pa.scalar(query), n), pa.array([crop_ids[row] for row in best.tolist()], pa.string()),
        pa.array(np.sort(rng.random(n))[::-1]), pa.array(np.arange(1, n + 1), pa.int32()), pa.array(rng.random(n)),
    ]  # fmt: skip
    return pa.table(columns, schema=EVIDENCE_VOTES)


def draw_matches(rng: np.random.Generator, folder: Path, plan: pa.Table) -> None:
    """A part of the store of matches with a result for each pair."""
    codes = CropCodes.of(plan["query_crop_id"], plan["gallery_crop_id"])
    pairs = np.unique(codes.pairs(*(codes.encode(plan[f"{side}_crop_id"]) for side in ("query", "gallery"))))
    low, high = codes.unpack(pairs)
    n = len(pairs)
    n_matches = rng.integers(0, 60, n).astype(np.int32)
    histogram = np.zeros((n, BINS), np.int32)
    histogram[np.arange(n), rng.integers(0, BINS // 2, n)] = n_matches
    centre = (histogram * (np.arange(BINS) + 0.5) / BINS).sum(axis=1)
    columns: dict[str, Any] = {
        "crop_id_a": codes.ids.take(pa.array(low)), "crop_id_b": codes.ids.take(pa.array(high)),
        "n_keypoints_a": np.full(n, 512, np.int32), "n_keypoints_b": np.full(n, 512, np.int32), "n_matches": n_matches,
        "n_inliers": rng.integers(0, 12, n).astype(np.int32).clip(max=n_matches),
        "confidence_histogram": pa.ListArray.from_arrays(np.arange(n + 1, dtype=np.int32) * BINS, histogram.ravel()),
        "confidence_sum": centre, "confidence_sum_squares": centre / 4, "confidence_sum_above_half": np.zeros(n),
        "confidence_max": np.where(n_matches > 0, 0.5, 0.0), "n_above_01": n_matches, "n_above_05": np.zeros(n, np.int32),
        "log_likelihood_ratio": centre,
    }  # fmt: skip
    write_part(folder, "drawn", pa.table([pa.array(columns[name]) for name in PART_SCHEMA.names], schema=PART_SCHEMA))


if __name__ == "__main__":
    main()
