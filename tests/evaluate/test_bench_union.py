"""Where `benchmarks/bench_union.py` finds the right animal in a list, by hand: as the list of a night deals its places."""

import bench_union as bench
import numpy as np
import pytest

from resight.shortlist.params import ShortlistParams

# Gallery photos of three animals, two of each, in the order of votes; one query of the last animal without vectors.
VOTES = np.array([[9.0, 8, 7, 6, 5, 4]])
OWNERS = np.array([0, 0, 1, 1, 2, 2], np.int32)


@pytest.mark.parametrize(
    ("dealing", "places"),
    [
        (ShortlistParams(leaders=0), (4, 2)),
        (ShortlistParams(leaders=1, per_leader=2), (4, 3)),
        (ShortlistParams(), (4, 4)),
        (ShortlistParams(leaders=0, per_animal=2), (4, 4)),
    ],
)
def test_a_list_is_dealt_as_its_settings_say(dealing, places):
    nothing, everybody = np.full((1, 6), np.nan, np.float32), np.ones((1, 6), bool)
    of = bench.Asked(VOTES, nothing, everybody, np.array([[0, 0, 0, 0, 1, 1]], bool), OWNERS, ["2"], ["e"])
    found = bench.first_own(of, dealing)
    assert (found["votes, by photo"][0], found["both"][0]) == places
    assert found["both"] == found["votes"] == found["both, photo alone"] and found["vectors"][0] == 6
