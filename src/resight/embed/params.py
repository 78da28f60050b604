"""Settings of the embedding in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Params, expert_field

BUNDLED = "embedding-turtle-2"
VERSION = 1


class EmbedParams(Params):
    """One vector per crop, made once, which narrows a large gallery down before matching."""

    label: ClassVar[str] = "embed"
    revision: ClassVar[int] = 2  # other weights by default

    enabled: bool | Literal["auto"] = Field(
        False,
        description="whether every crop gets a vector; a shortlist is then made of votes and vectors together. auto: where the gallery is "
        "so large that there is a shortlist",
    )
    weights: str = expert_field(
        BUNDLED, description="of the network: a name, or the path of a file from `resight train embedding`"
    )

    def is_on(self, shortlisted: bool) -> bool:
        """Whether crops get vectors where the gallery is ``shortlisted``, or is not."""
        return self.enabled if isinstance(self.enabled, bool) else shortlisted

    def weight_names(self) -> list[str]:
        return [self.weights] if self.enabled else []

    def vectors_name(self, digests: Sequence[str], crops_name: str) -> str:
        """Name of the vectors that the network whose weights have these digests makes of the crops of that name."""
        return self.name_within(set(), list(digests), crops_name, VERSION)
