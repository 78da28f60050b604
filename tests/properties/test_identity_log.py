"""Whatever the nights bring: the log replays to the names in use, only grows, and a night told twice is told once."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from resight.novelty.identity_log import advance, members

ENCOUNTERS = [f"encounter {k}" for k in range(8)]
PLACES = ["not met", "named", "half named", "identified", "animal 0", "animal 1", "animal 2", "animal 3"]


class Night(NamedTuple):
    clusters: list[list[str]]
    named: dict[str, str]
    identified: dict[str, str]


def night_of(places: list[str]) -> Night:
    """Every encounter is in one place: with an unknown animal, named by a person, called known, or not met.

    Of a half named one some photos have a name; the others are of an unknown animal.
    """
    of_place = {place: [e for e, p in zip(ENCOUNTERS, places, strict=True) if p == place] for place in PLACES}
    clusters = [of_place[place] for place in PLACES if place.startswith("animal") and of_place[place]]
    clusters += [[encounter] for encounter in of_place["half named"]]
    named = dict.fromkeys(of_place["named"] + of_place["half named"], "Zora")
    return Night(clusters, named, dict.fromkeys(of_place["identified"], "Kaia"))


nights = st.lists(
    st.lists(st.sampled_from(PLACES), min_size=len(ENCOUNTERS), max_size=len(ENCOUNTERS)).map(night_of),
    min_size=1,
    max_size=6,
)


@given(nights)
def test_the_log_replays_to_the_names_in_use(season: list[Night]) -> None:
    events: list[dict[str, object]] = []
    for number, night in enumerate(season):
        after = advance(events, *night, night=f"2026-06-{number + 1:02}", run_id=f"run {number}")
        assert after.events[: len(events)] == events, "what was written stays as it was written"
        assert [event["event_no"] for event in after.events] == list(range(1, len(after.events) + 1))
        assert members(after.events) == after.names
        events = after.events


@given(nights)
def test_a_night_told_twice_is_told_once(season: list[Night]) -> None:
    events: list[dict[str, object]] = []
    for number, night in enumerate(season):
        once = advance(events, *night, night=f"2026-06-{number + 1:02}", run_id=f"run {number}")
        twice = advance(once.events, *night, night="2026-07-01", run_id="again")
        assert twice.events == once.events and twice.names == once.names
        events = once.events


@given(nights)
def test_an_animal_has_one_name_and_a_name_one_animal(season: list[Night]) -> None:
    events: list[dict[str, object]] = []
    for number, night in enumerate(season):
        after = advance(events, *night, night=f"2026-06-{number + 1:02}", run_id=f"run {number}")
        names = [{after.names[encounter] for encounter in cluster} for cluster in night.clusters]
        assert all(len(name) == 1 for name in names) and len(set.union(set(), *names)) == len(night.clusters)
        assert set(after.names) == {encounter for cluster in night.clusters for encounter in cluster}
        events = after.events
