"""The base of every settings group."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from resight.store.fingerprint import fingerprint


class Params(BaseModel):
    """Frozen settings that refuse unknown keys. ``revision`` is raised when the algorithm behind them changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    revision: ClassVar[int] = 1

    def weight_names(self) -> list[str]:
        """Weights (registry name or path) that this plug-in loads; their digests enter the fingerprint."""
        return []

    def fingerprint(self, *upstream: Any) -> str:
        """Name of the output under these settings; ``upstream`` holds weight digests and the stage before."""
        return fingerprint(type(self).__name__, self.revision, self, *upstream)
