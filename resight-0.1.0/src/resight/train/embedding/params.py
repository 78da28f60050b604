"""Settings of the embedding and of its training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from resight.embed.weights import BUNDLED
from resight.plugins.params import Params

QUICK_STEPS = 20
IMAGENET = "efficientnet-lite0-imagenet"


class EmbeddingRecipe(Params):
    """EfficientNet-Lite0 and how it is trained; whatever is in here changes the weights, but ``save_every_s``."""

    revision: ClassVar[int] = 2

    first_px: int = Field(
        96,
        ge=32,
        multiple_of=32,
        description="side of the square pictures in the first 60 % of the training, where it is cheap",
    )
    side_px: int = Field(
        128, ge=32, multiple_of=32, description="side of the square pictures in the rest of the training"
    )
    view_px: int = Field(128, ge=32, multiple_of=32, description="side of the square pictures in use")
    kept_px: int = Field(192, ge=32, description="side of the pictures that are read once and varied in each step")
    width: float = Field(1.0, gt=0, le=1, description="share of the channels of EfficientNet-Lite0")
    dim: int = Field(256, ge=2, description="length of the embedding")
    frozen_blocks: int = Field(
        3, ge=0, le=16, description="blocks from the front that stay as they began, with the stem"
    )
    steps: int = Field(400, ge=1, description="training steps")
    crops_per_step: int = Field(48, ge=2, description="crops in a step")
    learning_rate: float = Field(4e-4, gt=0, description="highest one; AdamW, warm-up and cosine")
    head_rate: float = Field(10.0, gt=0, description="times that rate for the last layer and the animals' centres")
    weight_decay: float = Field(0.02, ge=0, description="of AdamW")
    margin: float = Field(0.3, ge=0, lt=1, description="cosine by which the own animal must be nearer than any other")
    scale: float = Field(24.0, gt=0, description="of the cosines before the softmax")
    keep: float = Field(0.99, ge=0, lt=1, description="share of the running mean of the weights that a step keeps")
    init: str = Field(
        BUNDLED,
        description="weights to begin with, a name, or a path of weights of the same network; empty begins at random",
    )
    seed: int = Field(0, ge=0, description="same seed, same weights")
    save_every_s: float = Field(60.0, gt=0, description="a killed training loses at most this many seconds")

    def weight_names(self) -> list[str]:
        return [self.init] if self.init else []
