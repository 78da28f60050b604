"""What happened, in a line for people and in plain values for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from resight.notify.params import Kind
from resight.status import CALLED_NEW, NAMED, Decision

DAYS_A_YEAR = 365.25
SHOWN = 5


@dataclass(frozen=True)
class Event:
    """Something that people may want to know.

    Attributes:
        kind: Which of the events that can be chosen.
        text: One sentence.
        facts: The same in plain values, and what else a program may want.
        once: What it is about where it is told once only; '' for what is told each time.
    """

    kind: Kind
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    once: str = ""


def night_done(night: str, photos: pa.Table, novelty: pa.Table) -> Event:
    """What is new, and what waits for a person.

    Args:
        night: ISO date.
        photos: The table of the run.
        novelty: Its verdicts.
    """
    seen = photos.select(["encounter_id", "first_night", "status"]).to_pylist()
    fresh = [row for row in seen if str(row["first_night"]) == night]
    encounters = {row["encounter_id"] for row in fresh}
    verdicts = novelty.select(["encounter_id", "decision"]).to_pylist()
    tonight = Counter(row["decision"] for row in verdicts if row["encounter_id"] in encounters)
    waiting = sum(row["decision"] in (Decision.LIKELY, Decision.LIKELY_NEW, Decision.UNSURE) for row in verdicts)
    named, new = sum(tonight[d] for d in NAMED), sum(tonight[d] for d in CALLED_NEW)
    unsure = tonight[Decision.UNSURE]
    counts = {"photos": len(fresh), "likely": named, "new": new, "unsure": unsure, "to_look_at": waiting}
    what = f"{_many(len(fresh), 'new photo')}: {named} likely, {new} new, {unsure} unsure" if fresh else "no new photo"
    return Event(Kind.DONE, f"Night {night}: {what}; {_many(waiting, 'encounter')} to look at.", counts)


def met_again(photos: pa.Table, novelty: pa.Table, years: float) -> Iterator[Event]:
    """Animals that a verdict names and that nobody had met for so long before.

    Args:
        photos: The table of a run; gallery photos have a name.
        novelty: Its verdicts.
        years: How long.
    """
    rows = photos.select(["encounter_id", "individual_id", "taken_on"]).to_pylist()
    days: dict[str, list[date]] = {}
    met: dict[str, date] = {}
    for row in rows:
        if row["taken_on"] is None:
            continue
        if row["individual_id"] is not None:
            days.setdefault(row["individual_id"], []).append(row["taken_on"])
        else:
            met[row["encounter_id"]] = min(row["taken_on"], met.get(row["encounter_id"], row["taken_on"]))
    for verdict in novelty.select(["encounter_id", "decision", "individual_id", "probability"]).to_pylist():
        day, animal = met.get(verdict["encounter_id"]), verdict["individual_id"]
        if verdict["decision"] not in NAMED or day is None or not days.get(animal):
            continue
        before = [seen for seen in days[animal] if seen < day]
        if before and (day - max(before)).days >= years * DAYS_A_YEAR and not any(seen > day for seen in days[animal]):
            yield _met(verdict, day, max(before))


def _met(verdict: Mapping[str, Any], day: date, before: date) -> Event:
    gone = (day - before).days / DAYS_A_YEAR
    animal, encounter = verdict["individual_id"], verdict["encounter_id"]
    share = "" if verdict["probability"] is None else f", {100 * verdict['probability']:.0f} %"
    text = f"{animal} was seen again on {day} after {gone:.1f} years ({verdict['decision']}{share}; encounter {encounter}, before {before})."
    facts = {"individual_id": animal, "encounter_id": encounter, "seen_on": str(day), "seen_before": str(before)}
    return Event(Kind.MET_AGAIN, text, facts, once=f"{animal} {encounter}")


def accuracy_worse(night: str, worse: Sequence[str], against: str) -> Event:
    """The accepted model is worse than when it was measured before, by more than chance."""
    text = f"Accuracy of {night} is worse than that of {against} by more than chance: {'; '.join(worse)}."
    return Event(Kind.WORSE, text, {"worse_on": list(worse), "against": against})


def disk_nearly_full(free_gb: float, least_gb: float, path: str, night: str) -> Event:
    """Free space is below the limit; told once a day."""
    text = f"The disk with {path} has {free_gb:.1f} GB left (less than {least_gb:g}); free some, or nights will fail."
    return Event(Kind.DISK, text, {"free_gb": round(free_gb, 1), "path": path}, once=night)


def night_missing(hours: float, last: str | None) -> Event:
    """No night was published in time; told once for each gap."""
    since = f"the last one is that of {last}" if last else "there has never been one"
    text = f"No night was published in the last {hours:g} h; {since}. `resight status` says what failed."
    return Event(Kind.MISSING, text, {"hours": hours, "last_night": last}, once=last or "first")


def _many(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
