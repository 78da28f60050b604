"""Settings of stage ``novelty``."""

from typing import Any, ClassVar

from pydantic import Field

from resight.plugins.params import Params, expert_field

# Only draws a line through what the model has computed, so that nothing has to be accepted anew.
DECIDES: dict[str, Any] = {"affects": "run"}


class NoveltyParams(Params):
    """When an animal is called new."""

    revision: ClassVar[int] = 2  # `decide_known` was 0.8 by default

    alpha: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="of all new animals, the share that may wrongly be called known",
        json_schema_extra=DECIDES,
    )
    prior_new: float = Field(
        0.2, gt=0, lt=1, description="share of encounters that you expect to be with animals nobody has met before"
    )
    decide_known: float = Field(
        0.85,
        gt=0.5,
        lt=1,
        description="an animal is called known, or likely, from this probability of the best candidate on",
        json_schema_extra=DECIDES,
    )
    decide_new: float = Field(
        0.80,
        gt=0.5,
        lt=1,
        description="an animal is called new from this probability on",
        json_schema_extra=DECIDES,
    )
    candidate_coverage: float = expert_field(
        0.9,
        gt=0,
        lt=1,
        affects="run",
        description="how often the list of candidates contains the right animal, if it is in the gallery",
    )
    prior_single: float = expert_field(
        0.5,
        gt=0,
        lt=1,
        description="share of encounters without a name whose animal was met in no other such encounter",
    )
    link_probability: float = expert_field(
        0.8, gt=0.5, lt=1, description="encounters without a name are taken for one animal from this probability on"
    )
    draws: int = expert_field(
        1000,
        ge=100,
        le=100_000,
        affects="run",
        description="how many times it is drawn who is who, in table identity_draws",
    )
    calibration_encounters: int = expert_field(
        300,
        ge=0,
        description="most gallery encounters that stand for an unknown animal when probabilities are calibrated",
    )
