"""Of a query's own animal: what was compared, and what the shortlist left out, worked out by hand."""

import pyarrow as pa

from resight.pairs.cohort import Cohort
from resight.pairs.params import PairsParams
from resight.pairs.plan import PairGrid
from resight.run.own_pairs import OwnPairs, left_out, with_cut_pairs


def crops(*rows: tuple[str, str, str, str]) -> pa.Table:
    """(crop, photo, viewpoint, feature status); each photo is an encounter."""
    names = ["crop_id", "photo_id", "viewpoint", "feature_status"]
    table = pa.table({n: pa.array([r[i] for r in rows], pa.string()) for i, n in enumerate(names)})
    return table.append_column("encounter_id", table["photo_id"])


QUERIES = crops(("q1", "Q", "left", "ok"), ("q2", "Q", "left", "ok"), ("r1", "R", "left", "ok"))
GALLERY = crops(
    ("a1", "A", "left", "ok"), ("b1", "B", "left", "ok"), ("b2", "B", "left", "ok"), ("c1", "C", "right", "ok"),
    ("d1", "D", "left", "no_keypoints"), ("e1", "E", "left", "ok"), ("f1", "F", "left", "ok"), ("x1", "X", "left", "ok"),
)  # fmt: skip
LABELS = dict.fromkeys("ABCDEF", "Ada") | {"X": "Xan"}
COHORT = Cohort(frozenset("QR"), frozenset(LABELS), LABELS, {"Q": "Ada", "R": "Nobody"})


def row(query: str, gallery: str, status: str = "scored", purpose: str = "identify") -> dict[str, str]:
    photo = {"q": "Q", "r": "R"}.get(query[0], query[0].upper())
    return {
        "query_crop_id": query, "gallery_crop_id": gallery, "query_photo_id": photo,
        "gallery_photo_id": gallery[0].upper(), "purpose": purpose, "status": status,
    }  # fmt: skip


def grids() -> list[PairGrid]:
    return [
        PairGrid.between(QUERIES, GALLERY, policy=PairsParams(), purpose=purpose, forbid_same_encounter=True)
        for purpose in ("identify", "calibrate")
    ]


def test_every_way_in_which_a_pair_of_one_animal_can_end() -> None:
    pairs = pa.Table.from_pylist([
        row("q1", "a1"), row("q2", "a1", "not_shortlisted"),  # one of two crops fell behind: A was compared
        row("q1", "e1", "failed"), row("q2", "e1", "failed"),  # E was neither compared nor left out
        row("q1", "f1", "not_shortlisted"), row("q2", "f1", "failed"),  # F fell behind
        row("q1", "x1"), row("r1", "a1"), row("q1", "b1", purpose="calibrate"),  # another animal, another purpose
    ])  # fmt: skip
    own = OwnPairs.of(pairs, grids(), COHORT)
    # B is no row and so beyond the shortlist; C is the other side and D has no keypoints, so nobody left them out
    assert (own.scored, own.cut) == ({"Q": 1}, {"Q": 2})


def test_where_nothing_is_left_out_nothing_is_cut() -> None:
    plan = grids()[0].plan().pairs
    pairs = plan.set_column(plan.schema.get_field_index("status"), "status", pa.array(["scored"] * plan.num_rows))
    assert OwnPairs.of(pairs, grids(), COHORT) == OwnPairs({"Q": 4}, {})


def test_a_cohort_with_fewer_labels_counts_those_alone() -> None:
    fewer = Cohort(COHORT.queries, frozenset("AX"), {"A": "Ada", "X": "Xan"}, COHORT.truth)
    assert OwnPairs.of(pa.Table.from_pylist([row("q1", "x1")]), grids(), fewer) == OwnPairs({}, {"Q": 1})


def test_gallery_encounters_that_stand_in_have_their_own_animal_also_where_the_shortlist_left_it_out() -> None:
    everything = PairGrid.between(
        GALLERY, GALLERY, policy=PairsParams(), purpose="calibrate", forbid_same_encounter=True
    )
    rows = [row("a1", "b1", purpose="calibrate"), row("a1", "x1", purpose="calibrate"), row("q1", "a1")]
    pairs = with_cut_pairs(pa.Table.from_pylist(rows), [*grids()[:1], everything], LABELS, {"A"}).to_pylist()
    assert [(r["gallery_photo_id"], r["status"]) for r in pairs] == [
        ("B", "scored"), ("X", "scored"), ("B", "not_shortlisted"), ("E", "not_shortlisted"), ("F", "not_shortlisted"),
    ]  # fmt: skip
    assert {(r["query_photo_id"], r["purpose"]) for r in pairs} == {("A", "calibrate")}


def test_animals_that_the_shortlist_left_out_are_those_that_could_have_been_compared() -> None:
    info = pa.table({"crop_id": ["q1", "q2", "r1"], "encounter_id": ["E", "E", "F"]})
    candidates = pa.table({"encounter_id": ["E", "F"], "individual_id": ["Ada", "Xan"]})
    labels = dict.fromkeys("AB", "Ada") | {"C": "Cleo", "D": "Dot", "E": "Eve", "X": "Xan"}
    cohort = Cohort(frozenset("QR"), frozenset(labels), labels)
    # Cleo shows the other side and Dot has no keypoints: nobody left them out; F is in no gallery
    assert left_out(grids(), info, cohort, candidates) == {"E": {"Eve", "Xan"}, "F": {"Ada", "Eve"}}
    fewer = Cohort(frozenset("Q"), frozenset("AX"), {"A": "Ada", "X": "Xan"})
    assert left_out(grids(), info, fewer, candidates) == {"E": {"Xan"}}
