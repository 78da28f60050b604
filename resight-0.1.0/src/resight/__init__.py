"""Resight: which sea turtle is this, or has nobody seen it before?

What stands in ``__all__`` is the public face, for notebooks and other programs; everything else may change without notice.
``import resight`` loads none of it: a name brings its module along when it is first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resight.environment import Environment
    from resight.errors import (
        BrokenCountError,
        DeviceError,
        LeakError,
        MissingWeightsError,
        NothingToMeasure,
        ResightError,
        SettingsError,
        WeightsError,
        WorkspaceError,
    )
    from resight.export.sightings import read_sightings
    from resight.extract.base import Extractor, Features
    from resight.extract.params import ExtractorBase
    from resight.extract.reader import FeatureReader
    from resight.flows.evaluation import run_accuracy, run_evaluate
    from resight.flows.identify import identify
    from resight.flows.nightly import run_nightly
    from resight.flows.past import run_past
    from resight.flows.rebuild import run_rebuild
    from resight.match.base import Matcher, PairMatch
    from resight.match.evidence import Evidence
    from resight.match.params import MatcherBase
    from resight.plugins.params import Params
    from resight.reading import (
        EncounterRows,
        RunResults,
        open_generation,
        open_run,
        read_attempts,
        read_features,
        read_pairs,
    )
    from resight.score.base import Score
    from resight.segment.base import Photo, Region, Segmenter
    from resight.segment.params import SegmenterBase
    from resight.settings import Settings, load_settings
    from resight.store.generations import Generation
    from resight.store.workspace import Workspace, open_workspace
    from resight.version import __version__

__all__ = [
    "BrokenCountError", "DeviceError", "EncounterRows", "Environment", "Evidence", "Extractor", "ExtractorBase", "FeatureReader",
    "Features", "Generation", "LeakError", "Matcher", "MatcherBase", "MissingWeightsError", "NothingToMeasure",
    "PairMatch", "Params", "Photo", "Region", "ResightError", "RunResults", "Score", "Segmenter", "SegmenterBase",
    "Settings", "SettingsError", "WeightsError", "Workspace", "WorkspaceError", "__version__", "identify", "load_settings",
    "open_generation", "open_run", "open_workspace", "read_attempts", "read_features", "read_pairs", "read_sightings", "run_accuracy",
    "run_evaluate",
    "run_nightly", "run_past", "run_rebuild",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker would take everything for an attribute of a module with __getattr__
    _MODULES = {
        "environment": "Environment",
        "errors": "BrokenCountError DeviceError LeakError MissingWeightsError NothingToMeasure ResightError SettingsError "
        "WeightsError WorkspaceError",
        "export.sightings": "read_sightings",
        "extract.base": "Extractor Features",
        "extract.params": "ExtractorBase",
        "extract.reader": "FeatureReader",
        "flows.evaluation": "run_accuracy run_evaluate",
        "flows.identify": "identify",
        "flows.nightly": "run_nightly",
        "flows.past": "run_past",
        "flows.rebuild": "run_rebuild",
        "match.base": "Matcher PairMatch",
        "match.evidence": "Evidence",
        "match.params": "MatcherBase",
        "plugins.params": "Params",
        "reading": "EncounterRows RunResults open_generation open_run read_attempts read_features read_pairs",
        "score.base": "Score",
        "segment.base": "Photo Region Segmenter",
        "segment.params": "SegmenterBase",
        "settings": "Settings load_settings",
        "store.generations": "Generation",
        "store.workspace": "Workspace open_workspace",
        "version": "__version__",
    }
    _MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

    def __getattr__(name):
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'resight' has no attribute '{name}'")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"resight.{_MODULE_OF[name]}"), name)
        return value

    def __dir__():
        return sorted(__all__)
