"""Settings of the workers."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Affects, Params, expert_field


class DaskParams(Params):
    """Where the work runs."""

    affects: ClassVar[Affects] = "execution"

    address: str = Field(
        "", description="scheduler, such as tcp://scheduler:8786; empty starts workers on this machine"
    )
    cluster: str = Field(
        "",
        description="MODULE:FACTORY of a cluster that is made for each run, instead of dask.address, e.g. dask_jobqueue:SLURMCluster",
    )
    cluster_settings: dict[str, Any] = Field({}, description="arguments of that factory")
    workers: int = Field(
        0,
        ge=0,
        description="workers on this machine, 0: one per core, or one per GPU if the device is cuda; of dask.cluster how many to ask for, 0: as it does by itself",
    )
    performance_report: str = Field(
        "", description="file for Dask's own page about each run (needs Bokeh: the extra dashboard)"
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
        description="if the scheduler at dask.address or of dask.cluster has no worker (or no GPU, where one is needed) for this long, the run stops and says so",
    )
    retries: int = expert_field(
        2,
        ge=0,
        description="how often a run goes on by itself after its cluster was lost, half a minute later and then later still",
    )
    tls_ca: str = Field("", description="certificate of the authority (PEM file), for a scheduler at tls://…")
    tls_cert: str = Field("", description="certificate of this machine (PEM file), signed by that authority")
    tls_key: str = Field("", description="key of that certificate (PEM file)")
