"""Settings of the embedding in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from resight.plugins.params import Params, expert_field

BUNDLED = "embedding-turtle"
VERSION = 1


class EmbedParams(Params):
    """One vector per crop, made once, by which a gallery of any size is searched in no time."""

    label: ClassVar[str] = "embed"

    enabled: bool = Field(
        False,
        description="whether every crop gets a vector; a shortlist is then made of votes and vectors together",
    )
    weights: str = expert_field(
        BUNDLED, description="of the network: a name, or the path of a file from `resight train embedding`"
    )

    def weight_names(self) -> list[str]:
        return [self.weights] if self.enabled else []

    def vectors_name(self, digests: Sequence[str], crops_name: str) -> str:
        """Name of the vectors that the network whose weights have these digests makes of the crops of that name."""
        return self.name_within(set(), list(digests), crops_name, VERSION)
