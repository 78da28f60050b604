"""The whole way at size: what a night costs in a catalogue of 10^3, 10^4 and 10^5 photos, stage by stage.

    python benchmarks/bench_catalogue.py                        # 1,000 photos: some minutes on two cores
    python benchmarks/bench_catalogue.py --photos 1000 10000 --new 300 --nights 30 --json catalogue.json
    python benchmarks/bench_catalogue.py --photos 10000 --drawn --json catalogue.json      # no picture is rendered, no keypoint found

Photos are DRAWN, small and the same on every machine: every tenth of the gallery's size is an animal with a pattern of its own,
turned and lit a little differently in each photo. The matcher compares nearest neighbours of 128 RootSIFT keypoints, so this
measures ingest, stores, index, plan, tables and pages, and neither accuracy nor LightGlue (for that: bench_engine.py).

The nights, each the real `nightly` in a process of its own: the gallery with the first new photos; as many new photos again; the
same night once more; a night without a new photo; one new photo that gets a name (an added animal); one name in the gallery
that is changed; then nights in a row with a few new photos each. Nobody names these, or with ``--named`` people have named all that there are before each of these nights. Of each stage: wall and CPU seconds of the flow and of its workers, largest
resident memory, bytes written, and the longest time without a line in the log.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
from drawn_catalogue import Catalogue
from drawn_features import draw_instead_of_extracting
from space import space

KEYPOINTS = 128
OVERRIDES: dict[str, Any] = {
    "segment": {"kind": "whole"},
    "extract": {"kind": "sift", "max_keypoints": KEYPOINTS},
    "match": {"kind": "nearest"},
    "score": {"name": "mean"},
    "shortlist": {"descriptors_per_crop": KEYPOINTS},
    "embed": {"enabled": False},  # vectors of drawn patterns say nothing
}
ROW = "in a row"
HEADS = ("photos", "night", "stage", "wall s", "flow CPU s", "workers CPU s", "flow MB", "worker MB", "written MB", "silent s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000], help="photos of the gallery")
    parser.add_argument(
        "--new", type=int, default=0, help="new photos of a night; 0: 300, or a tenth of a small gallery"
    )
    parser.add_argument("--nights", type=int, default=3, help="nights in a row at the end, with a tenth of --new each")
    parser.add_argument("--named", action="store_true", help="people name the photos of each night before the next")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--k", type=int, default=100, help="gallery crops that each query crop is matched with")
    parser.add_argument("--drawn", action="store_true", help="draw features instead of pictures")
    parser.add_argument(
        "--folder", type=Path, help="where catalogues are made and stay; a temporary folder if not given"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one-night", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_night:
        return one_night(args.one_night)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for n in args.photos:
            new = args.new or min(300, max(1, n // 10))
            catalogue = Catalogue((args.folder or Path(temporary)) / str(n), n, args.drawn, args.named)
            for night in nights(catalogue, new, args.nights, overrides(args.workers, args.k)):
                rows += night
                print(text(night), flush=True)
                if args.json:
                    args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    print("\nWhole nights\n" + text([row for row in rows if row["stage"] == "whole night"]))
    for n in args.photos:
        print(in_a_row([row for row in rows if row["photos"] == n and row["night"].startswith(ROW)]))


def overrides(workers: int, k: int) -> dict[str, Any]:
    """Settings of all nights."""
    return OVERRIDES | {"dask": {"workers": workers}, "shortlist": OVERRIDES["shortlist"] | {"k": k}}


def nights(catalogue: Catalogue, new: int, in_a_row: int, settings: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Rows of each night."""

    def night(label: str, date: str) -> list[dict[str, Any]]:
        catalogue.write()
        return measured(catalogue, label, date, settings)

    catalogue.add_new(new, "first")
    yield night(f"gallery and {new} new", "2026-06-01")
    catalogue.add_new(new, "second")
    yield night(f"{new} new", "2026-06-02")
    yield night("the same again", "2026-06-02")
    yield night("nothing new", "2026-06-03")
    catalogue.name_one()
    yield night("added animal", "2026-06-04")
    catalogue.rename_one()
    yield night("changed name", "2026-06-05")
    for k in range(in_a_row):
        if catalogue.named:
            catalogue.name_all()
        catalogue.add_new(max(1, new // 10), f"row{k:02d}")
        yield night(f"{ROW} {k + 1}: {max(1, new // 10)} new", f"2026-07-{k + 1:02d}")


def in_a_row(rows: Sequence[dict[str, Any]]) -> str:
    """By stage, what the second night in a row cost and what the last one; '' for fewer than three."""
    nights = list(dict.fromkeys(row["night"] for row in rows))
    if len(nights) < 3:
        return ""
    cost: list[dict[str, tuple[float, float]]] = [
        {row["stage"]: (row["flow_cpu_s"] + row["workers_cpu_s"], row["written_mb"]) for row in rows if row["night"] == night}
        for night in (nights[1], nights[-1])
    ]  # fmt: skip
    lines = [f"\n{rows[0]['photos']} photos, '{nights[1]}' against '{nights[-1]}': CPU s, MB written"]
    for stage, (cpu, written) in cost[0].items():
        cpu_now, written_now = cost[1].get(stage, (0.0, 0.0))
        change = f"{100 * (cpu_now / cpu - 1):+.0f} %" if cpu > 0 else ""
        lines.append(f"    {stage:12} {cpu:7.2f} -> {cpu_now:7.2f} {change:>7}   {written:7.2f} -> {written_now:7.2f}")
    return "\n".join(lines)


def measured(catalogue: Catalogue, label: str, date: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Run one night in a process of its own; a row for each stage and one for the whole."""
    workspace, note = catalogue.root / "workspace", catalogue.root / "night.json"
    workspace.mkdir(exist_ok=True)
    before = sizes(workspace)
    note.write_text(json.dumps({
        "workspace": str(workspace), "night": date, "photos": str(catalogue.root / "photos"),
        "overrides": settings, "drawn": catalogue.is_drawn,
    }))  # fmt: skip
    start = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--one-night", str(note)], check=True)
    wall = time.perf_counter() - start
    rows: list[dict[str, Any]] = json.loads(note.with_suffix(".out.json").read_text())
    after = sizes(workspace)
    whole = {key: sum(row[key] for row in rows) for key in ("flow_cpu_s", "workers_cpu_s", "written_mb")}
    most = {key: max(row[key] for row in rows) for key in ("flow_mb", "worker_mb", "silent_s")}
    grown = {key: after[key] - before[key] for key in after}
    rows.append({"stage": "whole night", "wall_s": wall} | whole | most | grown)
    return [{"photos": catalogue.n_gallery, "night": label} | row for row in rows]


def sizes(workspace: Path) -> dict[str, float]:
    """Bytes and files under ``store`` and ``runs``, see `space`."""
    out: dict[str, float] = {}
    for part in ("store", "runs"):
        files, size = space(workspace / part)
        out |= {f"{part}_mb": size / 1e6, f"{part}_files": files}
    return out


def one_night(note: Path) -> None:
    """In the child: the night, with a mark at the end of every stage."""
    from resight.flows.nightly import run_nightly
    from resight.run import run as runs

    how, marks = json.loads(note.read_text()), Marks()
    if how["drawn"]:
        draw_instead_of_extracting()
    made = runs.Run.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self.seconds = marks

    runs.Run.__init__ = init  # type: ignore[method-assign]
    logging.getLogger("resight").addHandler(marks.handler)
    logging.getLogger("resight").setLevel(logging.INFO)
    result = run_nightly(how["workspace"], how["night"], how["overrides"], [how["photos"]], accept=True, quiet=True)
    marks["rest"] = 0.0
    rows = marks.rows
    rows[-1] |= {"work": result["work"], "status": result["status"]}
    note.with_suffix(".out.json").write_text(json.dumps(rows))


class Marks(dict[str, float]):
    """Takes the place of a run's seconds by stage, and notes at each entry what was spent since the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []
        self.handler = logging.Handler()
        self.handler.emit = lambda _: self.alive()  # type: ignore[method-assign]
        self._wall = self._sign = time.perf_counter()
        self._silent, self._spent = 0.0, (0.0, 0.0, 0.0)

    def __setitem__(self, stage: str, seconds: float) -> None:
        super().__setitem__(stage, seconds)
        self.alive()
        now, spent = time.perf_counter(), _spent()
        flow, workers, written = (max(0.0, b - a) for a, b in zip(self._spent, spent, strict=True))
        self.rows.append({
            "stage": stage, "wall_s": now - self._wall, "flow_cpu_s": flow, "workers_cpu_s": workers, "written_mb": written,
            "silent_s": self._silent, **_peaks(),
        })  # fmt: skip
        print(
            f"    {stage}: {now - self._wall:.0f} s, CPU {flow:.1f} + {workers:.1f} s, {self.rows[-1]['flow_mb']:.0f} MB",
            flush=True,
        )
        self._wall, self._silent, self._spent = time.perf_counter(), 0.0, _spent()

    def alive(self) -> None:
        """A line in the log, or the end of a stage."""
        now = time.perf_counter()
        self._silent, self._sign = max(self._silent, now - self._sign), now


def _spent() -> tuple[float, float, float]:
    """CPU seconds of this process and of its workers, and megabytes written by both."""
    me = psutil.Process()
    children = _alive(me)
    io = [p.io_counters().write_bytes for p in (me, *children)]
    cpu = [sum(p.cpu_times()[:2]) for p in (me, *children)]
    gone = os.times().children_user + os.times().children_system
    return cpu[0], sum(cpu[1:]) + gone, sum(io) / 1e6


def _peaks() -> dict[str, float]:
    """Largest resident memory since the last call, in MB (Linux; the mark is set back)."""
    me = psutil.Process()
    peaks = [_peak(p.pid) for p in (me, *_alive(me))]
    return {"flow_mb": peaks[0], "worker_mb": max(peaks[1:], default=0.0)}


def _peak(pid: int) -> float:
    try:
        line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except (OSError, StopIteration):
        return 0.0
    return int(line.split()[1]) / 1024


def _alive(me: psutil.Process) -> list[psutil.Process]:
    return [p for p in me.children(recursive=True) if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {"cpus": os.cpu_count(), "load": os.getloadavg(), "memory_gb": round(psutil.virtual_memory().total / 1e9)}


def text(rows: Sequence[dict[str, Any]]) -> str:
    """Plain text table."""
    keys = ("wall_s", "flow_cpu_s", "workers_cpu_s", "flow_mb", "worker_mb", "written_mb", "silent_s")
    cells = [HEADS, *((str(r["photos"]), r["night"], r["stage"], *(f"{r[key]:.1f}" for key in keys)) for r in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(HEADS))]
    lines = [
        "  ".join(c.ljust(w) if 0 < k < 3 else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    return "\n".join(lines + [_growth(row) for row in rows if "store_files" in row])


def _growth(row: dict[str, Any]) -> str:
    return (
        f"    {row['night']}: store {row['store_mb']:+.1f} MB and {row['store_files']:+.0f} files, "
        f"runs {row['runs_mb']:+.1f} MB and {row['runs_files']:+.0f} files"
    )


if __name__ == "__main__":
    main()
