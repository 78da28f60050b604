"""How much may be lost before a night is kept aside."""

from datetime import date
from typing import Any

import pytest

from resight.ingest.params import GateParams
from resight.run.gate import reason_to_keep_aside
from resight.store.parts import write_part
from resight.store.tables import conform
from resight.store.workspace import Workspace


def photo(n: int, **columns: Any) -> dict[str, Any]:
    row = {
        "photo_id": f"p{n:03}", "sha256": f"{n}", "uri": f"photos/{n:03}.jpg", "uris": [f"photos/{n:03}.jpg"], "n_files": 1,
        "size_bytes": 9, "status": "ok", "reason": "", "message": "", "first_night": date(2026, 6, 4),
        "encounter_id": f"e{n}", "encounter_source": "photo", "viewpoint": "left", "individual_id": "Leo" if n < 50 else None,
    }  # fmt: skip
    return row | columns


def reason(workspace: Workspace, now: list[dict[str, Any]], n: int = 100, **shares: Any) -> str:
    if n:
        write_part(workspace.current, "photos", conform("photos", [photo(i) for i in range(n)], "earlier"))
    return reason_to_keep_aside(workspace, conform("photos", now, "now"), ("photos",), GateParams(**shares))


@pytest.mark.parametrize(("n_before", "n_gone", "refused"), [(100, 10, False), (100, 11, True), (10, 4, False),
                                                             (10, 5, True), (3, 3, True), (1, 1, True)])  # fmt: skip
def test_photos_may_go_up_to_a_share_and_a_few_always(
    workspace: Workspace, n_before: int, n_gone: int, refused: bool
) -> None:
    said = reason(workspace, [photo(i) for i in range(n_before - n_gone)], n_before, max_gallery_loss=1)
    assert bool(said) == refused
    assert not refused or f"{n_gone} of {n_before} photos are gone" in said


def test_photos_that_moved_or_were_edited_are_not_gone(workspace: Workspace) -> None:
    moved = [photo(i, uri=f"other/{i}.jpg", uris=[f"other/{i}.jpg"]) for i in range(50)]
    edited = [photo(i, photo_id=f"edited{i}", sha256=f"x{i}") for i in range(50, 100)]
    assert reason(workspace, moved + edited) == ""


def test_new_photos_that_cannot_be_opened_are_the_disk_and_not_the_photos(workspace: Workspace) -> None:
    broken = {"status": "rejected", "reason": "unreadable"}
    first = reason(workspace, [photo(i, **broken) for i in range(5)], n=0)
    assert "5 of 5 new photos cannot be opened" in first and "since" not in first
    assert reason(workspace, [photo(0, **broken)], n=0) == ""
    assert reason(workspace, [photo(i, status="rejected", reason="truncated") for i in range(5)], n=0) == ""


def test_names_may_change_but_the_gallery_may_not_shrink(workspace: Workspace) -> None:
    swapped = [photo(i, individual_id=None if i < 10 else "Leo") for i in range(60)]
    assert reason(workspace, swapped + [photo(i) for i in range(60, 100)]) == ""
    lost = [photo(i, individual_id="Leo" if i < 44 else None) for i in range(100)]
    assert "6 of 50 photos of known animals are lost to the gallery" in reason(workspace, lost)


def test_what_is_there_and_cannot_be_read_keeps_also_a_first_night_aside(workspace: Workspace) -> None:
    photos = conform("photos", [photo(0)], "now")
    said = reason_to_keep_aside(workspace, photos, ("photos",), GateParams(), ("photos/metadata.csv",))
    assert "photos/metadata.csv cannot be read" in said and "--accept" in said
