"""Gallery encounters as unknown animals, by hand."""

import pyarrow as pa

from resight.novelty.calibration import calibrate
from resight.rank.params import RankParams

COLUMNS = ["crop_id", "photo_id", "encounter_id", "individual_id"]


def info(*rows):
    return pa.table({name: pa.array([r[k] for r in rows], pa.string()) for k, name in enumerate(COLUMNS)})


def scores_table(*rows):
    return pa.table(
        {
            "query_crop_id": pa.array([r[0] for r in rows], pa.string()),
            "gallery_crop_id": pa.array([r[1] for r in rows], pa.string()),
            "purpose": pa.array([r[3] if len(r) > 3 else "calibrate" for r in rows], pa.string()),
            "score": pa.array([float(r[2]) for r in rows], pa.float64()),
        }
    )


INFO = info(
    ("a", "A", "ada-1", "Ada"), ("a2", "A2", "ada-2", "Ada"), ("b", "B", "ben-1", "Ben"), ("c", "C", "cleo-1", "Cleo")
)
SCORES = scores_table(
    ("a", "a2", 0.8), ("a", "b", 0.3), ("a", "c", 0.2),
    ("a2", "a", 0.7), ("a2", "b", 0.1),
    ("b", "a", 0.35), ("b", "a2", 0.15), ("b", "c", 0.25),
    ("b", "c", 0.99, "identify"),
)  # fmt: skip


def test_maxima_by_hand():
    maxima = {r["encounter_id"]: r for r in calibrate(SCORES, INFO, RankParams(rule="max")).maxima.to_pylist()}
    found = {
        e: (r["individual_id"], r["impostor_maximum"], r["genuine_score"], r["n_impostors"]) for e, r in maxima.items()
    }
    assert found == {
        "ada-1": ("Ada", 0.3, 0.8, 2),  # the best of Ben .3 and Cleo .2; Ada herself in ada-2
        "ada-2": ("Ada", 0.1, 0.7, 1),
        "ben-1": ("Ben", 0.35, None, 2),  # Ada's best photo .35, Cleo .25; Ben was met once
    }


def test_comparisons_are_per_animal_by_the_rule():
    rows = calibrate(SCORES, INFO, RankParams(rule="mean_top2")).comparisons.to_pylist()
    ben = {r["candidate_id"]: (r["score"], r["genuine"]) for r in rows if r["encounter_id"] == "ben-1"}
    assert ben == {"Ada": ((0.35 + 0.15) / 2, False), "Cleo": (0.25, False)}
    assert sum(r["genuine"] for r in rows) == 2


def test_an_encounter_with_only_its_own_animal_has_no_impostor_maximum():
    (row,) = calibrate(scores_table(("a", "a2", 0.8)), INFO, RankParams(rule="max")).maxima.to_pylist()
    assert row["impostor_maximum"] is None and row["genuine_score"] == 0.8 and row["n_impostors"] == 0


def test_order_of_rows_does_not_matter():
    turned = SCORES.take(pa.array(range(SCORES.num_rows - 1, -1, -1)))
    one, other = calibrate(SCORES, INFO, RankParams(rule="max")), calibrate(turned, INFO, RankParams(rule="max"))
    assert one.maxima.equals(other.maxima) and one.comparisons.equals(other.comparisons)


def test_no_calibration_pairs():
    nothing = calibrate(scores_table(), INFO, RankParams(rule="max"))
    assert nothing.maxima.num_rows == 0 and nothing.comparisons.num_rows == 0
