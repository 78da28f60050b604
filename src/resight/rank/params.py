"""Settings of stage ``rank``."""

from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Params, expert_field


class RankParams(Params):
    """How the photos of an encounter vote."""

    label: ClassVar[str] = "rank"

    burst_seconds: float = Field(
        10.0, ge=0, description="photos of one encounter and side that follow each other within this time count once"
    )
    top_k: int = Field(5, ge=1, description="candidates kept per query")
    rule: Literal["auto", "max", "mean_top2", "mean_max", "mean_lme"] = expert_field(
        "auto",
        description="max: the best pair; mean_top2: mean of the two best pairs; mean_max: mean over the query photos of each "
        "one's best; mean_lme: the same with log-mean-exp over the gallery photos; auto: what is best on gallery "
        "encounters and on their photos by themselves",
    )
