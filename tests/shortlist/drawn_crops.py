"""Crops that show drawn patterns, for tests of what is kept of a vote."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.extract.kinds.sift import SiftParams
from resight.extract.stage import extract
from resight.pairs.cohort import IDENTIFY
from resight.pairs.plan import PLAN, PLANNED, PairGrid
from resight.segment.store import write_crop
from resight.shortlist.params import ShortlistParams
from resight.shortlist.setup import Voting, voting_names
from resight.shortlist.stage import ShortlistResult, shortlist
from resight.shortlist.union import Alike

SIFT = SiftParams(max_keypoints=64)
CODED = ShortlistParams(enabled="on", k=3, min_gallery=1, descriptors_per_crop=64, pq_bytes=8, n_lists=8, n_probe=4)
EXACT = CODED.model_copy(update={"enabled": "votes"})  # votes of all pairs, and descriptors as they are
GALLERY = tuple(f"g{i}" for i in range(12))
QUERIES = tuple(f"q{i}" for i in range(4))


def drawn(env: Environment, pictures: dict[str, np.ndarray]) -> pa.Table:
    """Crops with these pictures."""
    rows = []
    for crop_id, rgb in pictures.items():
        path = env.workspace.root / "store" / "segment" / f"{crop_id}.png"
        write_crop(path, rgb, np.ones(rgb.shape[:2], bool))
        place = env.workspace.relative(path)
        rows.append({"crop_id": crop_id, "photo_id": f"p{crop_id}", "path": place, "viewpoint": "left", "status": "ok"})
    return pa.Table.from_pylist(rows)


def with_more(env: Environment, crops: pa.Table, pictures: dict[str, np.ndarray]) -> pa.Table:
    """The crops, and others with these pictures."""
    return pa.concat_tables([crops, drawn(env, pictures)])


def listed(may_find: dict[str, tuple[str, ...]]) -> PairGrid:
    """All pairs of queries and the crops that each may find."""
    rows = [
        dict(zip(PLAN.names, (q, g, f"p{q}", f"p{g}", IDENTIFY, PLANNED, ""), strict=True))
        for q, found in may_find.items()
        for g in found
    ]
    return PairGrid.listed(pa.Table.from_pylist(rows, schema=PLAN), IDENTIFY)


def answered(
    env: Environment,
    crops: pa.Table,
    grid: PairGrid,
    *part: str,
    alike: Alike | None = None,
    params: ShortlistParams = CODED,
) -> ShortlistResult:
    """The shortlist of these pairs, in the index of the gallery or of a ``part``."""
    features = extract(env, SIFT, "features", crops).features
    voting = Voting(params, SIFT, True, params is EXACT, voting_names(params, "features", *part))
    return shortlist(env, voting, (grid,), crops, features, alike=alike)
