"""After an attempt: the copy of the results in object storage, where section ``publish`` names some.

What is done on this machine stays done: a copy that fails is said, written into the log and told, and the next one does the rest.
"""

from __future__ import annotations

import logging
from typing import Any

from resight.bucket.publish import publish_to
from resight.errors import ResightError
from resight.notify.events import Event
from resight.notify.params import Kind
from resight.settings import load_settings
from resight.store.attempts import Attempt, Outcome, append_line
from resight.store.workspace import Workspace

log = logging.getLogger("resight")
WITH_RESULTS = (Outcome.DONE, Outcome.KEPT_ASIDE, Outcome.REFUSED)


def published(workspace: Workspace, to: str = "", *, check: bool = False, take_over: bool = False) -> dict[str, Any]:
    """Publish as `bucket.publish.publish_to`, and write down what came of it.

    Args:
        to: Address instead of that of the settings.
        check, take_over: As there.
    """
    settings = load_settings(workspace.root, {"publish": {"to": to}} if to else None)
    try:
        result = publish_to(workspace, settings.publish.to, settings.site, check=check, take_over=take_over)
    except ResightError as error:
        append_line(workspace, {"event": "published", "to": settings.publish.to, "failed": str(error)})
        raise
    append_line(workspace, {"event": "published", "failed": "", "to": result["address"]} | result)
    return result


def publish_after(tried: Attempt) -> Event | None:
    """Publish what an attempt has changed, if the settings say where to.

    Returns:
        What people must know: that it did not work.
    """
    if tried.outcome not in WITH_RESULTS:
        return None
    try:
        if not load_settings(tried.workspace.root).publish.to:
            return None
        result = published(tried.workspace)
        log.info("%s", in_words(result))
        sentences = result["damaged"]
    except Exception as error:  # whatever it is, the night is done
        log.debug("Where it happened:", exc_info=True)
        sentences = [f"The results are complete here and were not published: {error}"]
    for sentence in sentences:
        log.warning("%s", sentence)
        notes = tried.summary.get("notes")
        if isinstance(notes, list):
            notes.append(sentence)
    what = f"{tried.command} {tried.about.get('night') or ''}".strip()
    return Event(Kind.FAILED, f"{what} is done, but: {' '.join(sentences)}") if sentences else None


def in_words(result: dict[str, Any]) -> str:
    """One line on what was published."""
    new, current = len(result["new_runs"]), result["current"] or "nothing yet"
    return (
        f"Published to {result['address']}: {result['runs']} runs ({new} new), {result['uploaded']} files uploaded "
        f"({result['uploaded_bytes'] / 1e6:.1f} MB); current there: {current}."
    )
