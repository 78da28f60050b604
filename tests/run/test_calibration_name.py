"""What names the calibration pairs of a gallery."""

from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from resight.pairs.cohort import Cohort
from resight.pairs.plan import PLAN
from resight.run.pairing import _kept_apart
from resight.shortlist.kept import EVIDENCE_VOTES
from resight.store.workspace import Workspace

ASKING, ASKED = "crop that only asks", "crop that is asked"


def name_of(workspace: Workspace, **sides: str) -> str:
    """Of one pair; sides by the crop's part in it."""
    views = {ASKING: "left", ASKED: "left"} | {{"asking": ASKING, "asked": ASKED}[k]: side for k, side in sides.items()}
    ids = {"purpose": ["calibrate"], "query_crop_id": [ASKING], "gallery_crop_id": [ASKED]}
    planned: Any = SimpleNamespace(
        cohort=Cohort(frozenset(), frozenset({"a", "b"}), {"a": "Ada", "b": "Ben"}),
        plan=pa.table({name: ids.get(name, [""]) for name in PLAN.names}, schema=PLAN),
        left_out=pa.table({"purpose": pa.array([], pa.string())}),
        votes=EVIDENCE_VOTES.empty_table(),
        vectors=SimpleNamespace(keys=("some",), has=lambda crop_id, view: True),
        info=pa.table({"crop_id": [*views], "viewpoint": [*views.values()], "feature_status": ["ok", "ok"]}),
    )
    settings = SimpleNamespace(score=SimpleNamespace(name="snorm_inliers"))
    names, env = SimpleNamespace(match="match", embed="embed"), SimpleNamespace(workspace=workspace)
    conditions: Any = SimpleNamespace(settings=settings, names=names, env=env)
    kept = _kept_apart(conditions, planned)
    assert kept is not None
    return kept.name


def test_the_side_of_either_crop_counts(workspace: Workspace) -> None:
    """Vectors are made for a side, also those of a crop that a shortlist lets nobody find."""
    names = [name_of(workspace), name_of(workspace, asked="right"), name_of(workspace, asking="right")]
    assert len({*names}) == 3 and name_of(workspace) == names[0]
