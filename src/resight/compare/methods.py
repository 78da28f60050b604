"""The rows of the comparison. A new one is an entry here."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from resight.compare.base import Family, Method
from resight.compare.local import LocalMethod
from resight.compare.params import LoftrParams, SsimParams
from resight.compare.pictures import PictureMethod
from resight.compare.timm_model import PREFIX, timm_method
from resight.compare.trained import TrainedMethod
from resight.compare.votes import VotesMethod
from resight.errors import SettingsError
from resight.extract.params import (
    AlikedParams,
    DiskParams,
    DogHardnetParams,
    ExtractorBase,
    SiftParams,
    SuperpointParams,
    XFeatParams,
)
from resight.match.params import (
    BUNDLED_KEYPOINTS,
    BUNDLED_LIGHTGLUE,
    LightGlueParams,
    NearestParams,
    VerifyParams,
)
from resight.train.embedding.params import EmbeddingRecipe

DEFAULT_TIMM = "convnext_nano.in12k_ft_in1k"
TRAINED = "convnext-circle"
BUNDLED_METHOD = "sift-lightglue-turtle"


def _glued(name: str, title: str, extract: ExtractorBase, weights: str = "", *, quick: bool = False) -> LocalMethod:
    """LightGlue, ranked by the mean confidence."""
    return LocalMethod(name, title, Family.LOCAL, quick, extract, LightGlueParams(weights=weights), "mean")


def _bundled() -> LocalMethod:
    """What `resight init` chooses without downloads, ranked by the matches that agree with an affine map.

    The pipeline then holds those against what the same photos have with other animals; here no method learns from the gallery.
    """
    title = "SIFT + the bundled LightGlue + affine verification"
    extract = SiftParams(max_keypoints=BUNDLED_KEYPOINTS)
    return LocalMethod(BUNDLED_METHOD, title, Family.LOCAL, True, extract, BUNDLED_LIGHTGLUE, "inliers")


def _nearest(name: str, title: str, extract: ExtractorBase, *, verified: bool = False) -> LocalMethod:
    """Mutual nearest neighbours that pass the ratio test, ranked by their number or by those that agree with a homography."""
    match = NearestParams(verify=VerifyParams(model="homography" if verified else "none"))
    return LocalMethod(name, title, Family.LOCAL, True, extract, match, "inliers" if verified else "count")


_ALL: tuple[Method, ...] = (
    _glued("sift-lightglue", "SIFT + LightGlue", SiftParams()),
    _bundled(),
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
    VotesMethod("sift-lnbnn", "SIFT, LNBNN votes alone", Family.VOTES, True, SiftParams()),
    PictureMethod("loftr", "LoFTR", Family.DENSE, False, LoftrParams()),
    TrainedMethod(TRAINED, "ConvNeXt, circle loss, trained here", Family.GLOBAL, True),
    timm_method(f"{PREFIX}{DEFAULT_TIMM}"),
    PictureMethod("ssim", "SSIM", Family.PIXELS, True, SsimParams()),
)  # fmt: skip
METHODS: dict[str, Method] = {one.name: one for one in _ALL}


def chosen(names: Sequence[str], quick: bool = False, recipe: EmbeddingRecipe | None = None) -> list[Method]:
    """The methods of those names in the order given, all where none are; each once.

    Args:
        names: From `METHODS`, or ``timm:MODEL`` or ``timm:MODEL=FILE``.
        quick: Train the embedding for about a minute only, where it was not trained before.
        recipe: How the embedding is trained.

    Raises:
        SettingsError: A name is unknown; names the nearest.
    """
    methods = [_method(name) for name in dict.fromkeys(names)] if names else list(METHODS.values())
    return [_prepared(one, quick, recipe) for one in methods]


def _method(name: str) -> Method:
    if name.startswith(PREFIX) and name not in METHODS:
        return timm_method(name)
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise SettingsError(f"There is no method '{name}'; {hint}Known are {', '.join(METHODS)}, and {PREFIX}MODEL.")
    return METHODS[name]


def _prepared(method: Method, quick: bool, recipe: EmbeddingRecipe | None) -> Method:
    if not isinstance(method, TrainedMethod):
        return method
    return replace(method, recipe=recipe or method.recipe, shorten=quick)
