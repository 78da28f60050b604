"""Settings of stage ``score``."""

from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Params, expert_field


class ScoreParams(Params):
    """How the matches of two photos become one number."""

    label: ClassVar[str] = "score"

    name: str = Field("mean", description="the score that orders candidates; `resight doctor` lists them")
    null_pairs: int = expert_field(
        2000, ge=0, description="most pairs of different animals that the null distribution is learned from"
    )
    bins: int = expert_field(
        64, ge=8, le=256, description="bins of the stored histogram of match confidences over (0, 1]"
    )
    calibration: Literal["auto", "logistic", "beta", "isotonic"] = expert_field(
        "auto",
        description="how fused evidence becomes a probability; auto: what is best on held-out animals, if there are enough",
    )
