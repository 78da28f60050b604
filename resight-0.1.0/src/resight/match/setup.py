"""What a matcher is set to in a run, and the name of what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resight.match.params import MatcherBase


@dataclass(frozen=True)
class MatchSetup:
    """How pairs are matched.

    Attributes:
        params: Settings of the matcher.
        family: Descriptors that it reads.
        bins: Bins of the histogram of confidences that is kept of each pair.
        block_seconds: Aim for the work of one block, in seconds.
        max_block_pairs: Upper bound of a block, in pairs.
    """

    params: MatcherBase
    family: str
    bins: int
    block_seconds: float
    max_block_pairs: int

    def weight_names(self) -> list[str]:
        """Weights (registry name or path) that the matcher loads."""
        return self.params.weight_names_for(self.family)


def match_fingerprint(setup: MatchSetup, digests: Sequence[str], features_name: str, device: str) -> str:
    """Name of pair results: matcher, its weights, the features with all before them, histogram bins, kind of device.

    The device is part of it because the same network gives other last digits on another kind of device. The size of
    blocks is not: a result depends on its two crops only.
    """
    return setup.params.output_name(list(digests), features_name, setup.bins, device)
