"""Scores from the first few photos, by hand."""

import pyarrow as pa

from resight.rank.levels import Seen, photo_places
from resight.rank.params import RankParams

# Query E has the photos A (most keypoints), B and C; Ada's photo G is of encounter g, Ben's H and I of encounter h.
CROPS = [
    ("A", "E", None, 90),
    ("B", "E", None, 50),
    ("C", "E", None, 10),
    ("G", "g", "Ada", 5),
    ("H", "h", "Ben", 5),
    ("I", "h", "Ben", 9),
]
SCORES = [
    ("A", "G", 1.0),
    ("B", "G", 5.0),
    ("C", "G", 9.0),
    ("A", "H", 2.0),
    ("B", "H", 3.0),
    ("C", "H", 4.0),
    ("A", "I", 0.0),
    ("B", "I", 7.0),
]


def tables():
    names = ("crop_id", "photo_id", "encounter_id", "individual_id", "n_keypoints")
    info = pa.table({n: [(photo, photo, e, i, k)[c] for photo, e, i, k in CROPS] for c, n in enumerate(names)})
    columns = {"query_crop_id": 0, "gallery_crop_id": 1, "score": 2}
    scores = {n: [row[c] for row in SCORES] for n, c in columns.items()} | {"purpose": ["identify"] * len(SCORES)}
    return pa.table(scores), info


def test_the_photos_with_most_keypoints_come_first_whatever_they_match():
    assert sorted(photo_places(tables()[1]).items(), key=lambda one: one[1])[:3] == [("A", 0), ("B", 1), ("C", 2)]


def test_scores_from_the_first_photos_by_hand():
    found = Seen.of(*tables(), RankParams(rule="max"))
    assert found.scores() == {
        "E": {1: {"Ada": 1.0, "Ben": 2.0}, 2: {"Ada": 5.0, "Ben": 7.0}, 3: {"Ada": 9.0, "Ben": 7.0}}
    }
    assert found.returned() == {}  # by the rule max it cannot exceed the query's own best


def test_the_query_as_a_candidate_of_gallery_encounters_by_hand():
    found = Seen.of(*tables(), RankParams(rule="mean_max")).returned()
    # One photo of each side: G with A 1; Ben's first is I (9 keypoints), with A 0. Two of each (Ada has one): H with the best of
    # A and B 3, I with the best 7: mean 5.
    assert found == {"E": {1: {"g": 1.0, "h": 0.0}, 2: {"h": 5.0}}}
