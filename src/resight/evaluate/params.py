"""Settings of the evaluation."""

from typing import Literal

from pydantic import Field

from resight.plugins.params import Params


class EvaluateParams(Params):
    """How accuracy is measured."""

    protocol: Literal["auto", "time-aware", "role", "leave-one-encounter-out"] = Field(
        "auto",
        description="auto: by the photos' roles where there are some; otherwise time-aware (earlier encounters are the gallery, later "
        "ones ask), or leave-one-encounter-out where that leaves fewer than few_queries; the result says which",
    )
    few_queries: int = Field(8, ge=0, description="fewer query encounters than that are too few for time-aware")
    open_share: float = Field(
        0.25,
        gt=0,
        le=0.5,
        description="share of the animals that are left out of the gallery at a time to play new ones",
    )
    seed: int = Field(0, ge=0, description="which animals are left out together; bootstrap draws")
    draws: int = Field(1000, ge=20, description="bootstrap draws behind every interval")
    background_control: bool = Field(
        False, description="match once more with the animals painted over: how much of the score is habitat"
    )
    tolerate_leak: bool = Field(
        False,
        description="measure also where an animal is asked for on a day of its gallery photos; there is no headline then",
    )
    against: str = Field("last", description="earlier run to compare with query by query: a run id, last, or none")
    worst: int = Field(12, ge=0, description="mistakes, and changed identifications, drawn on the page")
