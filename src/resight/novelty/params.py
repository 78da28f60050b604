"""Settings of stage ``novelty``."""

from typing import Literal

from pydantic import Field

from resight.plugins.params import Params


class NoveltyParams(Params):
    """When an animal is called new."""

    alpha: float = Field(
        0.05, gt=0, lt=1, description="accepted share of new animals that are wrongly called a known one"
    )
    prior_new: float = Field(
        0.2, gt=0, lt=1, description="share of encounters with animals that nobody has seen before"
    )
    decide_known: float = Field(
        0.80, gt=0.5, lt=1, description="probability from which the best candidate is called known"
    )
    decide_new: float = Field(0.80, gt=0.5, lt=1, description="probability from which the animal is called new")
    without_guarantee: Literal["unsure", "name"] = Field(
        "unsure",
        description="where too few animals are known to honour alpha; name: call the best candidate known all the same",
    )
    candidate_coverage: float = Field(
        0.9, gt=0, lt=1, description="how often the candidate set holds the right animal, if it is in the gallery"
    )
    prior_single: float = Field(
        0.5, gt=0, lt=1, description="share of unknown encounters whose animal was met in no other unknown one"
    )
    link_probability: float = Field(
        0.8, gt=0.5, lt=1, description="probability from which two unknown encounters are taken for one animal"
    )
    calibration_encounters: int = Field(
        300, ge=0, description="gallery encounters that play the unknown animal, at most"
    )
