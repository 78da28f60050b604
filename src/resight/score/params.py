"""Settings of stage ``score``."""

from typing import Literal

from pydantic import Field

from resight.plugins.params import Params


class ScoreParams(Params):
    """How a distribution of confidences becomes one number."""

    name: str = Field("mean", description="score that ranks; see `resight doctor` for the list")
    null_pairs: int = Field(
        2000, ge=0, description="pairs of different animals that make up the null distribution, at most"
    )
    bins: int = Field(64, ge=8, le=256, description="bins of the stored histogram of confidences over (0, 1]")
    calibration: Literal["auto", "logistic", "beta", "isotonic"] = Field(
        "auto",
        description="how fused evidence becomes a probability; auto: what is best on held-out animals, if there are enough",
    )
