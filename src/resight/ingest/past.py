"""What was there on a night of the past, as the runs tell that were made then.

A photo was there from the night that first saw it. Where nights were missed, it came on the day it was taken, but not before the
night after the last one that did not see it. A name in a label file was there from the run that first shows it, or came with its
photo where no run shows the photo without it. A decision counts if it was made before the run of that night began.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from resight.errors import DamagedError, WorkspaceError
from resight.status import ACCEPTED
from resight.store.attempts import Outcome, read_attempts
from resight.store.listing import matching
from resight.store.runs import read_run, run_tables
from resight.store.workspace import Workspace

NIGHTLY = "nightly"
FLOWS = (NIGHTLY, "rebuild", "demo")  # that publish all photos of a workspace
ONE_DAY = timedelta(days=1)
Row = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """A run that was accepted: its night and when it began."""

    run_id: str
    night: date
    began: datetime


@dataclass(frozen=True)
class Then:
    """A night of the past.

    Attributes:
        night: Whose view it is.
        until: Decisions after this moment (UTC) do not count.
        told: The last run made by then; it tells what label files said. None before the first.
        later: Runs after it, in their order; they tell what label files said of photos that `told` does not know.
        nights: Nights on which photos were looked for, in their order.
    """

    night: date
    until: datetime
    told: Told | None = None
    later: Sequence[Told] = ()
    nights: Sequence[date] = field(default=())

    def came(self, first_night: date, taken_on: date | None) -> date:
        """The day on which a photo came, from the night that first saw it and the day it was taken."""
        if taken_on is None:
            return first_night
        place = bisect_left(self.nights, first_night)
        earliest = self.nights[place - 1] + ONE_DAY if place else date.min
        return min(max(taken_on, earliest), first_night)

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """The photos that were there; those that no night had seen by then say as their first night the day on which they came."""
        seen = [(row, row["first_night"], row["taken_on"]) for row in rows]
        came = [(row, night if night <= self.night else self.came(night, taken)) for row, night, taken in seen]
        return [row | {"first_night": day} for row, day in came if day <= self.night]


def then(workspace: Workspace, night: date) -> Then:
    """What the runs of a workspace tell about a night; nothing about when labels came where there are no runs of that time."""
    accepted = _accepted(workspace)
    runs = _in_turn(accepted)
    made, later = ([run for run in runs if (run.night <= night) is is_made] for is_made in (True, False))
    told = made[-1] if made else None
    end = datetime.combine(night + ONE_DAY, time.min).astimezone(UTC)  # of the night on this machine
    if told is not None:
        end = told.began if told.night == night else max(end, told.began)
    until = min([end, *(run.began for run in later[:1])])
    folders = matching(workspace.runs, "[!.]*")
    of_name = (folder.name.split("-", 3) for folder in folders)
    looked = {_day("-".join(parts[:3])) for parts in of_name if parts[3:] and parts[3].startswith(FLOWS)}
    looked |= {told.night for told in accepted}
    return Then(night, until, told, later, sorted(day for day in looked if day))


def names_then(workspace: Workspace, when: Then, first_nights: Mapping[str, date]) -> dict[str, str | None]:
    """What label files said of each photo by then; what no run shows came with its photo, and is not here.

    Args:
        workspace: Whose runs tell.
        when: From `then`.
        first_nights: Night that first saw it, by photo_id.
    """
    found: dict[str, str | None] = {}
    if when.told is not None:
        found = _labels(workspace, when.told.run_id)
    open_photos = {photo: night for photo, night in first_nights.items() if photo not in found}
    for run in when.later:
        asked = {photo for photo, night in open_photos.items() if night <= run.night}
        if asked:
            told = _labels(workspace, run.run_id)
            found |= {photo: told[photo] for photo in asked & told.keys()}
            open_photos = {photo: night for photo, night in open_photos.items() if photo not in told}
    return found


def _accepted(workspace: Workspace) -> list[Told]:
    found = []
    for folder in matching(workspace.runs, "[!.]*"):
        if folder.name[11:].startswith(FLOWS) and (folder / "runs.parquet").exists():
            try:
                row = read_run(workspace, folder.name, "runs").to_pylist()[0]
            except (DamagedError, WorkspaceError):  # `resight verify` says so
                continue
            if row["status"] == ACCEPTED:
                found.append(Told(folder.name, row["night"], row["started_at"]))
    return found + _nothing_new({told.run_id: told for told in found}, workspace)


def _nothing_new(runs: Mapping[str, Told], workspace: Workspace) -> list[Told]:
    """Nights on which somebody looked and nothing was new: they have no run of their own, and the run before tells what there was."""
    found = []
    for row in read_attempts(workspace):
        if row.get("command") == NIGHTLY and row["outcome"] == Outcome.DONE and row.get("run_id") in runs:
            told, night = runs[str(row["run_id"])], _day(str(row.get("night")))
            if night is not None and night > told.night:
                found.append(Told(told.run_id, night, datetime.fromisoformat(str(row["began_at"])).astimezone(UTC)))
    return found


def _in_turn(runs: Sequence[Told]) -> list[Told]:
    """Without runs that were made for a night before one that had been run already: they saw what came later.

    Nor with runs for a night to come (a mistyped date), which would hide all that followed.
    """
    kept: list[Told] = []
    real = [run for run in runs if run.night <= run.began.date() + ONE_DAY]
    for run in sorted(real, key=lambda run: run.began):
        if not kept or run.night >= kept[-1].night:
            kept.append(run)
    return kept


def _labels(workspace: Workspace, run_id: str) -> dict[str, str | None]:
    """What label files said, by photo_id; runs of before decisions were kept have it in another column."""
    rows = read_run(workspace, run_id, "photos").select(["photo_id", "individual_id", "labelled_individual_id"])
    before = "decisions" not in run_tables(workspace, run_id)
    return {r["photo_id"]: r["labelled_individual_id"] or (r["individual_id"] if before else None) for r in rows.to_pylist()}  # fmt: skip


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
