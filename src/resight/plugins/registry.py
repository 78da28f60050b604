"""All kinds that a stage can choose from, built-in or from another package.

A new kind of ours is one file and one line here. Another package adds its own through an entry point in the group of the
registry, e.g. in its ``pyproject.toml``::

    [project.entry-points."resight.extractors"]
    my-extractor = "my_package:MyParams"

An entry point (or a line here) loads one kind or a tuple of several: a class with a default ``kind`` for extractors, segmenters
and matchers, an object with a ``name`` for scores and compare methods. Nothing is imported before somebody asks.
"""

import difflib
import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from resight.errors import SettingsError
from resight.plugins.params import Params

Kind = TypeVar("Kind")


class Registry(Mapping[str, Kind]):
    """Kinds of one stage by name: the built-in ones in the order listed, then those of other packages by name.

    All are loaded when somebody first looks.

    Attributes:
        what: What one of them is called, e.g. ``extractor``.
        group: Entry points of this group are read.

    Raises:
        SettingsError: On the first look: a plug-in cannot be loaded, is no kind, or has the name of another one; names its
            package and the cure.
    """

    def __init__(self, what: str, group: str, built_in: tuple[str, ...]) -> None:
        self.what, self.group, self._lines = what, group, built_in

    def __getitem__(self, name: str) -> Kind:
        """The kind of that name.

        Raises:
            SettingsError: There is none; names the nearest.
        """
        if name in self._all:
            return self._all[name]
        near = difflib.get_close_matches(name, self._all, n=1, cutoff=0.4)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        raise SettingsError(f"There is no {self.what} '{name}'{hint} There are {', '.join(self._all)}.")

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def built_in(self) -> dict[str, Kind]:
        """The kinds of this package alone."""
        return {_name(kind): kind for line in self._lines for kind in _several(_load(line))}

    @cached_property
    def _all(self) -> dict[str, Kind]:
        kinds = dict(self.built_in)
        packages = dict.fromkeys(kinds, "resight")
        added = [(kind, point) for point in entry_points(group=self.group) for kind in self._from(point)]
        for kind, point in sorted(added, key=lambda pair: _name(pair[0])):
            name, package = _name(kind), _package(point)
            if name in kinds:
                raise SettingsError(
                    f"The packages {packages[name]} and {package} both offer the {self.what} '{name}'; uninstall one of them "
                    f"(pip uninstall {package}), or ask its makers for another name."
                )
            kinds[name], packages[name] = kind, package
        return kinds

    def _from(self, point: EntryPoint) -> tuple[Kind, ...]:
        try:
            kinds = _several(point.load())
            names = [_name(kind) for kind in kinds]
        except Exception as error:  # whatever a foreign package does wrong
            raise self._broken(point, " ".join(f"{type(error).__name__}: {error}".split())) from error
        if not kinds or not all(isinstance(name, str) and name for name in names):
            raise self._broken(point, "it has no name, which is the default of `kind` or the attribute `name`")
        return kinds

    def _broken(self, point: EntryPoint, reason: str) -> SettingsError:
        package = _package(point)
        return SettingsError(
            f"The {self.what} '{point.name}' of the package {package} cannot be used ({reason}); update that package "
            f"(pip install --upgrade {package}) or remove it (pip uninstall {package})."
        )


def _load(line: str) -> Any:
    module, _, attribute = line.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _several(loaded: Any) -> tuple[Any, ...]:
    return tuple(loaded) if isinstance(loaded, tuple | list) else (loaded,)


def _name(kind: Any) -> Any:
    return kind.model_fields["kind"].default if isinstance(kind, type) and issubclass(kind, Params) else kind.name


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value.partition(".")[0]


EXTRACTORS: Registry[type[Params]] = Registry(
    "extractor",
    "resight.extractors",
    (
        "resight.extract.kinds.sift:SiftParams",
        "resight.extract.kinds.orb:OrbParams",
        "resight.extract.kinds.xfeat:XFeatParams",
        "resight.extract.kinds.aliked:AlikedParams",
        "resight.extract.kinds.disk:DiskParams",
        "resight.extract.kinds.dedode:DedodeParams",
        "resight.extract.kinds.hardnet:DogHardnetParams",
        "resight.extract.kinds.hardnet:KeynetHardnetParams",
        "resight.extract.kinds.superpoint:SuperpointParams",
    ),
)
SEGMENTERS: Registry[type[Params]] = Registry(
    "segmenter",
    "resight.segmenters",
    (
        "resight.segment.kinds.auto:AutoParams",
        "resight.segment.kinds.head_finder:HeadFinderParams",
        "resight.segment.kinds.annotations:AnnotationsParams",
        "resight.segment.kinds.grabcut:GrabCutParams",
        "resight.segment.kinds.whole:WholeParams",
        "resight.segment.kinds.yolo_onnx:YoloOnnxParams",
        "resight.segment.kinds.open_vocabulary:OpenVocabularyParams",
        "resight.segment.kinds.sam:SamParams",
    ),
)
MATCHERS: Registry[type[Params]] = Registry(
    "matcher",
    "resight.matchers",
    (
        "resight.match.kinds.nearest:NearestParams",
        "resight.match.kinds.lightglue:LightGlueParams",
    ),
)
SCORES: Registry[Any] = Registry(
    "score",
    "resight.scores",
    (
        "resight.score.kinds.confidences:SCORES",
        "resight.score.kinds.null:SCORES",
        "resight.score.kinds.evidence:SCORES",
    ),
)
COMPARE_METHODS: Registry[Any] = Registry(
    "method",
    "resight.compare_methods",
    (
        "resight.compare.kinds.local:METHODS",
        "resight.compare.kinds.pipeline:METHODS",
        "resight.compare.kinds.votes:METHODS",
        "resight.compare.kinds.loftr:METHODS",
        "resight.compare.kinds.trained:METHODS",
        "resight.compare.kinds.timm:METHODS",
        "resight.compare.kinds.ssim:METHODS",
    ),
)
GROUPS = tuple(registry.group for registry in (EXTRACTORS, SEGMENTERS, MATCHERS, SCORES, COMPARE_METHODS))
