"""Which pairs of photos are compared, and in what blocks."""

from typing import Literal

from pydantic import Field

from resight.plugins.params import Params


class PairsParams(Params):
    """Which crops are compared."""

    viewpoint: Literal["same", "compatible", "any"] = Field(
        "compatible",
        description="same: equal sides only; compatible: left never with right, the rest with what overlaps; any: all",
    )
    must_agree: tuple[str, ...] = Field(
        (),
        description="further columns of metadata.csv, e.g. ['species', 'site'], in which two photos must agree to be compared; "
        "an empty cell agrees with all",
    )
    exclude_same_encounter: bool = Field(
        True, description="when evaluating: photos of one encounter share a background"
    )
    block_seconds: float = Field(45.0, gt=0, description="aim for the work of one Dask task")
    max_block_pairs: int = Field(65_536, ge=1, description="upper bound of a block, whatever the rate")
