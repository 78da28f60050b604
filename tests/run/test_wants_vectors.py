"""When crops get vectors."""

import pyarrow as pa
import pytest

from resight.pairs.cohort import Cohort
from resight.run.pairing import wants_vectors
from resight.run.state import Extracted
from resight.settings import settings_from

CROPS = pa.table({"crop_id": list("abcdq"), "photo_id": list("ABCDQ")})
FEATURES = pa.table({"crop_id": list("abcdq"), "status": ["ok", "ok", "ok", "no_keypoints", "ok"]})
EXTRACTED = Extracted(photos=CROPS, crops=CROPS, features=FEATURES)
COHORT = Cohort(frozenset("Q"), frozenset("ABCD"), dict.fromkeys("ABCD", "Ada"))


@pytest.mark.parametrize(
    ("enabled", "shortlist", "wanted"),
    [
        ("auto", {"enabled": "on", "k": 2}, True),  # three crops of the gallery are usable, and two are matched
        ("auto", {"enabled": "on", "k": 3}, False),  # nothing is left out
        ("auto", {"k": 2}, False),  # 500 crops make a shortlist worthwhile
        ("auto", {"k": 2, "min_gallery": 3}, True),
        (True, {"k": 2}, True),
        (False, {"enabled": "on", "k": 2}, False),
    ],
)
def test_auto_is_where_there_is_a_shortlist(enabled: object, shortlist: dict[str, object], wanted: bool) -> None:
    settings = settings_from({"embed": {"enabled": enabled}, "shortlist": shortlist})
    assert wants_vectors(settings, EXTRACTED, COHORT) is wanted
