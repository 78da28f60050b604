"""What `resight init` chooses, from the weights that are at hand."""

from dataclasses import dataclass, field
from typing import Any

from resight.match.kinds.lightglue import (
    BUNDLED_DECIDE_KNOWN,
    BUNDLED_KEYPOINTS,
    BUNDLED_LIGHTGLUE,
    SURE_AFFINE,
    VERIFIED_SCORE,
    LightGlueParams,
)
from resight.weights.store import WeightStore


@dataclass(frozen=True)
class Choice:
    """What `init` chose and why."""

    extract: dict[str, Any]
    match: dict[str, Any]
    score: dict[str, Any]
    why: str
    # A large gallery's shortlist keeps the right animal clearly more often with vectors than by votes alone (docs/measurements.md).
    embed: dict[str, Any] = field(default_factory=lambda: {"enabled": "auto"})
    novelty: dict[str, Any] = field(default_factory=dict)

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """What is set, by section of the settings file."""
        return {name: getattr(self, name) for name in ("extract", "embed", "match", "novelty", "score")}


# Needed weights, and the extractor whose keypoints the last of them matches; the first that is there is taken.
OFFICIAL = (
    (("lightglue-sift",), "sift"),
    (("aliked-n16", "lightglue-aliked"), "aliked"),
    (("xfeat", "lighterglue-xfeat"), "xfeat"),
)


def choose(weights: WeightStore) -> Choice:
    """Official LightGlue where its weights were fetched, otherwise the bundled one, which needs no download.

    Either ranks by the matches that agree with one geometry, relative to those that the same photos have with other animals:
    that named more loggerheads than the mean confidence or fused evidence, and with the bundled one grades did more than numbers
    (docs/measurements.md).
    """
    for needed, kind in OFFICIAL:
        if all(weights.available(name) for name in needed):
            match = LightGlueParams(weights=needed[-1], verify=SURE_AFFINE)
            why = f"the weights {' and '.join(needed)} were found on this machine"
            return Choice({"kind": kind}, _written(match), {"name": VERIFIED_SCORE}, why)
    return Choice(
        {"kind": "sift", "max_keypoints": BUNDLED_KEYPOINTS},
        _written(BUNDLED_LIGHTGLUE),
        {"name": VERIFIED_SCORE},
        "its weights come with the package, and no official LightGlue weights were found on this machine "
        "(`resight weights list`)",
        novelty={"decide_known": BUNDLED_DECIDE_KNOWN},
    )


def _written(match: LightGlueParams) -> dict[str, Any]:
    return {"kind": "lightglue"} | match.model_dump(exclude_defaults=True)
