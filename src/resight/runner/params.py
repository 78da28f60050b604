"""Settings of the workers."""

from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Affects, Params, expert_field


class DaskParams(Params):
    """Where the work runs."""

    affects: ClassVar[Affects] = "execution"

    address: str = Field(
        "", description="scheduler, such as tcp://scheduler:8786; empty starts workers on this machine"
    )
    workers: int = Field(
        0, ge=0, description="workers on this machine; 0: one per core, or one per GPU if the device is cuda"
    )
    mode: Literal["processes", "inline"] = expert_field(
        "processes", description="inline: no workers, everything in this process; for small jobs and for debugging"
    )
    stall_seconds: float = expert_field(
        1800.0, gt=0, description="if no block is finished for this long, the run stops and says so"
    )
    wait_for_workers_seconds: float = expert_field(
        60.0,
        gt=0,
        description="if the scheduler at dask.address has no worker for this long, the run stops and says so",
    )
    tls_ca: str = Field("", description="certificate of the authority (PEM file), for a scheduler at tls://…")
    tls_cert: str = Field("", description="certificate of this machine (PEM file), signed by that authority")
    tls_key: str = Field("", description="key of that certificate (PEM file)")
