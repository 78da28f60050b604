"""The log keeps every decision, says when a line is not what was written, and grows together with other copies of itself."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from decision_helpers import A, B

from resight.decisions.entry import Entry, Kind, clean_name
from resight.decisions.log import DecisionLog
from resight.errors import MachineError, SettingsError, WorkspaceError
from resight.store.workspace import Workspace


def confirm(name: str, **said: object) -> Entry:
    return Entry(kind=Kind.CONFIRM, by="Ana", photos=(A,), individual_id=name, **said)  # type: ignore[arg-type]


def only_file(log: DecisionLog) -> Path:
    (file,) = log.folder.glob("*.jsonl")
    return file


def test_what_was_added_is_read_back_by_another_process_in_its_order(workspace: Workspace) -> None:
    log = DecisionLog(workspace)
    added = [log.append(confirm(name, note="höhö\nzwei", labels={A: "Zora"})) for name in ("Leo", "Mia", "Leo")]
    assert DecisionLog(workspace).entries() == tuple(added)
    assert len({e.decision_id for e in added}) == 3 and [e.at for e in added] == sorted(e.at for e in added)


def test_a_clock_that_was_set_back_does_not_change_what_counts(workspace: Workspace) -> None:
    log = DecisionLog(workspace)
    log.append(confirm("Leo", at="2199-01-01T00:00:00.000000+00:00"))
    assert log.append(confirm("Mia")).at > "2199"


def test_a_request_that_is_sent_twice_is_one_decision(workspace: Workspace) -> None:
    log = DecisionLog(workspace)
    first = log.append(confirm("Leo", request="r1"))
    assert DecisionLog(workspace).append(confirm("Leo", request="r1")) == first
    assert len(DecisionLog(workspace).entries()) == 1


@pytest.mark.parametrize("cut", [1, 20, 120])
def test_a_line_cut_off_by_a_loss_of_power_takes_no_other_with_it(workspace: Workspace, cut: int) -> None:
    log = DecisionLog(workspace)
    kept = log.append(confirm("Leo"))
    log.append(confirm("Mia"))
    file = only_file(log)
    file.write_bytes(file.read_bytes()[:-cut])
    again = DecisionLog(workspace)
    if cut == 1:  # only the line break is gone
        assert len(again.entries()) == 2 and not again.notes
    else:
        assert again.entries() == (kept,)
        assert "line 2 does not count (it is not whole)" in again.notes[0]
    added = again.append(confirm("Zora"))
    assert DecisionLog(workspace).entries()[-1] == added


def test_a_line_that_was_edited_does_not_count(workspace: Workspace) -> None:
    log = DecisionLog(workspace)
    log.append(confirm("Leo"))
    file = only_file(log)
    file.write_text(file.read_text().replace('"Leo"', '"Mia"'))
    again = DecisionLog(workspace)
    assert again.entries() == () and "it was changed after it was written" in again.notes[0]


@pytest.mark.parametrize("line", [b"[]", b"{}", b'{"format": 9}', b'{"format":1,"kind":"eat","by":"A"}', b"\xff\xfe", b'{"format":1,"kind":"confirm","by":7,"photos":[1]}'])  # fmt: skip
def test_odd_lines_are_left_out_with_a_reason(workspace: Workspace, line: bytes) -> None:
    workspace.decisions.mkdir()
    (workspace.decisions / "x.jsonl").write_bytes(line + b"\n")
    log = DecisionLog(workspace)
    assert log.entries() == () and len(log.notes) == 1


def test_two_copies_grow_together_whichever_way_files_go(workspace: Workspace, tmp_path: Path) -> None:
    DecisionLog(workspace).append(confirm("Leo"))
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(workspace.root, copy.root)
    here, there = DecisionLog(workspace), DecisionLog(copy)
    here.append(confirm("Mia"))
    there.append(confirm("Zora"))
    there.append(confirm("Ida"))
    assert here.merge(copy) == 2 and here.merge(copy) == 0
    for file in workspace.decisions.iterdir():  # and by copying files
        shutil.copy(file, copy.decisions)
    assert DecisionLog(copy).entries() == DecisionLog(workspace).entries() == here.entries()
    assert [e.individual_id for e in here.entries()] == ["Leo", "Mia", "Zora", "Ida"]


def test_nothing_is_taken_over_from_a_damaged_copy(workspace: Workspace, tmp_path: Path) -> None:
    copy = Workspace(tmp_path / "copy")
    copy.root.mkdir()
    DecisionLog(copy).append(confirm("Leo"))
    file = next(copy.decisions.iterdir())
    file.write_bytes(file.read_bytes() + b"half a li")
    with pytest.raises(WorkspaceError, match="Nothing was taken over"):
        DecisionLog(workspace).merge(copy)
    assert DecisionLog(workspace).entries() == ()


def test_half_a_line_of_a_killed_writer_is_set_aside_once_and_a_whole_one_never(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    killed = DecisionLog(workspace)
    killed.append(confirm("Leo"))
    file = only_file(killed)
    whole, half = file.read_bytes(), confirm("Mia", at="2026-06-01T00:00:00.000000+00:00").line()[:70]
    file.write_bytes(whole + half)
    assert "it is not whole" in reader_of(workspace).notes[0]
    DecisionLog(workspace).append(confirm("Zora"))
    assert file.read_bytes() == whole + half, "it may be arriving just now from another copy"
    os.utime(file, (1, 1))
    DecisionLog(workspace).append(confirm("Ida"))
    assert file.read_bytes() == whole and "was cut off before anybody was told" in caplog.text
    (aside,) = (workspace.decisions / "torn").iterdir()
    assert aside.read_bytes() == half
    again = reader_of(workspace)
    assert not again.notes and [e.individual_id for e in again.entries()] == ["Leo", "Zora", "Ida"]
    for left in (
        whole[:-1],
        whole + b'{"format": 9}',
        whole.replace(b"Leo", b"Lea")[:-1],
    ):  # whole, of a newer version, edited
        file.write_bytes(left)
        os.utime(file, (1, 1))
        DecisionLog(workspace).append(confirm("Ben"))
        assert file.read_bytes() == left


def reader_of(workspace: Workspace) -> DecisionLog:
    log = DecisionLog(workspace)
    log.entries()
    return log


def test_many_threads_lose_nothing(workspace: Workspace) -> None:
    log = DecisionLog(workspace)

    def work(k: int) -> None:
        for n in range(10):
            log.append(confirm(f"T{k}{n}"))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = DecisionLog(workspace).entries()
    assert len(entries) == 80 and len({e.at for e in entries}) == 80


def test_half_a_line_is_taken_back_where_the_disk_is_full(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    log = DecisionLog(workspace)
    log.append(confirm("Leo"))
    before = only_file(log).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="is full"):
        log.append(confirm("Mia"))
    assert only_file(log).read_bytes() == before


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (replace(confirm("Leo"), individual_id=None), "needs individual_id"),
        (replace(confirm("Leo"), photos=()), "about no photo"),
        (replace(confirm("Leo"), by=" "), "name of the person"),
        (replace(confirm("Leo"), individual_id="x" * 101), "1 to 100"),
        (Entry(kind=Kind.SPLIT, by="Ana", photos=(A, B), parts=((A,), ())), "two parts or more"),
        (Entry(kind=Kind.SPLIT, by="Ana", photos=(A, B), parts=((A,), (A, B))), "exactly one"),
        (Entry(kind=Kind.SIDE, by="Ana", photos=(A,), viewpoint="under"), "no side"),
        (Entry(kind=Kind.BAD_CROP, by="Ana", photos=(A,), box_px=(1, 2, 0, 5)), "A box is"),
    ],
)
def test_a_decision_that_says_too_little_is_refused(workspace: Workspace, entry: Entry, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        DecisionLog(workspace).append(entry)
    assert not workspace.decisions.exists()


def test_names_lose_what_cannot_be_seen() -> None:
    assert clean_name("  Don\u200b\x1b[31m  atello\n") == "Don [31m atello"
    assert json.loads(confirm("Mi\u202ea").line())["individual_id"]


def test_what_another_process_writes_while_this_one_waits_is_seen(workspace: Workspace) -> None:
    here, other = DecisionLog(workspace), DecisionLog(workspace)
    here.append(confirm("Leo"))
    with ThreadPoolExecutor(1) as pool:
        with other._writing():
            waiting = pool.submit(here.append, confirm("Mia"))
            time.sleep(0.3)
            assert not waiting.done()
            other._write(confirm("Zora", at="2026-06-01T00:00:00.000000+00:00").line())
        waiting.result(timeout=10)
    assert {entry.individual_id for entry in here.entries()} == {"Leo", "Mia", "Zora"}


def test_whoever_sets_half_a_line_aside_says_no_more_that_it_is_there(workspace: Workspace) -> None:
    log = DecisionLog(workspace)
    log.append(confirm("Leo"))
    file = only_file(log)
    file.write_bytes(file.read_bytes() + confirm("Mia", at="2026-06-01T00:00:00.000000+00:00").line()[:70])
    os.utime(file, (1, 1))
    log = reader_of(workspace)
    assert log.notes
    log.append(confirm("Zora"))
    log.entries()
    assert not log.notes
