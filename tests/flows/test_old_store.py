"""A workspace that was made before names, settings and code took their present shape: nothing in it is computed again but votes.

Distances are rounded before they vote since 2026-11-29, so each query of before votes once more.

``stores/2026-11-28.zip`` was made by the code of that day: ten rendered photos, a night and an accuracy run with SIFT and the
bundled LightGlue, then a rebuild with whole photos, ORB, nearest neighbours and votes, which was accepted.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resight.flows.evaluation import run_accuracy
from resight.flows.nightly import run_nightly
from resight.run.models import current_model, list_models, promote
from resight.store.workspace import Workspace

STORE = Path(__file__).resolve().parent.parent / "stores" / "2026-11-28.zip"
INLINE = {"dask": {"mode": "inline"}}
NIGHT, ACCURACY, REBUILD = "2026-11-20-nightly-ad832977", "2026-11-20-accuracy-7f7ef1b5", "2026-11-21-rebuild-0d163a92"
NOTHING = dict.fromkeys(("photos_decoded", "crops_cut", "features_computed", "queries_shortlisted", "pairs_matched"), 0)

JUDGED = frozenset(
    {
        "in_candidate_set", "candidate_set_size", "candidate_set_coverage", "probability", "probabilities", "p_new", "p_other",
        "p_value", "tail_p_value", "threshold", "decision", "evidence", "n_needed", "provisional_individual_id", "novelty",
        "score", "best_score", "score_right", "score_wrong",  # cohorts have other imagined pairs since then
    }
)  # fmt: skip


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    with zipfile.ZipFile(STORE) as archive:
        archive.extractall(tmp_path / "old")
    return Workspace(tmp_path / "old")


def night(place: Workspace, day: str) -> dict[str, Any]:
    return run_nightly(place.root, night=day, overrides=INLINE, quiet=True)


def outputs(place: Workspace) -> set[str]:
    """Folders of the stages that there were then; calibration pairs have been kept apart since."""
    folders = [*place.store.glob("*/*"), *place.models.glob("fusion/*")]
    folders = [folder for folder in folders if folder.parent.name != "calibration"]
    return {folder.relative_to(place.root).as_posix() for folder in folders}


def test_a_night_on_the_old_store_asks_for_votes_alone_and_says_the_same(old: Workspace) -> None:
    before = outputs(old)
    result = night(old, "2026-12-01")
    assert result["work"] == NOTHING | {"queries_shortlisted": 13}
    same_tables(old.runs / REBUILD, old.runs / result["run_id"], exactly=True)
    assert outputs(old) == before, "all names are those of then"


def test_so_does_a_night_under_the_older_model_after_it_is_accepted_again(old: Workspace) -> None:
    before, accepted = outputs(old), current_model(old)
    (older,) = [model for model in list_models(old) if model != accepted]
    promote(old, older)
    result = night(old, "2026-12-02")
    assert result["work"] == NOTHING
    assert not any("another model" in note for note in result["notes"])
    same_tables(old.runs / NIGHT, old.runs / result["run_id"], exactly=True)
    assert outputs(old) == before


def test_a_new_workspace_computes_the_same_under_the_same_names(old: Workspace, tmp_path: Path) -> None:
    fresh = Workspace(tmp_path / "fresh")
    shutil.copytree(old.root / "photos", fresh.root / "photos")
    shutil.copy(old.root / "resight.toml", fresh.root)
    result = night(fresh, "2026-11-20")
    assert (result["work"]["photos_decoded"], result["work"]["crops_cut"]) == (10, 10)
    same_tables(old.runs / NIGHT, fresh.runs / result["run_id"])
    measured = run_accuracy(fresh.root, night="2026-11-20", overrides=INLINE, quiet=True)
    same_tables(old.runs / ACCURACY, fresh.runs / measured["run_id"])
    assert outputs(fresh) <= outputs(old)


def same_tables(then: Path, now: Path, exactly: bool = False) -> None:
    """Outcomes, identifications and novelty agree but for scores and verdict, which are others since then: floats to 1e-6 (threads and processors add up in other orders), all else exactly; crops are compared by their photos."""
    for name in ("outcomes", "identifications", "novelty"):
        assert (then / f"{name}.parquet").exists() == (now / f"{name}.parquet").exists()
        if (then / f"{name}.parquet").exists():
            expected, got = (_rows(folder, name) for folder in (then, now))
            assert set(got.column_names) >= set(expected.column_names) and got.num_rows == expected.num_rows > 0
            for column in [name for name in expected.column_names if name not in JUDGED]:
                a, b = expected[column].to_pylist(), got[column].to_pylist()
                if pa.types.is_floating(expected[column].type) and not exactly:
                    a, b = ([-1e9 if value is None else value for value in values] for values in (a, b))
                    a = pytest.approx(a, rel=1e-6, abs=1e-6)
                assert b == a, f"{name}.{column}"


def _rows(run: Path, name: str) -> pa.Table:
    table = pq.read_table(run / f"{name}.parquet").drop_columns(["run_id"])
    crops = pq.read_table(run / "crops.parquet", columns=["crop_id", "photo_id"]).to_pylist()
    photo_of = {row["crop_id"]: row["photo_id"] for row in crops}
    for column in [c for c in table.column_names if c.endswith("crop_id")]:
        photos = pa.array([photo_of.get(crop) for crop in table[column].to_pylist()])
        table = table.set_column(table.column_names.index(column), column, photos)
    return table
