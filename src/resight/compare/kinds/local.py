"""The combinations of extractor and matcher that have a row."""

from __future__ import annotations

from resight.compare.base import Family
from resight.compare.local import LocalMethod
from resight.extract.kinds.aliked import AlikedParams
from resight.extract.kinds.disk import DiskParams
from resight.extract.kinds.hardnet import DogHardnetParams
from resight.extract.kinds.sift import SiftParams
from resight.extract.kinds.superpoint import SuperpointParams
from resight.extract.kinds.xfeat import XFeatParams
from resight.extract.params import ExtractorBase
from resight.match.kinds.lightglue import BUNDLED_FIRST, BUNDLED_KEYPOINTS, BUNDLED_LIGHTGLUE, LightGlueParams
from resight.match.kinds.nearest import NearestParams
from resight.match.params import VerifyParams

BUNDLED_METHOD = "sift-lightglue-turtle-2"
FIRST_METHOD = "sift-lightglue-turtle"


def _glued(name: str, title: str, extract: ExtractorBase, weights: str = "", *, quick: bool = False) -> LocalMethod:
    """LightGlue, ranked by the mean confidence."""
    return LocalMethod(name, title, Family.LOCAL, quick, extract, LightGlueParams(weights=weights), "mean")


def _bundled(name: str, which: str, match: LightGlueParams) -> LocalMethod:
    """A matcher of the package, ranked by the matches that agree with an affine map, each by how well.

    The pipeline then compares those with what the same photos have with other animals; here no method learns from the gallery.
    """
    title = f"SIFT + {which} + affine verification"
    extract = SiftParams(max_keypoints=BUNDLED_KEYPOINTS)
    return LocalMethod(name, title, Family.LOCAL, True, extract, match, "inliers")


def _nearest(name: str, title: str, extract: ExtractorBase, *, verified: bool = False) -> LocalMethod:
    """Mutual nearest neighbours that pass the ratio test, ranked by their number or by those that agree with a homography."""
    match = NearestParams(verify=VerifyParams(model="homography" if verified else "none"))
    return LocalMethod(name, title, Family.LOCAL, True, extract, match, "inliers" if verified else "count")


METHODS = (
    _glued("sift-lightglue", "SIFT + LightGlue", SiftParams()),
    _bundled(BUNDLED_METHOD, "the bundled LightGlue", BUNDLED_LIGHTGLUE),
    _bundled(
        FIRST_METHOD, "the first bundled LightGlue", BUNDLED_LIGHTGLUE.model_copy(update={"weights": BUNDLED_FIRST})
    ),
    _glued("aliked-lightglue", "ALIKED + LightGlue", AlikedParams()),
    _glued("xfeat-lighterglue", "XFeat + LighterGlue, 6 layers", XFeatParams()),
    _glued(
        "xfeat-lighterglue-3", "XFeat + LighterGlue, first 3 layers", XFeatParams(), "xfeat_lighterglue_3layer",
        quick=True,
    ),
    _glued("disk-lightglue", "DISK + LightGlue", DiskParams()),
    _glued("superpoint-lightglue", "SuperPoint + LightGlue", SuperpointParams(weights="superpoint")),
    _glued("doghardnet-lightglue", "DoG-HardNet + LightGlue", DogHardnetParams()),
    _nearest("sift-nearest", "SIFT + mutual nearest neighbours", SiftParams()),
    _nearest("sift-nearest-magsac", "SIFT + mutual nearest neighbours + MAGSAC++", SiftParams(), verified=True),
    _nearest("aliked-nearest", "ALIKED + mutual nearest neighbours", AlikedParams()),
    _nearest("xfeat-nearest", "XFeat + mutual nearest neighbours", XFeatParams()),
)  # fmt: skip
