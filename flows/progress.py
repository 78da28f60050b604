"""The progress of long stages as bars on Prefect's page, made from Resight's own progress lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("resight")


@contextmanager
def progress_shown() -> Iterator[None]:
    """While this lasts, a stage that is still at work when its first line of progress comes has a bar on the flow run's page."""
    bars = _Bars()
    log.addHandler(bars)
    try:
        yield
    finally:
        log.removeHandler(bars)


class _Bars(logging.Handler):
    """Makes one artifact for each long stage of a run, and moves it on. A server that does not take it costs the bar and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: dict[str, Any] = {}
        self._works = True

    def emit(self, record: logging.LogRecord) -> None:
        """Look for progress in a line; others are none of its business."""
        stage, share = getattr(record, "stage", None), getattr(record, "share_done", None)
        if stage is None or share is None or not self._works:
            return
        try:
            self._move(str(stage), round(100 * float(share), 1))
        except Exception as error:  # Prefect's and httpx's, of which there are many
            self._works = False
            log.warning("Prefect's page shows no progress: %s", error)

    def _move(self, stage: str, percent: float) -> None:
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        if stage in self._bars:
            update_progress_artifact(
                self._bars[stage], percent
            )  # also where it comes again: matching tries a few pairs first
        elif percent < 100:
            self._bars[stage] = create_progress_artifact(percent, description=f"stage {stage}")
