"""What counts after several decisions."""

from __future__ import annotations

import pytest
from decision_helpers import A, B, C, MakeEntry, photo, photo_table

from resight.decisions.apply import decide_crops, decide_photos, decision_rows, rejections
from resight.decisions.entry import Entry, Kind
from resight.decisions.state import Decided, overlap
from resight.store.tables import conform


def names(decided: Decided, *rows: dict) -> list[str | None]:
    table, _, _ = decide_photos(photo_table(*rows), {}, decided)
    return table["individual_id"].to_pylist()


def test_the_later_decision_counts_and_an_undo_brings_the_earlier_one_back(make: MakeEntry) -> None:
    first = make(Kind.CONFIRM, individual_id="Leo")
    second = make(Kind.NEW, individual_id="Mia")
    assert names(Decided.of([first, second]), photo(A)) == ["Mia"]
    undo = make(Kind.UNDO, photos=(), undoes=second.decision_id)
    assert names(Decided.of([first, second, undo]), photo(A)) == ["Leo"]
    redo = make(Kind.UNDO, photos=(), undoes=undo.decision_id)
    assert names(Decided.of([first, second, undo, redo]), photo(A)) == ["Mia"]


def test_a_decision_follows_the_photo_and_not_its_file_or_encounter(make: MakeEntry) -> None:
    decided = Decided.of([make(Kind.CONFIRM, individual_id="Leo", encounter_id="dive 1")])
    assert names(decided, photo(A, uri="photos/elsewhere/x.jpg", encounter_id="dive 9"), photo(B)) == ["Leo", None]


@pytest.mark.parametrize(
    ("label", "seen", "name", "says"),
    [
        (None, None, "Leo", None),
        ("Leo", None, "Leo", None),
        ("Mia", "Mia", "Leo", "the decision is later and counts"),  # the label was there already
        ("Mia", None, "Mia", "the label counts"),  # somebody wrote it afterwards
        ("Mia", "Zora", "Mia", "the label counts"),
        (None, "Mia", "Leo", None),  # somebody removed it
    ],
)
def test_the_later_of_label_and_decision_counts_and_a_conflict_is_said(make: MakeEntry, label: str | None, seen: str | None, name: str, says: str | None) -> None:  # fmt: skip
    decided = Decided.of([make(Kind.CONFIRM, individual_id="Leo", labels={A: seen} if seen else {})])
    table, _, notes = decide_photos(photo_table(photo(A, individual_id=label)), {}, decided)
    assert table["individual_id"].to_pylist() == [name] and table["labelled_individual_id"].to_pylist() == [label]
    assert len(notes) == (says is not None) and all(str(says) in note for note in notes)
    (row,) = decision_rows(decided, table)
    assert bool(row["conflict"]) == (says is not None)
    assert conform("decisions", [row], "r")["is_active"].to_pylist() == [True]


def test_nobody_can_tell_takes_a_name_back(make: MakeEntry) -> None:
    decided = Decided.of([make(Kind.CONFIRM, individual_id="Leo"), make(Kind.CANNOT_TELL)])
    assert names(decided, photo(A)) == [None]


def test_a_rename_and_a_merge_reach_labels_and_decisions_and_can_be_undone(make: MakeEntry) -> None:
    entries = [make(Kind.CONFIRM, individual_id="Donatelo")]
    rows = photo(A), photo(B, individual_id="Don")
    entries.append(make(Kind.RENAME, (), individual_id="Donatelo", into="Donatello"))
    merge = make(Kind.MERGE, (), individual_id="Don", into="Donatello")
    assert names(Decided.of([*entries, merge]), *rows) == ["Donatello", "Donatello"]
    chain = make(Kind.RENAME, (), individual_id="Donatello", into="D1")
    assert names(Decided.of([*entries, merge, chain]), *rows) == ["D1", "D1"]
    assert Decided.of([*entries, merge, chain]).called("Donatelo") == "D1"
    undo = make(Kind.UNDO, (), undoes=merge.decision_id)
    assert names(Decided.of([*entries, merge, undo]), *rows) == ["Donatello", "Don"]
    back = make(Kind.RENAME, (), individual_id="Donatello", into="Donatelo")
    assert names(Decided.of([*entries, back]), *rows) == ["Donatelo", "Don"]


def test_named_photos_of_one_day_are_one_encounter_but_where_a_label_file_says_which(make: MakeEntry) -> None:
    decided = Decided.of([make(Kind.CONFIRM, (A, B, C), individual_id="Leo")])
    own = photo(C, encounter_id="dive 7", encounter_source="metadata")
    table, _, _ = decide_photos(photo_table(photo(A), photo(B), own), {}, decided)
    assert table["encounter_id"].to_pylist() == ["Leo-2026-06-04", "Leo-2026-06-04", "dive 7"]


def test_a_split_makes_encounters_and_voids_what_was_said_of_the_whole(make: MakeEntry) -> None:
    together = [photo(p, encounter_id="dive 4", encounter_source="metadata") for p in (A, B, C)]
    whole = [make(Kind.REJECT, (A, B, C), individual_id="Mia"), make(Kind.CONFIRM, (A, B, C), individual_id="Leo")]
    split = make(Kind.SPLIT, (A, B, C), parts=((A, B), (C,)))
    table, _, _ = decide_photos(photo_table(*together), {}, Decided.of([*whole, split]))
    one, same, other = table["encounter_id"].to_pylist()
    assert one == same != other and {one.split("/")[0], other.split("/")[0]} == {"dive 4"}
    assert table["individual_id"].to_pylist() == [None] * 3
    assert rejections(table, Decided.of([*whole, split])) == {}
    later = make(Kind.CONFIRM, (C,), individual_id="Leo")
    assert names(Decided.of([*whole, split, later]), *together) == [None, None, "Leo"]


