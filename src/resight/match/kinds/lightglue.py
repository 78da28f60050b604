"""LightGlue (Lindenberger et al., ICCV 2023): its settings; checkpoints, engine and backends are in ``resight.match``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from resight.match.params import GRADED, MatcherBase, VerifyParams
from resight.match.presets import families_of
from resight.plugins.params import expert_field
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    from resight.match.base import Matcher

BUNDLED = "lightglue-sift-turtle-2"  # was trained on none of the animals that measure
BUNDLED_FIRST = "lightglue-sift-turtle"  # of the same shape, the default until 2026-11-30 (docs/matcher.md)
# What has measured best with every LightGlue, and with the bundled one: `resight init` takes it from here.
SURE_AFFINE = VerifyParams(model="affine", threshold_px=8.0, min_confidence=0.1)
GRADED_AFFINE = SURE_AFFINE.model_copy(update={"model": GRADED})
VERIFIED_SCORE = "snorm_inliers"


class LightGlueParams(MatcherBase):
    """LightGlue (Lindenberger et al., ICCV 2023): published weights, or a file of your own of any width and number of layers."""

    revision: ClassVar[int] = 2
    kind: Literal["lightglue"] = "lightglue"
    weights: str = Field("", description="registry name or path; empty: the official ones for the extractor")
    families: tuple[str, ...] = expert_field(
        (), description="descriptor families that the checkpoint reads; empty: what its name says"
    )
    backend: Literal["resight", "kornia", "lightglue"] = expert_field(
        "resight",
        description="resight: the package's own fast and exact engine; kornia, or an installed lightglue package: pair by pair",
    )
    precision: Literal["float32", "float16", "bfloat16"] = expert_field(
        "float32",
        description="number format of the engine; the short ones are for GPUs and change scores by a few percent",
    )
    compiled: bool = expert_field(
        False, description="torch.compile per batch shape, on cuda as CUDA graphs: minutes each, then somewhat faster"
    )
    depth_confidence: float = expert_field(
        -1.0, description="stop after fewer layers when this confident; -1: never, which keeps scores comparable"
    )
    width_confidence: float = expert_field(
        -1.0, description="drop hopeless keypoints when this confident; -1: never, which keeps scores comparable"
    )
    verify: VerifyParams = VerifyParams(model="none")
    halving: tuple[tuple[int, float], ...] = expert_field(
        (),
        description="rounds of (layers, share kept): after so many layers only this share of a query's candidates is matched "
        "further; () is off; needs a checkpoint with a trained head at those layers",
    )

    @model_validator(mode="after")
    def _rounds_fit(self) -> LightGlueParams:
        layers = [layer for layer, _ in self.halving]
        if layers != sorted({*layers}) or min(layers, default=1) < 1:
            raise ValueError(
                f"match.halving = {_shown(self.halving)}: the layers of its rounds must rise and start at 1 or later"
            )
        if not all(0 < share < 1 for _, share in self.halving):
            raise ValueError(
                f"match.halving = {_shown(self.halving)}: each share kept must lie between 0 and 1, both excluded"
            )
        if self.halving and self.backend != "resight":
            raise ValueError(f"match.halving needs match.backend = 'resight', not '{self.backend}'; change one of them")
        if self.halving and self.exits_early:
            raise ValueError(
                "match.halving cannot be combined with early exit or point pruning; set match.depth_confidence = match.width_confidence = -1"
            )
        if self.halving and self.verify.model != "none":
            raise ValueError("match.halving looks at no single match; set match.verify.model = 'none'")
        return self

    @property
    def exits_early(self) -> bool:
        """Whether pairs may stop before the last layer or lose keypoints on the way, which needs the heads of inner layers."""
        return self.depth_confidence > 0 or self.width_confidence > 0

    def weight_names_for(self, family: str) -> list[str]:
        """The checkpoint for this descriptor family."""
        return [self.weights or f"lightglue-{family}"]

    def accepts(self, family: str) -> bool:
        """Whether the checkpoint was trained for these descriptors."""
        return family in families_of(self, family)

    def build(self, weights: WeightStore, family: str, device: str) -> Matcher:
        from resight.match.lightglue import build_lightglue

        return build_lightglue(self, weights, family, device)


def _shown(rounds: tuple[tuple[int, float], ...]) -> str:
    """As it is written in the settings file."""
    return str([list(pair) for pair in rounds])


# What comes with the package, and how it measures best: `resight init` and `resight compare` take it from here.
BUNDLED_LIGHTGLUE = LightGlueParams(weights=BUNDLED, verify=GRADED_AFFINE)
BUNDLED_KEYPOINTS = 512
# Its scores tell animals apart so well that a name may ask for more than elsewhere: on 36 loggerheads that did not train it, the highest
# limit that names four fifths of the right ones (docs/measurements.md).
BUNDLED_DECIDE_KNOWN = 0.925
