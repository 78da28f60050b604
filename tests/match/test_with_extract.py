"""The stage on features that the stage before really wrote."""

import cv2
import numpy as np
import pyarrow as pa
import pytest

from resight.environment import Environment
from resight.extract.stage import extract
from resight.match.evidence import evidence
from resight.match.stage import match
from resight.pairs.plan import PairGrid
from resight.run.names import stage_names
from resight.run.setups import match_setup
from resight.settings import settings_from


def picture(seed: int) -> np.ndarray:
    """(471, 313, 4) uint8, blotches, with an alpha that is opaque."""
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.integers(0, 256, (471, 313), dtype=np.uint8), (0, 0), 3)
    grey = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX)
    return np.dstack([grey, grey, grey, np.full_like(grey, 255)])


@pytest.mark.parametrize("kind", ["sift", "orb"])
def test_a_shifted_picture_is_recognised(env: Environment, kind: str) -> None:
    pictures = {
        "a": picture(1),
        "b": np.roll(picture(1), (15, 9), (0, 1)),
        "c": picture(2),
        "d": np.full_like(picture(1), 90),
    }
    rows = []
    for name, bgra in pictures.items():
        path = env.workspace.root / "store" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), bgra)
        rows.append({"crop_id": name, "photo_id": f"p{name}", "path": f"store/{name}.png", "status": "ok"})
    settings = settings_from({"extract": {"kind": kind, "max_keypoints": 300}})
    names, setup = stage_names(settings, env.weights), match_setup(settings)
    features = extract(env, settings.extract, names.extract, pa.Table.from_pylist(rows)).features
    info = pa.table(
        {
            "crop_id": features["crop_id"],
            "photo_id": features["photo_id"],
            "encounter_id": features["photo_id"],
            "viewpoint": ["left"] * 4,
            "feature_status": features["status"],
        }
    )
    grid = PairGrid.between(
        info.slice(0, 1), info, policy=settings.pairs, purpose="identify", forbid_same_encounter=False
    )
    plan = grid.plan()
    result = match(env, setup, names.match, plan.pairs, features)
    assert result.n_matched == 2
    by_gallery = {row["gallery_crop_id"]: row for row in result.pairs.to_pylist()}
    assert {g: row["status"] for g, row in by_gallery.items()} == {"b": "scored", "c": "scored"}
    assert sorted(plan.left_out["status"].to_pylist()) == ["excluded_by_policy", "no_features"]
    assert by_gallery["b"]["n_inliers"] > 10 * max(1, by_gallery["c"]["n_inliers"])
    shown = evidence(env, setup, names.match, [("b", "a")], features)["b", "a"]
    moved = (shown.xy_a_px - shown.xy_b_px)[shown.inlier]
    np.testing.assert_allclose(np.median(moved, axis=0), [9, 15], atol=0.5)