def test_a_rejection_holds_for_the_encounter_until_the_animal_is_confirmed(make: MakeEntry) -> None:
    rows = photo_table(photo(A, encounter_id="e"), photo(B, encounter_id="e"), photo(C, encounter_id="f"))
    reject = make(Kind.REJECT, (A, B), individual_id="Mia")
    assert rejections(rows, Decided.of([reject])) == {"e": frozenset({"Mia"})}
    renamed = make(Kind.RENAME, (), individual_id="Mia", into="Maria")
    assert rejections(rows, Decided.of([reject, renamed])) == {"e": frozenset({"Maria"})}
    assert rejections(rows, Decided.of([reject, make(Kind.CONFIRM, (A, B), individual_id="Mia")])) == {}
    assert rejections(photo_table(photo(A, encounter_id="e")), Decided.of([reject])) == {"e": frozenset({"Mia"})}


def test_a_rejection_follows_the_photos_that_were_voted_out_or_stayed(make: MakeEntry) -> None:
    out = photo(C, encounter_id=f"photo-{C}", encounter_source="voted_out", voted_out_of="e")
    rows = photo_table(photo(A, encounter_id="e"), photo(B, encounter_id="e"), out)
    of_one, of_the_rest = make(Kind.REJECT, (C,), individual_id="Mia"), make(Kind.REJECT, (A, B), individual_id="Leo")
    assert rejections(rows, Decided.of([of_one, of_the_rest])) == {f"photo-{C}": {"Mia"}, "e": {"Leo"}}
    before = make(Kind.REJECT, (A, B, C), individual_id="Zora")
    assert rejections(rows, Decided.of([before])) == {"e": {"Zora"}}, "the photos that stayed are most of what was seen"


def test_a_photo_that_does_not_belong_is_out_until_it_is_undone(make: MakeEntry) -> None:
    out = make(Kind.DOES_NOT_BELONG)
    table, _, _ = decide_photos(photo_table(photo(A), photo(B)), {}, Decided.of([out]))
    assert table["status"].to_pylist() == ["rejected", "ok"] and table["reason"].to_pylist() == ["taken_out", ""]
    assert out.decision_id[:8] in table["message"][0].as_py() and "photos/a.jpg" in table["message"][0].as_py()
    undone = Decided.of([out, make(Kind.UNDO, (), undoes=out.decision_id)])
    assert decide_photos(photo_table(photo(A)), {}, undone)[0]["status"].to_pylist() == ["ok"]


def crops(*boxes: tuple[float, float, float, float]) -> list[dict]:
    keys = ("bbox_x_px", "bbox_y_px", "bbox_width_px", "bbox_height_px")
    common = {"photo_id": A, "viewpoint": "left", "segment_fingerprint": "s", "status": "ok", "reason": ""}
    return [common | {"crop_id": f"c{k}"} | dict(zip(keys, box, strict=True)) for k, box in enumerate(boxes)]


def decided_crops(*entries: Entry) -> list[tuple[str, str]]:
    table = conform("crops", crops((0, 0, 100, 100), (300, 0, 80, 80)), "r")
    done = decide_crops(table, Decided.of(entries))
    return list(zip(done["status"].to_pylist(), done["viewpoint"].to_pylist(), strict=True))


def test_a_crop_is_taken_out_by_where_it_is_and_others_of_the_photo_stay(make: MakeEntry) -> None:
    watch = make(Kind.NOT_A_HEAD, crop_box_px=(305, 2, 80, 80))
    assert decided_crops(watch) == [("ok", "left"), ("taken_out", "left")]
    everything = make(Kind.BAD_CROP)
    assert [s for s, _ in decided_crops(everything)] == ["taken_out", "taken_out"]
    drawn = make(Kind.BAD_CROP, box_px=(0, 0, 98, 100))
    assert [s for s, _ in decided_crops(everything, drawn)] == ["ok", "taken_out"]
    _, annotations, _ = decide_photos(photo_table(photo(A), photo(B)), {}, Decided.of([drawn]))
    assert set(annotations) == {A} and annotations[A][0].bbox_xywh_px == (0, 0, 98, 100)


def test_a_side_is_corrected_for_the_photo_or_for_one_crop(make: MakeEntry) -> None:
    assert decided_crops(make(Kind.SIDE, viewpoint="right")) == [("ok", "right")] * 2
    one = make(Kind.SIDE, viewpoint="right", crop_box_px=(0, 0, 100, 98))
    assert decided_crops(one) == [("ok", "right"), ("ok", "left")]
    table, _, _ = decide_photos(photo_table(photo(A)), {}, Decided.of([make(Kind.SIDE, viewpoint="top")]))
    assert table["viewpoint"].to_pylist() == ["top"]


def test_misspelt_names_in_label_files_are_said_until_somebody_says_that_they_are_two(make: MakeEntry) -> None:
    rows = photo_table(
        photo(A, individual_id="donatello"), photo(B, individual_id="Donatello"), photo(C, individual_id="Donatello")
    )
    _, _, notes = decide_photos(rows, {}, Decided.of([]))
    assert len(notes) == 1 and "donatello (1 photos; did you mean Donatello, 2 photos?)" in notes[0]
    apart = make(Kind.APART, (), individual_id="Donatello", into="donatello")
    assert decide_photos(rows, {}, Decided.of([apart]))[2] == ()


def test_overlap_of_boxes() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1 and overlap((0, 0, 10, 10), (20, 0, 10, 10)) == 0
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
