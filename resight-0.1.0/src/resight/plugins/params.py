"""The base of every settings group."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from resight.plugins.earlier import Earlier, earlier
from resight.store.fingerprint import fingerprint

Affects = Literal["model", "run", "execution"]


class Params(BaseModel):
    """Frozen settings that refuse unknown keys.

    ``revision`` is raised when the algorithm behind them changes, **and when the default of a setting changes**: names of
    outputs hold only the settings that differ from their default, so that a new setting renames nothing. ``label`` stands
    for the group in names, whatever its class is called; groups with a ``kind`` are known by that.

    ``affects`` says what a change of these settings does: another *model* (its results have to be accepted first), another
    *run* under the same model, or the same results made elsewhere or faster (*execution*). A field may differ from its group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    revision: ClassVar[int] = 1
    label: ClassVar[str] = ""
    affects: ClassVar[Affects] = "model"

    @model_validator(mode="before")
    @classmethod
    def _keep_the_rest_of_groups(cls, data: Any) -> Any:
        """Of a group within, settings that are not given are what is usual here, which its own class may not know."""
        if not isinstance(data, dict):
            return data
        return {name: _laid_over(_usual(cls, name), value) for name, value in data.items()}

    def weight_names(self) -> list[str]:
        """Weights (registry name or path) that this plug-in loads; their digests enter the name of its output."""
        return []

    def output_name(self, *upstream: Any) -> str:
        """Name of the output under these settings.

        Args:
            upstream: Weight digests, the name of the stage before, and whatever else decides the output, in plain values.

        Raises:
            TypeError: The group has neither ``kind`` nor ``label``.
        """
        return self.name_within(None, *upstream)

    def name_within(self, fields: set[str] | None, *upstream: Any) -> str:
        """`output_name` where only some of the settings decide the output."""
        then = self.earlier(fields)
        if then is not None:
            return fingerprint(then.class_name, then.revision, then.settings, *upstream)
        return fingerprint(self._label(), self.revision, self.differing(fields), *upstream)

    def in_names(self) -> Any:
        """What stands for these settings in the name of an output that more than they decide."""
        then = self.earlier()
        return [self._label(), self.revision, self.differing()] if then is None else then.settings

    def earlier(self, fields: set[str] | None = None) -> Earlier | None:
        """How these settings stand in names since before 2026-11-28; None if they could not be made then."""
        values = self.model_dump(mode="json", include=fields)
        return earlier(self._label(), self.revision, values, self.differing(fields))

    def differing(self, fields: set[str] | None = None, usual: Params | None = None) -> dict[str, Any]:
        """The settings that differ from their default, in plain values; groups within as ``[revision, settings]``.

        Args:
            fields: Only these.
            usual: Counts as default, where a larger group sets another one.
        """
        values = self.model_dump(mode="json")
        differing: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            if fields is not None and name not in fields:
                continue
            value, default = getattr(self, name), getattr(usual, name) if usual else field.default
            if isinstance(value, Params):
                inner = value.standing_for(default)
                differing |= {name: inner} if inner else {}
            elif value != default:
                differing[name] = values[name]
        return differing

    def standing_for(self, usual: Any, fields: set[str] | None = None) -> list[Any]:
        """What stands for a group within a larger one; empty where it is what is usual there."""
        if type(self) is not type(usual):
            return [self._label(), self.revision, self.differing(fields)]
        differing = self.differing(fields, usual)
        return [self.revision, differing] if differing or self.revision > 1 else []

    def _label(self) -> str:
        kind = type(self).model_fields.get("kind")
        label: str = self.label if kind is None else kind.default
        if not label:
            raise TypeError(f"{type(self).__name__} needs a `kind` or a `label`: it stands for the class in names")
        return label

    @classmethod
    def fields_affecting(cls, *what: Affects) -> set[str]:
        """Names of the fields whose change has one of these effects."""
        return {name for name in cls.model_fields if (_marks(cls, name).get("affects") or cls.affects) in what}

    @classmethod
    def is_expert(cls, name: str) -> bool:
        """Whether a field is for people who know the algorithm; the others are what a field team sets."""
        return bool(_marks(cls, name).get("expert"))


def expert_field(default: Any = ..., *, affects: Affects | None = None, **how: Any) -> Any:
    """A pydantic field that no field team needs to set. ``how`` goes to `pydantic.Field`."""
    return Field(default, json_schema_extra={"expert": True, "affects": affects}, **how)


def _usual(group: type[BaseModel], name: str) -> Any:
    """Plain values of the default of a field that is a group of one class; None for other fields."""
    field = group.model_fields.get(name)
    same = field is not None and isinstance(field.default, Params) and field.annotation is type(field.default)
    return field.default.model_dump() if field is not None and same else None


def _laid_over(usual: Any, given: Any) -> Any:
    if not isinstance(usual, dict) or not isinstance(given, dict):
        return given
    return usual | {name: _laid_over(usual.get(name), value) for name, value in given.items()}


def _marks(group: type[BaseModel], name: str) -> dict[str, Any]:
    extra = group.model_fields[name].json_schema_extra
    return extra if isinstance(extra, dict) else {}
