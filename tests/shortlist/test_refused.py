"""Animals that a person says it is not take no place of an encounter's shortlist, and are compared beside it."""

import numpy as np
import pyarrow as pa

from resight.pairs.cohort import IDENTIFY, Cohort, pair_grids
from resight.pairs.params import PairsParams
from resight.pairs.plan import OPEN

GALLERY = {"a1": "Ada", "a2": "Ada", "b1": "Ben", "c1": "Cleo"}
QUERIES = {"q1": "e1", "q2": "e1", "r": "e2", "s": "e3"}


def grids(refused):
    ids = [*GALLERY, *QUERIES]
    columns = {
        "crop_id": ids,
        "photo_id": [f"photo {crop}" for crop in ids],
        "encounter_id": [QUERIES.get(crop, f"e-{crop}") for crop in ids],
        "individual_id": [GALLERY.get(crop) for crop in ids],
        "viewpoint": ["right" if crop == "a2" else "left" for crop in ids],
        "feature_status": ["ok"] * len(ids),
        "extra": pa.array([None] * len(ids), pa.string()),
        "taken_on": pa.array([None] * len(ids), pa.date32()),
    }
    labels = {f"photo {crop}": name for crop, name in GALLERY.items()}
    cohort = Cohort(frozenset(f"photo {crop}" for crop in QUERIES), frozenset(labels), labels, refused=refused)
    return pair_grids(pa.table(columns), cohort, PairsParams(), 10)


def test_what_is_refused_is_beside_the_shortlist_for_its_encounter_alone():
    identify, calibrate = grids(
        {"e1": frozenset({"Ada", "Nobody"}), "e3": frozenset({"Ben", "Cleo"}), "gone": frozenset({"Ben"})}
    )
    every = np.arange(len(identify))
    beside = identify.without_place(every) & (identify.of_queries(every) == OPEN)
    crops = identify.gallery_ids.to_pylist()
    found = {
        q: {crops[k] for k in np.flatnonzero(row)}
        for q, row in zip(identify.query_ids.to_pylist(), beside, strict=True)
    }
    assert found == {"q1": {"a1"}, "q2": {"a1"}, "r": set(), "s": {"b1", "c1"}}, "a2 shows the other side"
    assert identify.purpose == IDENTIFY and calibrate.beside is None and grids({})[0].beside is None
