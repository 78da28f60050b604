"""Settings of the pairs of photos that are compared, and of the size of blocks."""

from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Affects, Params, expert_field


class PairsParams(Params):
    """Which photos are compared with which."""

    affects: ClassVar[Affects] = "run"

    viewpoint: Literal["same", "compatible", "any"] = Field(
        "compatible",
        description="same: equal sides only; compatible: left never with right, other views with what they overlap; any: all",
        json_schema_extra={"affects": "model"},
    )
    must_agree: tuple[str, ...] = Field(
        (),
        description="further columns of metadata.csv, such as ['species', 'site'], in which two photos must agree to be compared; "
        "an empty cell agrees with everything",
    )
    exclude_same_encounter: bool = expert_field(
        True, description="when measuring, leave out pairs within one encounter: they share a background"
    )
    block_seconds: float = expert_field(
        45.0, gt=0, affects="execution", description="how long one block of pairs should take a worker"
    )
    max_block_pairs: int = expert_field(
        65_536, ge=1, affects="execution", description="most pairs in a block, however fast the worker is"
    )
