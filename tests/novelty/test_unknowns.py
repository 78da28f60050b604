"""Who is one animal, and names that last: on cases worked out by hand."""

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from resight.decisions.names import provisional_id
from resight.novelty.identity_log import advance, members
from resight.novelty.unknowns import apart, cluster_grid, encounter_of, other_sides, sightings
from resight.pairs.params import PairsParams

A, B, C, D = (provisional_id(e) for e in "abcd")


def nights(*steps):
    """Run steps of (clusters, named, identified); gives names and events of the last."""
    events, lineage = [], None
    for k, (clusters, named, identified) in enumerate(steps):
        lineage = advance(events, [list(c) for c in clusters], named, identified, f"2026-06-0{k + 1}", f"run{k + 1}")
        events = lineage.events
    return lineage.names, [
        (str(e["night"])[-1], e["event"], e["provisional_individual_id"], e["encounter_id"], e["into"]) for e in events
    ]


def test_names_last_and_a_night_without_change_adds_nothing():
    names, events = nights((["ab", "c"], {}, {}), (["ab", "c"], {}, {}), (["abd", "c"], {}, {}))
    assert names == {"a": A, "b": A, "c": C, "d": A}
    assert events == [
        ("1", "created", A, "a", None), ("1", "joined", A, "b", None), ("1", "created", C, "c", None), ("3", "joined", A, "d", None),
    ]  # fmt: skip


def test_merged_into_the_larger_and_split_from_it_again():
    names, events = nights((["ab", "c"], {}, {}), (["abc"], {}, {}), (["ab", "c"], {}, {}))
    assert events[3:] == [("2", "merged", C, "c", A), ("3", "split", A, "c", C)]
    assert names == {"a": A, "b": A, "c": C}, "the encounter gets its old name back"


def test_the_larger_part_keeps_the_name_and_ties_go_to_the_founder():
    names, _ = nights((["abc"], {}, {}), (["a", "bc"], {}, {}))
    assert names["b"] == names["c"] == A and names["a"] not in (A, B, C)
    names, _ = nights((["ab"], {}, {}), (["a", "b"], {}, {}))
    assert names == {"a": A, "b": B}


def test_confirmed_identified_and_withdrawn_end_it_for_that_encounter():
    names, events = nights((["abcd"], {}, {}), (["b"], {"a": "Ada"}, {"c": "Cleo"}))
    assert names == {"b": A}
    assert events[4:] == [
        ("2", "confirmed", A, "a", "Ada"), ("2", "identified", A, "c", "Cleo"), ("2", "withdrawn", A, "d", None),
    ]  # fmt: skip
    assert members([]) == {}


def test_replaying_the_events_gives_the_names():
    steps = (["ab", "c"], {}, {}), (["abc"], {}, {}), (["a", "bc", "d"], {}, {}), (["ad", "bc"], {}, {})
    events = []
    for clusters, named, identified in steps:
        lineage = advance(events, [list(c) for c in clusters], named, identified, "2026-06-01", "r")
        events = lineage.events
        assert members(events) == lineage.names
    assert [e["event_no"] for e in events] == list(range(1, len(events) + 1))


def crops(*rows):
    names = ("crop_id", "photo_id", "encounter_id", "viewpoint")
    columns = {n: pa.array([r[k] for r in rows], pa.string()) for k, n in enumerate(names)}
    more = {"individual_id": pa.nulls(len(rows), pa.string()), "feature_status": pa.array(["ok"] * len(rows))}
    return pa.table(columns | more)


def test_each_animal_of_a_shared_photo_is_a_sighting_and_pairs_are_planned_once():
    p1, p2 = "0a" * 10, "0b" * 10
    info = crops((p1, "P", "E", "left"), (p2, "P", "E", "left"), ("q", "Q", "E", "left"), ("f", "F", "Z", "left"))
    seen = sightings(info, {"E", "Z"})
    assert seen["encounter_id"].to_pylist() == [f"E#{p1}", f"E#{p2}", "E", "Z"]
    assert apart(seen) == {(f"E#{p1}", f"E#{p2}")}
    plan = cluster_grid(seen, PairsParams()).plan()
    assert plan.left_out.num_rows == 0
    assert [(r["query_crop_id"], r["gallery_crop_id"], r["status"]) for r in plan.pairs.to_pylist()] == [
        (p1, "f", "planned"), (p2, "f", "planned"), ("q", "f", "planned"),
    ]  # fmt: skip
    assert cluster_grid(sightings(info, {"E"}), PairsParams()).plan().pairs.num_rows == 0


