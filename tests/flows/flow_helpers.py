"""What the flow tests share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.store.runs import read_current
from resight.store.workspace import Workspace

SMALL = {"extract": {"max_keypoints": 300}, "crop": {"head_side_px": 320}, "dask": {"mode": "inline"}}
FIRST_NIGHT = "2026-06-04"
HERE = "http://127.0.0.1:8765"
HOSTS = {"127.0.0.1:8765", "localhost:8765"}
MakeOnce = Callable[[str, Callable[[Path], None]], Path]
TABLES = (
    "photos",
    "crops",
    "features",
    "pairs",
    "scores",
    "identifications",
    "novelty",
    "provisional",
    "identity_draws",
)
BY_PLACE = {"features": ("store", "store_row"), "provisional": ("event_run_id",)}


def comparable_tables(workspace: Workspace) -> dict[str, pa.Table]:
    """The current tables without what says where something lies or which run wrote it."""
    found = {}
    for name in TABLES:
        table = read_current(workspace, name)
        assert table is not None
        found[name] = table.drop_columns(["run_id", *BY_PLACE.get(name, ())])
    return found


def alike(one: pa.Table, two: pa.Table) -> bool:
    """Whether two tables are equal but for the last digits of single precision.

    A process that has done other things before (a test run, above all) may lay numbers out otherwise in memory, and add them up
    in another order. What a confidence has above a threshold is small where the confidence is not, so that its digits are those of the confidence.
    """
    if one.schema != two.schema or one.num_rows != two.num_rows:
        return False
    for name in one.column_names:
        a, b = one[name], two[name]
        if a.equals(b):
            continue
        if not pa.types.is_floating(a.type) or a.is_null().to_pylist() != b.is_null().to_pylist():
            return False
        x, y = a.drop_null().to_numpy(), b.drop_null().to_numpy()
        if not np.allclose(x, y, rtol=1e-4, atol=3e-5, equal_nan=True):
            worst = int(np.nanargmax(np.abs(x - y) - 1e-4 * np.abs(y)))
            print(f"{name}: {x[worst]!r} and {y[worst]!r} in row {worst} of those that have a value")
            return False
    return True
