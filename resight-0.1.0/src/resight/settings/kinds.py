"""The sections whose settings are those of a kind: which registry each reads, and their types for `Settings`."""

from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from resight.errors import SettingsError
from resight.plugins.params import Params
from resight.plugins.registry import EXTRACTORS, MATCHERS, SEGMENTERS, Registry

KINDS: dict[str, Registry[type[Params]]] = {"segment": SEGMENTERS, "extract": EXTRACTORS, "match": MATCHERS}


def refuse_broken_plugins() -> None:
    """Say what is wrong with a plug-in before any setting is read.

    Raises:
        SettingsError: See `Registry`.
    """
    for registry in KINDS.values():
        len(registry)


def _one_of(registry: Registry[type[Params]]) -> Any:
    try:
        kinds = dict(registry)
    except SettingsError:  # `refuse_broken_plugins` reports it: an import must not fail with a traceback
        kinds = registry.built_in
    return Annotated[Union[tuple(kinds.values())], Field(discriminator="kind")]  # noqa: UP007 (built at run time)


if TYPE_CHECKING:  # a union that is built at run time is no type to a checker
    SegmenterParams = Any
    ExtractorParams = Any
    MatcherParams = Any
else:
    SegmenterParams = _one_of(SEGMENTERS)
    ExtractorParams = _one_of(EXTRACTORS)
    MatcherParams = _one_of(MATCHERS)
