"""Settings of the embedding and of its training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from resight.plugins.params import Params

QUICK_STEPS = 60


class EmbeddingRecipe(Params):
    """A compact ConvNeXt and how it is trained; whatever is in here changes the weights, but ``save_every_s``."""

    revision: ClassVar[int] = 1

    side_px: int = Field(96, ge=32, multiple_of=32, description="side of the square pictures")
    widths: tuple[int, ...] = Field((32, 64, 128, 256), description="channels of each stage")
    depths: tuple[int, ...] = Field((1, 1, 3, 1), description="blocks of each stage")
    dim: int = Field(128, ge=2, description="length of the embedding")
    steps: int = Field(1500, ge=1, description="training steps")
    classes_per_batch: int = Field(8, ge=2, description="animals (and mirrored animals) in a batch")
    crops_per_class: int = Field(4, ge=2, description="crops of each")
    learning_rate: float = Field(1e-3, gt=0, description="highest one; AdamW, warm-up and cosine")
    weight_decay: float = Field(0.05, ge=0, description="of AdamW")
    margin: float = Field(0.25, gt=0, lt=1, description="circle loss")
    gamma: float = Field(64.0, gt=0, description="circle loss")
    bfloat16: bool = Field(False, description="half precision for the network's products")
    init: str = Field("", description="path of weights of the same network to begin with; empty begins at random")
    seed: int = Field(0, ge=0, description="same seed, same weights")
    save_every_s: float = Field(30.0, gt=0, description="a killed training loses at most this many seconds")

    @model_validator(mode="after")
    def _stages_fit(self) -> EmbeddingRecipe:
        if len(self.widths) != len(self.depths) or not self.widths:
            raise ValueError(f"{len(self.widths)} widths and {len(self.depths)} depths: give one of each per stage")
        return self

    def weight_names(self) -> list[str]:
        return [self.init] if self.init else []
