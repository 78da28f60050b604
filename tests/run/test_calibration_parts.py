"""A set of calibration pairs refers to the rows of the one before, and reads as if it had been written at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from resight.catalog import table as catalog_table
from resight.errors import BrokenCountError, DamagedError
from resight.pairs.plan import PLAN
from resight.run.calibration import Calibrating
from resight.run.calibration_extended import VIEWS_SCHEMA, Planned
from resight.run.calibration_parts import parts_of, rows_of
from resight.score.distribution import VOTES
from resight.store import sealed
from resight.store.damage import fresh_records, watch
from resight.store.workspace import Workspace

BINS = 4
MADE_BY = ("matcher", "vectors")
LEFT_OUT = catalog_table("pairs_left_out").schema.empty_table().drop_columns("run_id")


def plan_of(
    crops: Iterable[int],
    without: frozenset[tuple[int, int]] = frozenset(),
    votes: dict[tuple[int, int], float] | None = None,
    sides: dict[int, str] | None = None,
) -> Planned:
    """Every two of these crops but some, with votes of some, and the side that each shows."""
    numbers = sorted(crops)
    pairs = [(q, g) for q in numbers for g in numbers if q != g and (q, g) not in without]
    rows = [
        {
            "query_crop_id": f"crop{q:03d}", "gallery_crop_id": f"crop{g:03d}", "query_photo_id": f"photo{q}",
            "gallery_photo_id": f"photo{g}", "purpose": "calibrate", "status": "planned", "reason": "",
        }
        for q, g in pairs
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=PLAN)
    for name in VOTES:
        table = table.append_column(name, pa.array([(votes or {}).get(pair) for pair in pairs], pa.float64()))
    views = {f"crop{n:03d}": (sides or {}).get(n, "left") for n in numbers}
    return Planned(table, pa.table([[*views], [*views.values()]], schema=VIEWS_SCHEMA), MADE_BY)


def matched(plan: pa.Table) -> pa.Table:
    """What a matcher would say, from the ids alone."""
    rows = []
    for row in plan.to_pylist():
        value = (hash_of(row["query_crop_id"]) * hash_of(row["gallery_crop_id"])) % 97
        counts = [value % 3, 1, value % 2, 0]
        rows.append(row | {
            "n_keypoints_query": 20, "n_keypoints_gallery": 30, "n_matches": sum(counts), "n_inliers": value % 5,
            "confidence_histogram": counts, "confidence_sum": value / 10, "confidence_sum_squares": value / 100,
            "confidence_sum_above_half": 0.0, "confidence_max": 0.7, "n_above_01": 1, "n_above_05": 1,
            "log_likelihood_ratio": value / 7, "match_fingerprint": "matcher", "status": "scored", "cosine": 0.5,
        })  # fmt: skip
    schema = pa.schema([f.with_nullable(True) for f in catalog_table("pairs").schema if f.name != "run_id"])
    return pa.Table.from_pylist(rows, schema=schema)


def hash_of(text: str) -> int:
    return int(text[4:]) * 31 + 7


def kept(place: Workspace, name: str, planned: Planned, before: Calibrating | None = None) -> Calibrating:
    """A set of these pairs, upon an earlier one."""
    coming = Calibrating(place, name, planned=planned).upon(before)
    assert coming.there is not None
    coming.keep(matched(planned.rows.filter(pa.array(~coming.there.planned))), LEFT_OUT)
    return Calibrating(place, name)


def own_rows(one: Calibrating) -> list[tuple[str, str]]:
    """The pairs that a set has written itself."""
    assert one.about is not None
    own = [p for p in parts_of(one.folder, one.about.parts) if p.file.parent == one.folder]
    return [(r["query_crop_id"], r["gallery_crop_id"]) for p in own for r in p.read(["query_crop_id", "gallery_crop_id"]).to_pylist()]  # fmt: skip


def as_fresh(one: Calibrating, planned: Planned) -> bool:
    """Whether a set reads as one that was written at once, in rows and in what it says of itself."""
    fresh = kept(one.workspace, f"fresh {one.name}", planned)
    assert one.about is not None and fresh.about is not None
    same = [getattr(one.about, n) == getattr(fresh.about, n) for n in ("n_pairs", "ends", "tried", "voted", "made_by")]
    return one.pairs.equals(fresh.pairs) and all(same)


def test_a_new_crop_writes_its_pairs_and_no_other(workspace: Workspace) -> None:
    first = kept(workspace, "first", plan_of(range(10)))
    wanted = plan_of(range(11))
    second = kept(workspace, "second", wanted, first)
    assert as_fresh(second, wanted) and len(own_rows(first)) == 90
    assert len(own_rows(second)) == 20 and all("crop010" in pair for pair in own_rows(second))
    assert second.sets == ("second", "first")


def test_a_crop_that_leaves_writes_no_pair(workspace: Workspace) -> None:
    first = kept(workspace, "first", plan_of(range(10)))
    wanted = plan_of(range(9), without=frozenset({(3, 4)}))
    second = kept(workspace, "second", wanted, first)
    assert as_fresh(second, wanted) and not own_rows(second)
    third = kept(workspace, "third", plan_of(range(10)), second)
    assert as_fresh(third, plan_of(range(10))), "what was gone comes back"
    assert first.pairs.equals(third.pairs), "and the first set is as it was"


@pytest.mark.parametrize(
    "change",
    [{"votes": {(1, 2): 0.5}}, {"sides": {1: "right"}}, {"without": frozenset({(1, 2)}), "crops": 11}],
    ids=["votes", "side", "gone and new"],
)
def test_what_has_changed_is_written_again(workspace: Workspace, change: dict[str, Any]) -> None:
    first = kept(workspace, "first", plan_of(range(10)))
    wanted = plan_of(range(change.pop("crops", 10)), **change)
    second = kept(workspace, "second", wanted, first)
    assert as_fresh(second, wanted)
    expected = {"votes": 1, "sides": 18, "without": 20}[next(iter(change))]
    assert len(own_rows(second)) == expected


def test_another_matcher_has_nothing_in_common(workspace: Workspace) -> None:
    first, wanted = kept(workspace, "first", plan_of(range(10))), plan_of(range(10))
    other = Planned(wanted.rows, wanted.views, ("another matcher", "vectors"))
    assert len(own_rows(kept(workspace, "second", other, first))) == 90


def test_years_of_changes_leave_few_parts_and_write_little(workspace: Workspace) -> None:
    rng, crops, before = np.random.default_rng(0), set(range(12)), None
    written, needed = 0, 0
    for week in range(40):
        crops = crops | {12 + week}
        if week % 5 == 4:
            crops = crops - {int(rng.choice(sorted(crops)))}
        wanted = plan_of(crops, votes={(q, q + 1): float(week // 10) for q in range(12)})
        now = kept(workspace, f"week {week}", wanted, before)
        assert now.about is not None and as_fresh(now, wanted)
        there = Calibrating(workspace, "x", planned=wanted).upon(before).there
        assert there is not None
        written, needed, before = written + len(own_rows(now)), needed + int((~there.planned).sum()), now
        assert len(now.about.parts) <= 2 + np.log2(now.about.n_pairs)
    assert needed < written < 5 * needed


def test_rows_are_found_by_their_crops(workspace: Workspace) -> None:
    first = kept(workspace, "first", plan_of(range(10)))
    second = kept(workspace, "second", plan_of(range(1, 12)), first)
    whole, about = second.pairs, second.about
    assert about is not None
    some = whole.take(pa.array(np.random.default_rng(1).permutation(whole.num_rows)[:30]))
    found = rows_of(parts_of(second.folder, about.parts), some, ["confidence_histogram", "n_inliers"])
    assert found.equals(some.select(found.column_names))
    elsewhere = first.pairs.filter(pc.equal(first.pairs["query_crop_id"], "crop000"))
    with pytest.raises(BrokenCountError, match="9 calibration pairs"):
        rows_of(parts_of(second.folder, about.parts), elsewhere, ["n_inliers"])


def test_a_set_without_a_file_of_another_is_not_there(workspace: Workspace) -> None:
    first = kept(workspace, "first", plan_of(range(10)))
    second = kept(workspace, "second", plan_of(range(11)), first)
    file = next(first.folder.glob("pairs-*.parquet"))
    whole = file.read_bytes()
    file.unlink()
    assert Calibrating(workspace, "second").about is None
    file.write_bytes(whole)
    assert Calibrating(workspace, "second").about == second.about


def test_damage_to_rows_that_are_written_again_is_set_aside_and_the_next_try_makes_them_anew(
    workspace: Workspace,
) -> None:
    first, wanted = kept(workspace, "first", plan_of(range(4))), plan_of(range(8))
    (file,) = first.folder.glob("pairs-*.parquet")
    footer = pq.read_metadata(file)
    leaf = next(i for i in range(footer.num_columns) if "histogram" in footer.schema.column(i).path)
    chunk, raw = footer.row_group(0).column(leaf), bytearray(file.read_bytes())
    raw[chunk.data_page_offset + 20] ^= 0xFF  # in a column that is not compared with the plan
    file.write_bytes(raw)
    sealed.forget()
    watch(workspace.store)
    with pytest.raises(DamagedError, match=file.name):
        kept(workspace, "second", wanted, Calibrating(workspace, "first"))
    assert [told.path for told in fresh_records(workspace.store)] == [workspace.relative(file)]
    assert as_fresh(kept(workspace, "second", wanted, Calibrating(workspace, "first")), wanted)


@pytest.mark.parametrize("said", ["{}", '{"n_pairs": 3, "ends": [], "tried": true, "voted": [], "parts": []}',
                                  '{"n_pairs": 3, "ends": {}, "tried": true, "voted": [], "parts": [{"file": "a/b"}]}'])  # fmt: skip
def test_an_edited_record_is_damage_with_a_sentence(workspace: Workspace, said: str) -> None:
    one = kept(workspace, "first", plan_of(range(4)))
    file: Path = one.folder / "about.json"
    file.write_text(said)
    with pytest.raises(DamagedError, match=r"about\.json"):
        one.columns(["n_inliers"])
    watch(workspace.store)
    assert Calibrating(workspace, "first").about is None and not file.exists()
    (told,) = fresh_records(workspace.store)
    assert told.path == "store/calibration/first/about.json" and "does not say what it should" in told.why


def test_a_set_of_an_earlier_version_is_read(workspace: Workspace) -> None:
    one = kept(workspace, "first", plan_of(range(6)))
    before = one.pairs
    next(one.folder.glob("pairs-*.parquet")).rename(one.folder / "pairs.parquet")
    (one.folder / "about.json").write_text('{"n_pairs": 30, "ends": {"scored": 30}, "tried": true, "voted": []}')
    again = Calibrating(workspace, "first")
    assert again.about is not None and again.pairs.equals(before) and again.sets == ("first",)


def test_rows_from_before_matches_were_graded_are_read_as_ungraded(workspace: Workspace) -> None:
    one = kept(workspace, "first", plan_of(range(6)))
    before, file = one.pairs, next(one.folder.glob("pairs-*.parquet"))
    sealed.write_table(file, pq.read_table(file).drop_columns("agreement"))
    again = Calibrating(workspace, "first").pairs
    assert again["agreement"].null_count == again.num_rows == before.num_rows
    assert again.drop_columns("agreement").equals(before.drop_columns("agreement"))
