"""The plug-ins by stage. A new one is a class in its stage's ``params.py`` (or another package) and one line here.

Another package adds its own through an entry point in the group ``resight.segmenters``, ``resight.extractors`` or
``resight.matchers`` that loads a ``Params`` class with a ``kind`` and a ``build``.
"""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from resight.extract import params as extract
from resight.match import params as match
from resight.plugins.params import Params
from resight.segment import params as segment

SEGMENTERS: list[type[Params]] = [
    segment.AutoParams,
    segment.HeadFinderParams,
    segment.AnnotationsParams,
    segment.GrabCutParams,
    segment.WholeParams,
    segment.YoloOnnxParams,
    segment.OpenVocabularyParams,
    segment.SamParams,
]
EXTRACTORS: list[type[Params]] = [
    extract.SiftParams,
    extract.OrbParams,
    extract.XFeatParams,
    extract.AlikedParams,
    extract.DiskParams,
    extract.DedodeParams,
    extract.DogHardnetParams,
    extract.KeynetHardnetParams,
    extract.SuperpointParams,
]
MATCHERS: list[type[Params]] = [match.NearestParams, match.LightGlueParams]


def _with_plugins(group: str, built_in: list[type[Params]]) -> list[type[Params]]:
    return built_in + [point.load() for point in sorted(entry_points(group=group), key=lambda p: p.name)]


def _one_of(classes: list[type[Params]]) -> Any:
    return Annotated[Union[tuple(classes)], Field(discriminator="kind")]  # noqa: UP007 (built at run time)


if TYPE_CHECKING:  # a union that is built at run time is no type to a checker
    SegmenterParams = Any
    ExtractorParams = Any
    MatcherParams = Any
else:
    SegmenterParams = _one_of(_with_plugins("resight.segmenters", SEGMENTERS))
    ExtractorParams = _one_of(_with_plugins("resight.extractors", EXTRACTORS))
    MatcherParams = _one_of(_with_plugins("resight.matchers", MATCHERS))
