"""Does the program still give what it gave before? Real folders and the demo, compared column by column with kept tables.

    python benchmarks/golden.py [CASE ...] [--data ../shared/data] [--out build/golden] [--write]

Run it before and after a change that should change no result. Kept are ``outcomes``, ``identifications`` and ``novelty`` of
each case in ``benchmarks/golden/<case>/``, without run ids; ``--write`` replaces them, for a change that is meant to change results.
Exit code 1 where a table differs. All cases take about sixteen minutes on two cores; the last digits belong to one kind of processor.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from resight.flows.demo import run_demo
from resight.flows.evaluation import run_evaluate
from resight.settings.init import init_workspace
from resight.weights.store import WeightStore

KEPT = Path(__file__).resolve().parent / "golden"
TABLES = ("outcomes", "identifications", "novelty")
AUTOMATIC = {"segment": {"kind": "head-finder"}}
QUICK = {"segment": {"kind": "head-finder", "quick": True}}
CASES = {  # folder below --data, and settings above those that `resight init` chooses
    "bonaire-hand": ("bonaire", {}),
    "bonaire-auto": ("bonaire", AUTOMATIC),
    "bonaire-quick": ("bonaire", QUICK),
    "demo": (None, {}),
    "zakynthos-hand": ("zakynthos", {}),
    "zakynthos-auto": ("zakynthos", AUTOMATIC),
    "zakynthos-quick": ("zakynthos", QUICK),
}


def run_case(case: str, data: Path, workspace: Path) -> dict[str, pa.Table]:
    """Run a case in an empty workspace, with no weights but the bundled ones; its tables without run ids."""
    shutil.rmtree(workspace, ignore_errors=True)
    folder, overrides = CASES[case]
    if folder is None:
        result = run_demo(workspace, quiet=True)
    else:
        init_workspace(workspace, WeightStore(allow_download=False))
        result = run_evaluate(data / folder, workspace, overrides, quiet=True)
    run = Path(result["folder"])
    return {t: _without_run_id(pq.read_table(run / f"{t}.parquet")) for t in TABLES if (run / f"{t}.parquet").exists()}


def kept_tables(case: str) -> dict[str, pa.Table]:
    """The tables of a case as they were kept."""
    return {t: pq.read_table(KEPT / case / f"{t}.parquet") for t in TABLES if (KEPT / case / f"{t}.parquet").exists()}


def differences(kept: pa.Table, now: pa.Table) -> list[str]:
    """One line for each column that differs, with the first row where it does."""
    if kept.column_names != now.column_names or kept.num_rows != now.num_rows:
        return [f"{kept.num_rows} rows of {kept.column_names} became {now.num_rows} rows of {now.column_names}"]
    lines = []
    for name in kept.column_names:
        before, after = kept[name].to_pylist(), now[name].to_pylist()
        rows = [i for i, (x, y) in enumerate(zip(before, after, strict=True)) if x != y and not (x != x and y != y)]
        if rows:
            lines.append(f"{name}: {len(rows)} rows, e.g. row {rows[0]}: {before[rows[0]]!r} became {after[rows[0]]!r}")
    return lines


def _without_run_id(table: pa.Table) -> pa.Table:
    return table.drop_columns(["run_id"]).replace_schema_metadata()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all if none is given")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/golden"))
    parser.add_argument("--write", action="store_true", help="keep what comes out now")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    os.environ |= {"RESIGHT_WEIGHTS": "", "XDG_CACHE_HOME": str(arguments.out / "no cache")}
    differs = False
    for case in arguments.cases or CASES:
        now = run_case(case, arguments.data.resolve(), (arguments.out / case).resolve())
        if arguments.write:
            (KEPT / case).mkdir(parents=True, exist_ok=True)
            for name, table in now.items():
                pq.write_table(table, KEPT / case / f"{name}.parquet", compression="zstd")
            print(f"{case}: kept {', '.join(now)}", flush=True)
            continue
        kept = kept_tables(case)
        lines = [
            f"{n}: {line}" for n in kept for line in (differences(kept[n], now[n]) if n in now else ["is missing"])
        ]
        print(
            f"{case}: {'; '.join(f'{n} {t.num_rows} rows' for n, t in kept.items())}: {'DIFFERS' if lines else 'identical'}"
        )
        print("".join(f"    {line}\n" for line in lines), end="", flush=True)
        differs |= bool(lines)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
