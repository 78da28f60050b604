"""Settings of the workers."""

from typing import Literal

from pydantic import Field

from resight.plugins.params import Params


class DaskParams(Params):
    """Where the work runs."""

    address: str = Field("", description="scheduler, e.g. tcp://scheduler:8786; empty starts workers on this machine")
    workers: int = Field(0, ge=0, description="local workers; 0: one per core, or one per GPU when the device is cuda")
    mode: Literal["processes", "inline"] = Field(
        "processes", description="inline: in this process, for debugging and small jobs"
    )
    stall_seconds: float = Field(1800.0, gt=0, description="no block finished for so long: the run stops and says so")
    window_per_worker: int = Field(
        2, ge=1, description="blocks in flight per worker: one under way, the others waiting"
    )
