"""Automations of a Prefect server for Resight's runs: `resight deploy` makes them, or updates those that it has made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from resight.errors import SettingsError
from resight.settings.sites import Sites

NO_SIGN_OF_LIFE = "Resight: runs without a sign of life"
NEEDS_SOMEBODY = "Resight: somebody has to look"
BAD_ENDS = ("Failed", "Crashed", "TimedOut", "KeptAside", "Refused", "Worse")
ENDS = ("Completed", "Cancelled", *BAD_ENDS)
OF_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
OF_RESIGHT = {"prefect.resource.id": "prefect.tag.resight", "prefect.resource.role": "tag"}


def make_automations(client: Any, sites: Sites) -> list[dict[str, Any]]:
    """Make or update them, and remove those that the file does not want any more; one that somebody has switched off stays off.

    Returns:
        ``name`` and whether it is ``new``.

    Raises:
        SettingsError: The server has no block of that name to send notifications with.
    """
    made = [_make(client, automation) for automation in _automations(client, sites)]
    for name in {NO_SIGN_OF_LIFE, NEEDS_SOMEBODY} - {automation["name"] for automation in made}:
        for old in client.read_automations_by_name(name):  # of a file that wanted it
            client.delete_automation(old.id)
    return made


def _automations(client: Any, sites: Sites) -> Iterator[Any]:
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState, SendNotification
    from prefect.events.schemas.automations import AutomationCore

    if sites.crashed_after_minutes:
        minutes = f"{sites.crashed_after_minutes:g}"
        message = f"No sign of life for {minutes} minutes: it was killed, or the machine stopped. The next night does the rest."
        yield AutomationCore(
            name=NO_SIGN_OF_LIFE,
            description=f"A run that has sent no heartbeat for {minutes} minutes is marked as Crashed.",
            trigger=_silence(timedelta(minutes=sites.crashed_after_minutes)),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
        )
    if sites.notification_block:
        yield AutomationCore(
            name=NEEDS_SOMEBODY,
            description="Runs that failed, crashed, are late, kept aside, refused or worse are told by the block of sites.toml.",
            trigger=_bad_ends(),
            actions=[
                SendNotification(
                    block_document_id=_block(client, sites.notification_block),
                    subject="Resight: {{ flow_run.name }} is {{ flow_run.state.name }}",
                    body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
                )
            ],
        )


def _silence(within: timedelta) -> Any:
    """A heartbeat, and after it neither another one nor an end."""
    from prefect.events.schemas.automations import EventTrigger, Posture

    return EventTrigger(
        posture=Posture.Proactive, after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{end}" for end in ENDS)},
        match=OF_RUNS, match_related=OF_RESIGHT, for_each={"prefect.resource.id"}, threshold=1, within=within,
    )  # fmt: skip


def _bad_ends() -> Any:
    from prefect.events.schemas.automations import EventTrigger, Posture

    return EventTrigger(
        posture=Posture.Reactive, expect={f"prefect.flow-run.{state}" for state in (*BAD_ENDS, "Late")},
        match=OF_RUNS, match_related=OF_RESIGHT, for_each={"prefect.resource.id"}, threshold=1, within=timedelta(0),
    )  # fmt: skip


def _block(client: Any, text: str) -> Any:
    from prefect.exceptions import ObjectNotFound

    kind, _, name = text.partition("/")
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise SettingsError(
            f"notification_block = '{text}': the server has no such block; make one on its page (Blocks), and write TYPE/NAME, e.g. "
            "slack-webhook/turtles."
        ) from None


def _make(client: Any, automation: Any) -> dict[str, Any]:
    found = client.read_automations_by_name(automation.name)
    if found:
        automation.enabled = found[0].enabled
        client.update_automation(found[0].id, automation)
    else:
        client.create_automation(automation)
    return {"name": automation.name, "new": not found}
