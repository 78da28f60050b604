"""LightGlue (Lindenberger et al., ICCV 2023): its settings; checkpoints, engine and backends are in ``resight.match``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from resight.match.params import MatcherBase, VerifyParams
from resight.match.presets import families_of

if TYPE_CHECKING:
    from resight.match.base import Matcher
    from resight.weights.store import WeightStore

BUNDLED = "lightglue-sift-turtle"
# What has measured best with every LightGlue: `resight init` takes it from here.
SURE_AFFINE = VerifyParams(model="affine", threshold_px=8.0, min_confidence=0.1)
VERIFIED_SCORE = "snorm_inliers"


class LightGlueParams(MatcherBase):
    """LightGlue (Lindenberger et al., ICCV 2023): official presets, or any layer count and width with a file by path."""

    revision: ClassVar[int] = 2
    kind: Literal["lightglue"] = "lightglue"
    weights: str = Field("", description="registry name or path; empty takes lightglue-<descriptor family>")
    input_dim: int = Field(0, ge=0, description="descriptor width of the checkpoint; 0 reads it from the file")
    descriptor_dim: int = Field(0, ge=0, description="inner width; 0 reads it from the file")
    n_layers: int = Field(0, ge=0, description="layers; 0 reads them from the file")
    num_heads: int = Field(0, ge=0, description="attention heads; 0 reads them from the file")
    add_scale_ori: bool | None = Field(
        None, description="whether scale and orientation are fed; None reads it from the file"
    )
    families: tuple[str, ...] = Field(
        (), description="descriptor families that the checkpoint reads; empty: told by its name"
    )
    backend: Literal["resight", "kornia", "lightglue"] = Field(
        "resight",
        description="resight: the fast exact engine; kornia, or an installed lightglue package: pair by pair, as they come",
    )
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="of the engine's products; halves are for GPUs and move scores by percents"
    )
    compiled: bool = Field(
        False, description="torch.compile per batch shape, on cuda as CUDA graphs: minutes each, then somewhat faster"
    )
    depth_confidence: float = Field(-1.0, description="early exit; -1 is off (recorded scores want it off)")
    width_confidence: float = Field(-1.0, description="point pruning; -1 is off (recorded scores want it off)")
    verify: VerifyParams = VerifyParams(model="none")
    halving: tuple[tuple[int, float], ...] = Field(
        (),
        description="rounds (layers, share kept): after so many layers only that share of a query's candidates goes on; "
        "() is off; needs a checkpoint with a trained head at those layers",
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
        """Whether inner layers' heads are asked for."""
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
    return str([list(one) for one in rounds])


# What comes with the package, and how it measures best: `resight init` and `resight compare` take it from here.
BUNDLED_LIGHTGLUE = LightGlueParams(weights=BUNDLED, verify=SURE_AFFINE)
BUNDLED_KEYPOINTS = 512