def test_who_came_later_asks_so_that_nothing_changes_for_those_before():
    info = crops(*[(c, c.upper(), c.upper(), "left") for c in "abc"], ("a2", "A2", "A", "left"))
    nights = {"A": date(2026, 6, 1), "B": date(2026, 6, 2), "C": date(2026, 6, 1), "A2": date(2026, 6, 3)}

    def found(photos):
        seen = sightings(info.filter(pc.is_in(info["photo_id"], pa.array(photos))), {"A", "B", "C"})
        rows = cluster_grid(seen, PairsParams(), nights).plan().pairs.to_pylist()
        return {(r["query_crop_id"], r["gallery_crop_id"]) for r in rows}

    before = found(["A", "C"])
    assert before == {("a", "c")}, "of one night, the alphabetically first asks"
    assert found(["A", "B", "C"]) == before | {("b", "a"), ("b", "c")}
    assert found(["A", "B", "C", "A2"]) == before | {("b", "a"), ("b", "c"), ("b", "a2"), ("a2", "c")}, (
        "a sighting asks as one"
    )


def test_a_photo_with_a_name_is_no_unknown_although_its_encounter_has_others():
    info = crops(("q", "Q", "E", "left"), ("n", "N", "E", "left"), ("f", "F", "Z", "left"))
    place = info.schema.get_field_index("individual_id")
    info = info.set_column(place, "individual_id", pa.array([None, "Ada", None], pa.string()))
    assert sightings(info, {"E", "Z"})["crop_id"].to_pylist() == ["q", "f"]


@pytest.mark.parametrize("side", ["right", "back"])
def test_sides_that_cannot_be_compared_keep_their_reason(side):
    seen = sightings(crops(("a", "A", "A", "left"), ("b", "B", "B", side)), {"A", "B"})
    left_out = cluster_grid(seen, PairsParams()).plan().left_out
    assert left_out.select(["query_crop_id", "reason", "n_left_out"]).to_pylist() == [
        {"query_crop_id": "a", "reason": "viewpoint", "n_left_out": 1}
    ]


def test_left_and_right_of_an_unknown_animal_may_be_one():
    """Unless a photo shows both, or the animal was seen from both sides, or it has no name."""
    rows = [("l", "L", "L", "left"), ("r", "R", "R", "right"), ("b", "B", "B", "left"), ("c", "C", "B", "right")]
    seen = sightings(crops(*rows), {"L", "R", "B"})
    names = {"L": "new-1", "R": "new-2", "B": "new-3"}
    said = other_sides(seen, names)
    assert said.keys() == {"L", "R"}
    assert said["L"] == "It was seen from the left only, and may be the same animal as new-2, seen from the right only."
    assert other_sides(seen, {"L": "new-1", "B": "new-3"}) == {}
    shared = sightings(crops(("0a" * 10, "P", "E", "left"), ("0b" * 10, "P", "E", "right")), {"E"})
    first, second = shared["encounter_id"].to_pylist()
    assert other_sides(shared, {first: "new-1", second: "new-2"}) == {}, "one photo shows both animals"


def test_a_name_goes_with_the_photos_where_their_encounter_is_called_otherwise():
    first = advance([], [["a"], ["b"]], {}, {}, "2026-06-01", "run1")
    second = advance(first.events, [["d"], ["b"]], {}, {}, "2026-06-02", "run2", renamed={"a": "d"})
    assert second.names == {"d": A, "b": B}
    new = [(e["event"], e["provisional_individual_id"], e["encounter_id"], e["into"]) for e in second.events[2:]]
    assert new == [("moved", A, "a", "d"), ("withdrawn", A, "a", None)]
    confirmed = advance(first.events, [["b"]], {"a": "Leo", "d": "Leo"}, {}, "2026-06-02", "run2", renamed={"a": "d"})
    assert [e["event"] for e in confirmed.events[2:]] == ["confirmed"], (
        "a person's name takes the place of the program's"
    )
    again = advance(second.events, [["d"], ["b"]], {}, {}, "2026-06-03", "run3", renamed={})
    assert again.events == second.events and members(again.events) == {"d": A, "b": B}


def test_a_photo_that_was_voted_out_is_logged_with_the_encounter_that_it_left():
    log = advance([], [["a"], ["c"]], {}, {}, "2026-06-01", "run1", voted_out={"c": "a"})
    new = [(e["event"], e["provisional_individual_id"], e["encounter_id"], e["into"]) for e in log.events]
    assert new == [("created", A, "a", None), ("moved", C, "a", "c")]
    assert members(log.events) == {"a": A, "c": C}
    again = advance(log.events, [["a"], ["c"]], {}, {}, "2026-06-02", "run2", voted_out={"c": "a"})
    assert again.events == log.events


def test_an_encounter_may_have_a_hash_in_its_name():
    assert encounter_of("photos/Dive #3-undated") == "photos/Dive #3-undated"
    assert encounter_of("photos/Dive #3-undated#" + "0a" * 10) == "photos/Dive #3-undated"
