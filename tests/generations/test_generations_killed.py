"""Publishing is killed at every operation on files: what is current is the old or the new, and the rerun ends equal."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generation_helpers import NEW, NIGHT, contents, copied, make_run, of_before, published, state

from resight.store.publication import publish_generation
from resight.store.workspace import Workspace

# Publishes on copies of a workspace, and ends at the first, second, third ... operation on files, until it gets through.
KILLED = textwrap.dedent(
    """
    import errno, json, os, shutil, sys
    from pathlib import Path
    from resight.store.publication import publish_generation
    from resight.store.workspace import Workspace

    template, out, arguments, links = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4] == "links"
    step = int(sys.argv[5])
    CHANGES = {"os.rename", "os.mkdir", "os.symlink", "os.link", "os.remove", "os.rmdir", "os.chmod", "shutil.copyfile", "os.truncate"}

    def refused(*args, **named):
        raise PermissionError(errno.EPERM, "no links here")

    def publish(place, number):
        left = [number]
        def operation():
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
        def hook(event, args):
            written = event == "open" and isinstance(args[0], (str, os.PathLike)) and args[1] and args[1][0] in "wax"
            if event in CHANGES or written:
                operation()
        os.fsync = lambda descriptor: operation()
        if not links:
            os.symlink = refused
        sys.addaudithook(hook)
        publish_generation(Workspace(place), **arguments)
        os._exit(0)

    status, number = 9, 0
    while status:
        shutil.copytree(template, out / str(number), symlinks=True)
        child = os.fork()
        if not child:
            publish(out / str(number), number)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9), status
        number += step
    """
)


LONGER = bool(os.environ.get("RESIGHT_TORTURE"))  # otherwise every fourth operation, and all of the commonest way
STORE = Path(__file__).resolve().parent.parent / "stores" / "2026-11-28.zip"


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "place")


BEFORE: dict[str, Callable[[Workspace], None]] = {
    "generation": published, "of before": of_before, "copied": copied, "nothing": lambda place: None
}  # fmt: skip
SHORT: list[tuple[str, dict[str, str], str]] = [
    ("generation", NIGHT, "links"),
    ("of before", NIGHT, "links"),
    ("of before", NIGHT, "no links"),
    ("generation", {"accuracy_run_id": "m"}, "links"),
]
LONG: list[tuple[str, dict[str, str], str]] = [
    ("copied", NIGHT, "links"),
    ("nothing", NIGHT, "links"),
    ("generation", NIGHT, "no links"),
    ("nothing", NIGHT, "no links"),
    ("of before", {"accuracy_run_id": "m"}, "links"),
    ("generation", {"model": NEW}, "links"),
    ("of before", {"model": NEW}, "links"),
]


@pytest.mark.kill
@pytest.mark.parametrize(("before", "arguments", "links"), SHORT + (LONG if LONGER else []))
def test_a_kill_at_any_operation_leaves_the_old_or_the_new_and_the_rerun_ends_equal(
    place: Workspace,
    tmp_path: Path,
    before: str,
    arguments: dict[str, str],
    links: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_run(place, "r1", queries="ab")
    BEFORE[before](place)
    if "run_id" in arguments:
        make_run(place, "r2", NEW, queries="abc")
    make_run(place, "m", measured=True)
    old, out = state(place), tmp_path / "out"
    step = 1 if LONGER or (arguments == NIGHT and before == "generation") else 4
    command = [sys.executable, "-c", KILLED, str(place.root), str(out), json.dumps(arguments), links, str(step)]
    subprocess.run(command, check=True, timeout=280)
    if links != "links":
        monkeypatch.setattr(os, "symlink", _refused)
    places = [Workspace(out / str(number * step)) for number in range(len(list(out.iterdir())))]
    new, expected = state(places[-1]), contents(places[-1])
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing loses power here
    states = [state(killed) for killed in places]
    assert len(places) * step > 15 and (new != old or before == "nothing")
    assert set(states) <= {old, new}
    assert states == sorted(states, key=lambda s: s == new), "once it is new it stays new"
    for killed in places:
        publish_generation(killed, **arguments)
        assert (state(killed), contents(killed)) == (new, expected)
        assert killed.current.is_symlink() == (links == "links")
        assert not (killed.models / "current.json").exists()
        assert not list(killed.generations.glob(".*")) and not list(killed.root.glob("current-until*"))


def _refused(*_: Any, **__: Any) -> None:
    raise PermissionError(1, "no links here")


def test_the_old_store_becomes_a_generation_also_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(STORE) as archive:
        archive.extractall(tmp_path / "old")
    old_place, out = Workspace(tmp_path / "old"), tmp_path / "out"
    for room in ("photos", "store"):
        shutil.rmtree(old_place.root / room)
    old = state(old_place)
    assert old[:3] == ("2026-11-21-rebuild-0d163a92", "085a8b1008f4314d", "2026-11-21-rebuild-0d163a92")
    arguments = {"run_id": "2026-11-20-nightly-ad832977", "model": "62c91c93cdd7ccf2"}
    command = [sys.executable, "-c", KILLED, str(old_place.root), str(out), json.dumps(arguments), "links", "6"]
    subprocess.run(command, check=True, timeout=280)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    places = [Workspace(folder) for folder in sorted(out.iterdir(), key=lambda folder: int(folder.name))]
    new, expected = state(places[-1]), contents(places[-1])
    assert new[:4] == (arguments["run_id"], arguments["model"], arguments["run_id"], arguments["run_id"])
    assert new[5:] == old[5:] and "accuracy.parquet" in expected, "the accuracy tables stay"
    assert {state(killed) for killed in places} == {old, new}
    for killed in places:
        publish_generation(killed, **arguments)
        assert (state(killed), contents(killed)) == (new, expected)
        assert killed.current.is_symlink() and not (killed.models / "current.json").exists()
