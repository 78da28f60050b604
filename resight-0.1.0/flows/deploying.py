"""`resight deploy`: the schedules of all sites on a Prefect server, from one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resight.errors import ResightError, SettingsError
from resight.flows import evaluation, nightly, rebuild
from resight.flows.automations import make_automations
from resight.settings.sites import Site, Sites, read_sites

MODULES = {"nightly": nightly, "accuracy": evaluation, "rebuild": rebuild}
SAYS = {
    "nightly": "Identify the day's photos.",
    "accuracy": "Measure the accepted model on the confirmed labels.",
    "rebuild": "Everything again after a model or setting changed; start it by hand.",
}


class ServerError(ResightError):
    """The Prefect server cannot be reached, or refuses."""


def deployment_name(flow: str, site: str) -> str:
    """How a deployment is called: its flow and its site."""
    return f"{flow}-{site}" if site else flow


def tags_of(site: str, more: tuple[str, ...] = ()) -> list[str]:
    """Tags of a deployment and of its runs."""
    return ["resight", *([f"site:{site}"] if site else []), *more]


def run_deploy(file: str | Path) -> dict[str, Any]:
    """Make or update the deployments of all sites of a file; what is paused on the server stays so.

    Args:
        file: See `settings.sites`.

    Returns:
        ``deployments`` (name, site, cron, whether it was there), ``automations``, and ``notes``.

    Raises:
        SettingsError: The file is wrong, or a name on the server belongs to another workspace.
        ServerError: No server is set, it cannot be reached, or it refuses.
    """
    sites = read_sites(Path(file))
    with _server() as client:
        names = [(flow, name) for name in sites.sites for flow in MODULES]
        there = {(flow, name): _existing(client, flow, deployment_name(flow, name)) for flow, name in names}
        for (flow, name), existing in there.items():
            refuse_foreign(existing, deployment_name(flow, name), sites.sites[name].workspace)
        _make_pool(client, sites.pool)
        made = [_deploy(sites, flow, name, there[flow, name]) for flow, name in names]
        automations = make_automations(client, sites)
        notes = list(_notes(client, sites))
        return {"pool": sites.pool, "deployments": made, "automations": automations, "notes": notes}


def refuse_foreign(existing: Any, name: str, workspace: str) -> None:
    """Keep one site from replacing another.

    Raises:
        SettingsError: The deployment is of another workspace.
    """
    other = existing and existing.parameters.get("workspace")
    if other and Path(other) != Path(workspace):
        flow = name.partition("-")[0]
        raise SettingsError(
            f"The server has a deployment {flow}/{name} of another workspace, {other}; give this site another name, or take that one "
            f"away first: prefect deployment delete '{flow}/{name}'."
        )


def existing_deployment(flow: str, name: str) -> Any:
    """The deployment of that name on the server; None without one."""
    with _server() as client:
        return _existing(client, flow, name)


def _deploy(sites: Sites, flow: str, name: str, existing: Any) -> dict[str, Any]:
    site, cron = sites.sites[name], "" if flow == "rebuild" else sites.cron(name, flow)
    in_prefect = getattr(MODULES[flow], flow).to_deployment(
        name=deployment_name(flow, name), description=SAYS[flow], tags=tags_of(name, site.tags),
        schedules=_schedules(cron, sites.timezone(name), flow, existing), **_where(sites, site),
    )  # fmt: skip
    try:
        in_prefect.apply()
    except Exception as error:  # Prefect has several for what the server answers
        raise ServerError(f"The Prefect server did not take {in_prefect.name}: {error}") from error
    return {
        "name": f"{flow}/{in_prefect.name}",
        "site": name,
        "cron": cron,
        "timezone": sites.timezone(name),
        "new": existing is None,
    }


def _where(sites: Sites, site: Site) -> dict[str, Any]:
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.types.entrypoint import EntrypointType

    return {
        "parameters": {"workspace": site.workspace, "overrides": {"wait_minutes": sites.wait_minutes} | site.settings},
        "work_pool_name": sites.pool,
        "concurrency_limit": ConcurrencyLimitConfig.model_validate(
            {"limit": site.limit, "collision_strategy": "CANCEL_NEW"}
        ),
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }


def _schedules(cron: str, timezone: str, flow: str, existing: Any) -> list[Any]:
    """The schedule under a name of its own, so that it is changed and not doubled; one that somebody has paused stays paused."""
    from prefect.schedules import Schedule

    active = all(schedule.active for schedule in existing.schedules) if existing else True
    return [Schedule(cron=cron, timezone=timezone, slug=flow, active=active)] if cron else []


@contextmanager
def _server() -> Iterator[Any]:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise ServerError(
            "No Prefect server is set; start one (`prefect server start`) and set PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
        if problem:
            address = PREFECT_API_URL.value()
            raise ServerError(
                f"The Prefect server at {address} cannot be reached ({problem}); start it, or correct PREFECT_API_URL."
            )
        yield client


def _existing(client: Any, flow: str, name: str) -> Any:
    from prefect.exceptions import ObjectNotFound

    try:
        return client.read_deployment_by_name(f"{flow}/{name}")
    except ObjectNotFound:
        return None


def _make_pool(client: Any, name: str) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        except ObjectAlreadyExists:  # somebody was quicker
            return


def _notes(client: Any, sites: Sites) -> Iterator[str]:
    for name, site in sites.sites.items():
        if not Path(site.workspace).is_dir():
            yield f"{site.workspace} ({name}) cannot be seen from this machine; the machine with the worker must see it."
    ours = {deployment_name(flow, name) for name in sites.sites for flow in MODULES}
    for deployment in client.read_deployments():
        if "resight" in deployment.tags and deployment.name not in ours:
            workspace = deployment.parameters.get("workspace")
            yield f"The server also has {deployment.name} of {workspace}, which is not in this file; it stays as it is."
