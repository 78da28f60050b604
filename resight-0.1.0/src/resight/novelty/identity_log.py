"""Provisional names that stay the same from night to night, and a log of everything that happened to them.

Events are only ever appended. Replaying them gives the name of every encounter; a night that changes nothing adds no event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import chain, count
from typing import Any

from resight.decisions.names import provisional_id


class Event(StrEnum):
    CREATED = "created"
    JOINED = "joined"
    MERGED = "merged"
    SPLIT = "split"
    CONFIRMED = "confirmed"
    IDENTIFIED = "identified"
    WITHDRAWN = "withdrawn"
    MOVED = "moved"


Change = tuple[Event, str, str, str | None]  # what happened to which name at which encounter, and into which name
ENDS = frozenset({Event.CONFIRMED, Event.IDENTIFIED, Event.WITHDRAWN})


@dataclass(frozen=True)
class IdentityLog:
    """Result of `advance`.

    Attributes:
        names: Provisional name by encounter.
        events: All events, those of earlier nights first, as rows of the ``provisional`` table without ``run_id``.
    """

    names: Mapping[str, str]
    events: list[dict[str, Any]]


def members(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Provisional name by encounter after all ``events``."""
    now: dict[str, str] = {}
    for event in events:
        encounter = event["encounter_id"]
        if event["event"] in ENDS:
            now.pop(encounter, None)
        elif event["event"] in (Event.MERGED, Event.SPLIT):
            now[encounter] = event["into"]
        elif event["event"] == Event.MOVED:
            now[event["into"]] = event["provisional_individual_id"]
        else:
            now[encounter] = event["provisional_individual_id"]
    return now


def advance(
    events: Sequence[Mapping[str, Any]],
    clusters: Sequence[Sequence[str]],
    named: Mapping[str, str],
    identified: Mapping[str, str],
    night: str,
    run_id: str,
    renamed: Mapping[str, str] | None = None,
    voted_out: Mapping[str, str] | None = None,
) -> IdentityLog:
    """Give tonight's clusters names and write down what changed.

    A cluster keeps the name that most of its encounters carry. If two clusters claim one name, it goes to the one with more of
    its encounters, then to the one that holds the encounter it was made from. Names that no cluster keeps are ``merged`` into
    the name that took their encounters; encounters that leave a name that another cluster keeps are ``split`` from it. What is
    said of an encounter goes with its photos where these have another encounter now (``moved``).

    Args:
        events: All events so far, in order.
        clusters: Encounters of each unknown animal, the first met first; no encounter is in two.
        named: Individual by encounter that a person has named.
        identified: Individual by encounter that is now identified automatically.
        night: ISO date; "" where nobody keeps the log.
        run_id: The run under way.
        renamed: Encounter that the photos of an earlier one, which is gone, belong to now.
        voted_out: By encounter of photos that spoke against another one, that other one.
    """
    before = members(events)
    carried_over = [*_renamed(before, renamed or {}, named)]
    before |= {into: name for _, name, _, into in carried_over if into}
    names = _names(clusters, before)
    ends = _ends(before, clusters, named, identified)
    changes = [*carried_over, *ends, *_moves(before, clusters, names, voted_out or {})]
    log, day = [dict(event) for event in events], date.fromisoformat(night) if night else None
    for number, (event, name, encounter, into) in enumerate(changes, len(log) + 1):
        row = {"event_no": number, "night": day, "event_run_id": run_id, "event": event.value}
        log.append(row | {"provisional_individual_id": name, "encounter_id": encounter, "into": into})
    carried = {encounter: name for name, cluster in zip(names, clusters, strict=True) for encounter in cluster}
    return IdentityLog(carried, log)


def _ends(
    before: Mapping[str, str],
    clusters: Sequence[Sequence[str]],
    named: Mapping[str, str],
    identified: Mapping[str, str],
) -> Iterator[Change]:
    """Encounters that no longer carry a provisional name."""
    unknown = {encounter for cluster in clusters for encounter in cluster}
    for encounter, name in sorted(before.items()):
        if (
            encounter in named and encounter not in unknown
        ):  # where only some of its photos have a name, the others go on
            yield Event.CONFIRMED, name, encounter, named[encounter]
        elif encounter in identified:
            yield Event.IDENTIFIED, name, encounter, identified[encounter]
        elif encounter not in unknown:
            yield Event.WITHDRAWN, name, encounter, None


def _renamed(before: Mapping[str, str], renamed: Mapping[str, str], named: Mapping[str, str]) -> Iterator[Change]:
    """Names of encounters that are gone, for those that hold their photos now and have none yet; of several the oldest."""
    taken = {*before, *named}
    for old, name in before.items():
        new = renamed.get(old)
        if new and new not in taken:
            taken.add(new)
            yield Event.MOVED, name, old, new


def _moves(
    before: Mapping[str, str], clusters: Sequence[Sequence[str]], names: Sequence[str], voted_out: Mapping[str, str]
) -> Iterator[Change]:
    """Encounters that carry another name than before, or one for the first time."""
    kept, alive = set(names), set(before.values())
    for name, cluster in zip(names, clusters, strict=True):
        for encounter in cluster:
            old = before.get(encounter)
            if old is None and encounter in voted_out:
                yield Event.MOVED, name, voted_out[encounter], encounter
                alive.add(name)
            elif old is None:
                yield Event.JOINED if name in alive else Event.CREATED, name, encounter, None
                alive.add(name)
            elif old != name:
                yield Event.SPLIT if old in kept else Event.MERGED, old, encounter, name
                alive.add(name)


def _names(clusters: Sequence[Sequence[str]], before: Mapping[str, str]) -> list[str]:
    """A name for each cluster, all different."""
    claims = []
    for place, cluster in enumerate(clusters):
        shared = Counter(before[e] for e in cluster if e in before)
        for name, n_shared in shared.items():
            founder = any(provisional_id(e) == name for e in cluster)
            claims.append((-n_shared, not founder, name, place))
    name_of: dict[int, str] = {}
    for _, _, name, place in sorted(claims):
        if place not in name_of and name not in name_of.values():
            name_of[place] = name
    taken = set(name_of.values()) | set(before.values())
    for place, cluster in enumerate(clusters):
        if place not in name_of:
            name_of[place] = _fresh(cluster, taken)
            taken.add(name_of[place])
    return [name_of[place] for place in range(len(clusters))]


def _fresh(cluster: Sequence[str], taken: set[str]) -> str:
    """The first free name among those made from the encounters; if none is free, a numbered one."""
    numbered = (f"{provisional_id(cluster[0])}-{number}" for number in count(2))
    return next(name for name in chain(map(provisional_id, cluster), numbered) if name not in taken)
