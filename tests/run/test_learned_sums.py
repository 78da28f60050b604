"""Sums of an earlier gallery are referred to where few have changed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resight.run.learned_sums import PARTS, read_parts, write_parts
from resight.run.usage import _calibrating
from resight.store.sealed import write_json
from resight.store.workspace import Workspace


def sums(crops: range, animals: range, **changed: float) -> pa.Table:
    """Of every crop with every animal, sorted; ``changed`` are sums by crop and animal."""
    rows = [(f"c{c:02d}", f"a{a}") for c in crops for a in animals]
    first = [changed.get(crop + animal, (31 * int(crop[1:]) + int(animal[1:])) % 7 / 3) for crop, animal in rows]
    ids = [pa.array(one) for one in zip(*rows, strict=True)]
    return pa.table([*ids, np.full(len(rows), 2.0), pa.array(first), np.ones(len(rows))], schema=PARTS)


WHOLE = sums(range(20), range(5))


@pytest.mark.parametrize(
    ("now", "n_written"),
    [
        (WHOLE, 0),
        (sums(range(20), range(5), c03a1=0.1, c19a4=np.nextafter(0.5, 1)), 2),
        (sums(range(21), range(5)), 5),
        (sums(range(1, 20), range(5)), 5),
        (sums(range(20), range(4)), 20),
        (sums(range(10, 30), range(5)), 100),
    ],
    ids=["the same", "two others", "a crop more", "a crop fewer", "an animal fewer", "half of them"],
)
def test_sums_are_read_as_if_all_had_been_written(tmp_path: Path, now: pa.Table, n_written: int) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    assert not write_parts(first, {"log_sum": WHOLE}, {})
    referred = write_parts(second, {"log_sum": now}, {"log_sum": read_parts(first, "log_sum", None)})
    assert referred == (n_written < 25) and len([*second.iterdir()]) == 1
    (file,) = second.iterdir()
    assert pq.read_metadata(file).num_rows == n_written
    assert read_parts(second, "log_sum", first if referred else None).equals(now)


def test_what_is_referred_to_is_in_use(workspace: Workspace) -> None:
    folder = workspace.store / "calibration" / "pairs" / "learned"
    folder.mkdir(parents=True)
    record = {"fingerprints": {"calibration": "pairs/learned"}}
    assert _calibrating(workspace, record) == [("calibration", "pairs")]
    write_json(folder / "learned.json", {"upon": "earlier pairs/learned then"})
    assert _calibrating(workspace, record) == [("calibration", "pairs"), ("calibration", "earlier pairs")]
