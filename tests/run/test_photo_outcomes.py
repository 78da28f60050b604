"""One outcome per photo, in time that grows with the photos and no faster."""

from time import process_time

import pyarrow as pa
import pytest

from resight.errors import BrokenCountError
from resight.pairs.cohort import Cohort
from resight.run.photo_outcomes import photo_counts, photo_outcomes
from resight.run.state import Judged


def judged(photos, crops, features, ranked, queries=(), gallery=()):
    cohort = Cohort(frozenset(queries), frozenset(gallery), dict.fromkeys(gallery, "Ada"))
    values = {
        "photos": table(("photo_id", "status", "reason"), photos),
        "crops": table(("photo_id", "status"), crops),
        "features": table(("photo_id", "status"), features),
        "identifications": table(("query_id", "level"), ranked),
        "cohort": cohort,
    }
    return Judged(**dict.fromkeys(Judged.__dataclass_fields__) | values)


def table(names, rows):
    return pa.table({name: pa.array([row[k] for row in rows], pa.string()) for k, name in enumerate(names)})


def test_every_way_to_end():
    photos = [(name, "ok", "") for name in ("known", "found", "alone", "aside", "blind", "plain", "half")]
    crops = [(name, "ok") for name in ("known", "found", "alone", "aside", "plain", "half", "half")] + [
        ("blind", "no_animal")
    ]
    features = [(name, "ok") for name in ("known", "found", "alone", "aside", "half")]
    features += [("half", "failed"), ("plain", "too_few_keypoints"), ("blind", "no_crop")]
    state = judged(
        [*photos, ("torn", "rejected", "truncated")], crops, features, [("found", "photo"), ("alone", "encounter")],
        queries=("found", "alone", "blind", "plain"), gallery=("known", "half"),
    )  # fmt: skip
    assert photo_outcomes(state) == {
        "known": "gallery", "found": "identified", "alone": "not_compared", "aside": "left_out", "blind": "no_animal",
        "plain": "too_few_keypoints", "half": "gallery", "torn": "truncated",
    }  # fmt: skip
    assert photo_counts(state, 8)["gallery"] == 2
    with pytest.raises(BrokenCountError, match="9 photos came in, but 8 have an end"):
        photo_counts(state, 9)


def test_time_grows_with_the_photos_and_no_faster():
    def seconds(n):
        names = [f"p{k:06d}" for k in range(n)]
        state = judged([(p, "ok", "") for p in names], [(p, "ok") for p in names], [(p, "ok") for p in names],
                       [(p, "photo") for p in names], queries=names)  # fmt: skip
        start = process_time()
        assert photo_counts(state, n) == {"identified": n}
        return process_time() - start

    seconds(100)
    few, many = (min(seconds(n) for _ in range(3)) for n in (1_000, 8_000))
    assert many < 24 * few + 0.05, "eight times the photos take about eight times as long, not 64 times"
