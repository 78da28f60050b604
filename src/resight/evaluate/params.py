"""Settings of the evaluation."""

from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Affects, Params, expert_field


class EvaluateParams(Params):
    """How accuracy is measured."""

    affects: ClassVar[Affects] = "run"

    protocol: Literal["auto", "time-aware", "first-year", "role", "leave-one-encounter-out"] = Field(
        "auto",
        description="which photos are queries: role (as the photos' roles say), time-aware (later encounters are looked up among "
        "earlier ones), first-year (later years are looked up in each animal's first, photos of a side that it shows), leave-one-encounter-out (each encounter is looked up among all others), or auto; the result says which",
    )
    asking: str = Field(
        "",
        description="CSV file of the animals whose photos are queries, all others are in the gallery alone: a column individual_id, or a "
        "list of `resight train split`, of which the validation animals ask; empty lets all ask",
    )
    not_asking: tuple[str, ...] = expert_field(
        (),
        description="animals whose photos are no queries, and stay in the gallery; `resight rebuild` puts those here that weights were trained on",
    )
    background_control: bool = Field(
        False, description="match once more with the animals painted over, to see how much of the score is habitat"
    )
    tolerate_leak: bool = Field(
        False,
        description="measure even if an animal is looked up on a day of its own gallery photos; there is no headline figure then",
    )
    against: str = Field("last", description="earlier run to compare with, query by query: a run id, last, or none")
    few_queries: int = expert_field(
        8, ge=0, description="auto uses time-aware from this many query encounters on, leave-one-encounter-out below"
    )
    open_share: float = expert_field(
        0.25,
        gt=0,
        le=0.5,
        description="share of the animals that are left out of the gallery at a time to stand for new animals",
    )
    seed: int = expert_field(
        0, ge=0, description="decides which animals are left out together, and the bootstrap samples"
    )
    draws: int = expert_field(1000, ge=20, description="bootstrap samples behind every interval")
    worst: int = expert_field(12, ge=0, description="mistakes, and changed identifications, shown on the page")
