"""Why nothing was compared, told from the tables of a run."""

import pyarrow as pa
import pytest

from resight.novelty.decide import NOVELTY_SCHEMA
from resight.novelty.uncompared import Obstacle
from resight.pairs.cohort import Cohort
from resight.pairs.plan import LEFT_OUT
from resight.run.state import Matched
from resight.run.uncompared import explained

PAIR = ("query_photo_id", "gallery_photo_id", "purpose", "status", "reason")


def strings(names, rows):
    return pa.table({name: pa.array([row[k] for row in rows], pa.string()) for k, name in enumerate(names)})


def told(crops=(("a", "ok", "ok"),), pairs=(), left_out=(), refused=(), gallery=("g",), side="left"):
    """Reason and sentence of an encounter with these photos: (photo, status of its crop, of its features)."""
    cohort = Cohort(
        frozenset(c[0] for c in crops),
        frozenset(gallery),
        dict.fromkeys(gallery, "Ada"),
        refused={"E": frozenset(refused)},
    )
    ids = [f"c{k}" for k in range(len(crops))]
    values = {
        "photos": strings(("photo_id", "encounter_id"), [(c[0], "E") for c in crops]),
        "crops": strings(("crop_id", "photo_id", "status"), [(i, c[0], c[1]) for i, c in zip(ids, crops, strict=True)]),
        "info": strings(
            ("crop_id", "photo_id", "viewpoint", "feature_status"),
            [(i, c[0], side, c[2]) for i, c in zip(ids, crops, strict=True)],
        ),
        "pairs": strings(PAIR, [("a", "g", "identify", *p) for p in pairs]),
        "left_out": pa.Table.from_pylist(
            [dict(zip(LEFT_OUT.names, ("c0", "a", "identify", *p, 1), strict=True)) for p in left_out], LEFT_OUT
        ),
        "cohort": cohort,
    }
    row = dict.fromkeys(NOVELTY_SCHEMA.names) | {"encounter_id": "E", "decision": "not_compared", "evidence": "?"}
    table = pa.Table.from_pylist([row, row | {"encounter_id": "F", "decision": "known"}], NOVELTY_SCHEMA)
    one, other = explained(table, Matched(**dict.fromkeys(Matched.__dataclass_fields__) | values)).to_pylist()
    assert (other["evidence"], other["reason"]) == ("?", None), "what was compared stays as it is"
    return one["reason"], one["evidence"]


@pytest.mark.parametrize(
    ("case", "reason", "words"),
    [
        ({"crops": [("a", "no_head", "no_crop")]}, Obstacle.NO_HEAD, "compared: no head was found."),
        ({"crops": [("a", "ok", "no_keypoints"), ("b", "taken_out", "no_crop"), ("c", "taken_out", "no_crop")]}, Obstacle.NO_HEAD,
         "a person has taken the crop out (2 photos), no pattern can be seen on the head (1 photo)."),
        ({"pairs": [("scored", "")], "refused": ["Ada"]}, Obstacle.REJECTED, "it is not Ada, the only animal that it could be compared with."),
        ({"pairs": [("scored", "")], "left_out": [("not_shortlisted", "")], "refused": ["Ada"]}, Obstacle.REJECTED,
         "the only animal that the shortlist listed; it was compared with no other"),
        ({"left_out": [("excluded_by_policy", "viewpoint")]}, Obstacle.SIDE, "its photos show the side left"),
        ({"left_out": [("excluded_by_policy", "other_species")]}, Obstacle.KEPT_APART, "has the same species."),
        ({"pairs": [("failed", "")]}, Obstacle.FAILED, "comparing failed"),
        ({"gallery": ()}, Obstacle.NOBODY_KNOWN, "no animal has a named photo yet."),
        ({"left_out": [("not_shortlisted", "")]}, Obstacle.UNKNOWN, "may be compared with it."),
    ],
)  # fmt: skip
def test_the_reason_is_the_one_that_stood_in_the_way(case, reason, words):
    assert told(**case)[0] == reason and words in told(**case)[1]
