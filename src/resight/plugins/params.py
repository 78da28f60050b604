"""The base of every settings group."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from resight.store.fingerprint import fingerprint

Affects = Literal["model", "run", "execution"]


class Params(BaseModel):
    """Frozen settings that refuse unknown keys. ``revision`` is raised when the algorithm behind them changes.

    ``affects`` says what a change of these settings does: another *model* (its results have to be accepted first), another
    *run* under the same model, or the same results made elsewhere or faster (*execution*). A field may differ from its group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    revision: ClassVar[int] = 1
    affects: ClassVar[Affects] = "model"

    def weight_names(self) -> list[str]:
        """Weights (registry name or path) that this plug-in loads; their digests enter the fingerprint."""
        return []

    def fingerprint(self, *upstream: Any) -> str:
        """Name of the output under these settings; ``upstream`` holds weight digests and the stage before."""
        return fingerprint(type(self).__name__, self.revision, self, *upstream)

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


def _marks(group: type[BaseModel], name: str) -> dict[str, Any]:
    extra = group.model_fields[name].json_schema_extra
    return extra if isinstance(extra, dict) else {}
