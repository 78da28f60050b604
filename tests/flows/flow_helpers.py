"""What the flow tests share."""

import pyarrow as pa

from resight.store.runs import read_current
from resight.store.workspace import Workspace

SMALL = {"extract": {"max_keypoints": 300}, "crop": {"head_side_px": 320}, "dask": {"mode": "inline"}}
FIRST_NIGHT = "2026-06-04"
TABLES = ("photos", "crops", "features", "pairs", "scores", "identifications", "novelty", "provisional")
BY_PLACE = {"features": ("store", "store_row"), "provisional": ("event_run_id",)}


def comparable_tables(workspace: Workspace) -> dict[str, pa.Table]:
    """The current tables without what says where something lies or which run wrote it."""
    found = {}
    for name in TABLES:
        table = read_current(workspace, name)
        assert table is not None
        found[name] = table.drop_columns(["run_id", *BY_PLACE.get(name, ())])
    return found


def difference(one: pa.Table, two: pa.Table) -> str:
    """The columns in which two tables differ, each with the first row where it does."""
    if one.column_names != two.column_names or one.num_rows != two.num_rows:
        return f"{one.num_rows} rows of {one.column_names}, {two.num_rows} rows of {two.column_names}"
    lines = []
    for name in one.column_names:
        rows = zip(one[name].to_pylist(), two[name].to_pylist(), strict=True)
        unlike = [(row, a, b) for row, (a, b) in enumerate(rows) if a != b]
        lines += [f"{name}: {len(unlike)} rows, e.g. {unlike[0]}"] if unlike else []
    return "; ".join(lines)
