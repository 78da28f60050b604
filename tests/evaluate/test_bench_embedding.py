"""What `benchmarks/bench_embedding.py` counts, by hand on four animals."""

import bench_embedding as bench
import numpy as np
import pytest

# (animal, day, side, direction on the circle in degrees): Ada and Ben are asked, Cleo and Dan stand in the gallery.
PHOTOS = [
    ("Ada", "2010-06-01", "left", 0), ("Ada", "2011-06-01", "left", 10), ("Ada", "2011-06-01", "right", 10),
    ("Ben", "2010-06-01", "left", 100), ("Ben", "2011-06-01", "left", 62), ("Ben", "2011-06-01", "left", 95),
    ("Cleo", "2010-06-01", "left", 60), ("Dan", "2010-06-01", "right", 12), ("Dan", "2010-06-02", "right", 61),
]  # fmt: skip


@pytest.fixture
def asked():
    rows = [{"file": f"p{k}", "individual_id": name, "encounter_id": f"{name}-{day}", "taken_at": day, "viewpoint": view}
            for k, (name, day, view, _) in enumerate(PHOTOS)]  # fmt: skip
    angle = np.deg2rad([p[3] for p in PHOTOS])
    vectors = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    crops = bench.Crops(rows, np.zeros((len(rows), 2, 2, 3), np.uint8))
    return lambda protocol: bench.ask(crops, vectors, protocol, frozenset({"Ada", "Ben"}))


@pytest.mark.parametrize("protocol", [bench.TIME_AWARE, bench.FIRST_YEAR])
def test_places_of_the_right_animal_by_hand(asked, protocol):
    rows = {r["photo"]: r for r in asked(protocol)}
    # p2 shows a side that no gallery photo of Ada has, so that it cannot be right
    assert set(rows) == {"p1", "p4", "p5"}
    # on the left there are Ada at 0, Ben at 100, Cleo at 60
    assert [(rows[p]["photo_place"], rows[p]["animal_place"]) for p in ("p1", "p4", "p5")] == [(0, 0), (1, 1), (0, 0)]
    assert {r["n_gallery"] for r in rows.values()} == {3}


def test_an_encounter_counts_with_its_best_photo(asked):
    rows = asked(bench.TIME_AWARE)
    together = {e["animal"]: e for e in bench.encounters(rows)}
    assert together["Ada"]["animal_place"] == 0
    # Cleo is 2 degrees from p4, Ben 5 degrees from p5
    assert together["Ben"]["animal_place"] == 1
    measured = bench.measures(rows)
    assert (
        measured["top1 per photo"][0].mean() == pytest.approx(2 / 3) and measured["top1 per encounter"][0].mean() == 0.5
    )
    assert measured["among 20 photos"][0].tolist() == [1, 1, 1]


def test_the_table_pairs_the_same_queries(asked):
    rows = asked(bench.TIME_AWARE)
    worse = [r | {"animal_place": 3, "photo_place": 60} for r in rows]
    lines = bench.table({"frozen": worse, "trained": rows})
    assert lines[0] == "| | frozen | trained | last minus first |"
    assert lines[2].startswith("| top1 per photo | 0.0 (0.0 to 0.0) | 66.7 (") and "| +66.7 (" in lines[2]
    assert any(line.startswith("| among 50 photos | 0.0") for line in lines)


def test_vectors_that_are_kept_are_those_of_the_crops_that_take_part(tmp_path):
    rgb = np.full((3, 4, 4, 3), 7, np.uint8)
    kept = tmp_path / "vectors.npy"
    first = bench.vectors(rgb, np.array([0, 1]), lambda some: np.ones((len(some), 2), np.float32), 2, kept)
    other = bench.vectors(rgb, np.array([1, 2]), lambda some: np.ones((len(some), 2), np.float32), 2, kept)
    assert first[:, 0].tolist() == [1, 1, 0] and other[:, 0].tolist() == [0, 1, 1]
    again = bench.vectors(rgb, np.array([0, 1]), lambda some: pytest.fail("made before"), 2, kept)
    assert np.array_equal(again, first)
