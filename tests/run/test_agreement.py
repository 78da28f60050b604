"""Encounters by rule whose photos do not agree: from tables to tables, with a matcher that knows the answer."""

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from resight.catalog import table as catalog_table
from resight.match.stage import MatchResult
from resight.pairs.cohort import Cohort
from resight.run.agreement import Checked, check_encounters, sentence
from resight.run.state import Matched
from resight.settings import Settings, settings_from

E = "photos/dive 1-undated"
PHOTOS = {"a": E, "b": E, "c": E, "d": E, "x": E, "other": "photo-other"}


def state(views: dict[str, str], sources: dict[str, str]) -> Matched:
    """Six photos with a crop each; ``g`` is the gallery's."""
    photos = [
        {"photo_id": p, "uri": f"photos/dive 1/{p}.jpg", "encounter_id": e, "encounter_source": sources.get(p, "folder_and_day")}
        for p, e in PHOTOS.items()
    ]  # fmt: skip
    info = [
        {"crop_id": f"crop {p}", "photo_id": p, "encounter_id": e, "viewpoint": views.get(p, "left"), "feature_status": "ok"}
        for p, e in PHOTOS.items()
    ]  # fmt: skip
    empty = {name: catalog_table(name).schema.empty_table() for name in ("crops", "features", "pairs")}
    nothing = pa.table({})
    return Matched(
        photos=pa.Table.from_pylist(photos, schema=catalog_table("photos").schema.remove(0)), info=pa.Table.from_pylist(info),
        cohort=Cohort(frozenset(PHOTOS), frozenset("g"), {"g": "Ada"}), grids=(), plan=nothing, left_out=nothing, votes=nothing, **empty,
    )  # fmt: skip


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Checks with a matcher that finds 40 inliers among a, b, c and d, and none with x."""

    def matched(env: Any, setup: Any, name: str, plan: pa.Table, features: pa.Table) -> MatchResult:
        rows = [
            row | {"status": "scored", "n_keypoints_query": 512, "n_keypoints_gallery": 512, "n_inliers": 0 if "x" in (row["query_photo_id"], row["gallery_photo_id"]) else 40}
            for row in plan.to_pylist()
        ]  # fmt: skip
        return MatchResult(pa.Table.from_pylist(rows), len(rows))

    monkeypatch.setattr("resight.run.agreement.match", matched)

    def run(
        views: dict[str, str] | None = None, sources: dict[str, str] | None = None, settings: Settings | None = None
    ) -> Checked:
        conditions: Any = SimpleNamespace(settings=settings or Settings(), env=None, names=SimpleNamespace(match="m"))
        return check_encounters(conditions, state(views or {}, {"other": "photo"} | (sources or {})))

    return run


def test_a_photo_that_speaks_against_its_encounter_gets_its_own_everywhere(check: Any) -> None:
    checked = check()
    assert (dict(checked.voted_out), checked.n_photos, checked.n_matched) == ({"x": E}, 5, 10)
    rows = {r["photo_id"]: r for r in checked.matched.photos.to_pylist()}
    assert [rows["x"][c] for c in ("encounter_id", "encounter_source", "voted_out_of")] == ["photo-x", "voted_out", E]
    assert [rows["a"][c] for c in ("encounter_id", "encounter_source", "voted_out_of")] == [E, "folder_and_day", None]
    info = {r["photo_id"]: r["encounter_id"] for r in checked.matched.info.to_pylist()}
    assert info == PHOTOS | {"x": "photo-x"}
    said = sentence(checked.matched.photos, checked.voted_out)
    assert said.startswith("1 photo seems") and f"photos/dive 1/x.jpg (not {E})" in said and "encounter_id" in said


def test_the_other_side_is_no_evidence_and_people_are_believed(check: Any) -> None:
    assert not check(views={"x": "right"}).voted_out
    assert not check(views={"x": "unknown"}).voted_out
    assert not check(sources=dict.fromkeys(PHOTOS, "metadata")).voted_out
    assert not check(settings=settings_from({"encounter": {"vote_out": False}})).voted_out
    assert sentence(state({}, {}).photos, {}) == ""
