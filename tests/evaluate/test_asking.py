"""Who asks: a list of animals, and sides that the first year shows."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from resight.cli.options import measuring_overrides
from resight.errors import NothingToMeasure
from resight.evaluate.params import EvaluateParams
from resight.run.measuring import hide_labels

# Ada and Ben: left in 2010, left and right in 2011; Cleo once.
ROWS = [(f"{name}{day[:4]}{view}", name, day, view)
        for name in ("Ada", "Ben") for day, view in (("2010-06-01", "left"), ("2011-06-01", "left"), ("2011-06-01", "right"))]  # fmt: skip
ROWS.append(("Cleo", "Cleo", "2010-06-01", "right"))


@pytest.fixture
def segmented():
    ids, names, days, views = (list(column) for column in zip(*ROWS, strict=True))
    photos = pa.table({
        "photo_id": ids, "individual_id": names, "encounter_id": [f"{n}-{d}" for n, d in zip(names, days, strict=True)],
        "taken_on": pa.array([date.fromisoformat(d) for d in days], pa.date32()), "role": pa.nulls(len(ids), pa.string()),
        "status": ["ok"] * len(ids),
    })  # fmt: skip
    crops = pa.table({"photo_id": ids, "viewpoint": views, "status": ["ok"] * len(ids)})
    return SimpleNamespace(photos=photos, crops=crops)


@pytest.fixture
def listed(tmp_path):
    file = tmp_path / "animals.csv"
    file.write_text("individual_id,part\nAda,training\nBen,validation\nCleo,validation\n")
    return file


def test_first_year_asks_sides_that_it_shows_and_says_how_many_do_not(segmented):
    hidden = hide_labels(segmented, EvaluateParams(protocol="first-year"), ["here"])
    assert hidden.cohort.queries == {"Ada2011left", "Ben2011left"} and hidden.cohort.protocol == "first-year"
    assert hidden.notes == ("2 photos of later years show no side that the animal's first year shows, and do not ask.",)
    by_time = hide_labels(segmented, EvaluateParams(protocol="time-aware"), ["here"])
    assert len(by_time.cohort.queries) == 4 and by_time.notes == ()


def test_only_the_listed_animals_ask_and_all_are_in_the_gallery(segmented, listed):
    how = EvaluateParams(protocol="time-aware", asking=str(listed))
    hidden = hide_labels(segmented, how, ["here"])
    assert set(hidden.cohort.truth.values()) == {"Ben"} and len(hidden.cohort.queries) == 2
    assert set(hidden.cohort.labels.values()) == {"Ada", "Ben", "Cleo"}
    assert hidden.notes == (f"Only photos of 1 animal of {listed} ask; all animals are in the gallery.",)


def test_a_list_of_animals_that_were_never_met_again_measures_nothing(segmented, tmp_path):
    file = tmp_path / "animals.csv"
    file.write_text("individual_id\nCleo\n")
    with pytest.raises(NothingToMeasure, match=r"animals\.csv was met again"):
        hide_labels(segmented, EvaluateParams(asking=str(file)), ["here"])


def test_the_option_becomes_the_setting_as_an_absolute_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = measuring_overrides(None, "first-year", None, False, False, Path("my animals.csv"))
    assert given == {"evaluate": {"protocol": "first-year", "asking": str(tmp_path / "my animals.csv")}}
    assert measuring_overrides(None, None, None, False, False) is None
