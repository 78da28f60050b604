"""A short selection of what `make torture` does for hours: faults, damage, odd inputs, random histories, losses of power."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from damaging import Damage
from faulting import Case, Faults
from fuzzing import CORPUS, KINDS, Fuzz
from histories import Histories
from power import Disk, Loss, Power
from warm import Commands, Fault, compile_library, make_season

N_FAULTS, N_DAMAGED, N_INPUTS, N_HISTORIES = 8, 6, 15, 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the smallest season, and the library where one can be built."""
    place = tmp_path_factory.mktemp("torture").resolve()
    make_season(place / "season")
    return place


@pytest.fixture(scope="module")
def commands(folder: Path) -> Iterator[Commands]:
    """Commands whose files operations can be made to fail."""
    reason = compile_library(folder / "faults.so")
    if reason:
        pytest.skip(reason)
    with Commands(folder / "commands", folder / "faults.so") as warm:
        warm.warm(folder / "season")
        yield warm


@pytest.fixture
def fuzz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fuzz:
    """Readers of odd inputs."""
    monkeypatch.setenv("RESIGHT_WEIGHTS", "")
    return Fuzz(tmp_path)


def test_no_fault_gives_a_wrong_result_or_loses_anything(commands: Commands, folder: Path) -> None:
    faults = Faults(commands, folder / "season", folder / "faults")
    reached = 0
    for case in faults.cases(N_FAULTS, jobs=("second night", "repair", "identify")):
        ending, wrong = faults.judge(case)
        assert not wrong, f"{case.name}: {wrong}"
        reached += ending != "not reached"
    assert reached > N_FAULTS / 2


def test_a_first_night_that_is_killed_before_it_is_current_is_made_again(commands: Commands, folder: Path) -> None:
    faults = Faults(commands, folder / "season", folder / "faults")
    operations = faults.scene("first night").operations
    number = next(
        i for i, (what, _, path) in enumerate(operations, 1) if what == "rename" and Path(path).parent.name == "runs"
    )
    fault = Fault(number, "kill after")
    assert faults.judge(Case("first night", "rename", "/runs", fault)) == ("killed", "")


def test_a_photo_that_could_not_be_read_when_it_was_to_be_cut_is_cut_by_the_next_run(
    commands: Commands, folder: Path
) -> None:
    faults = Faults(commands, folder / "season", folder / "faults")
    opened = [
        Case("first night", what, path.removeprefix(str(faults.work)), Fault(i, "fail", errno.EACCES))
        for i, (what, _, path) in enumerate(faults.scene("first night").operations, 1)
        if what == "open to read" and path.endswith("/who2.png")
    ]
    assert len(opened) == 2, "to take it in, and to cut it"
    for case in opened:
        assert faults.judge(case) == ("one photo rejected", "")


def test_the_judge_of_faults_sees_what_is_wrong(commands: Commands, folder: Path) -> None:
    """A lost photo and a name that has changed are differences; so is a table that is not there."""
    faults = Faults(commands, folder / "season", folder / "judged")
    scene = faults.scene("identify")
    assert not faults.differs("identify")
    scene.expected["photos"] = scene.expected["photos"].slice(1)
    assert faults.differs("identify") == "photos differ"
    for folder in faults.work.rglob("pairs.parquet"):
        shutil.rmtree(folder)
    assert faults.differs("identify") == "photos, pairs differ"


def test_damage_is_healed_or_said(commands: Commands, folder: Path) -> None:
    damage = Damage(commands, folder / "season", folder / "damage")
    parts = [file for file in (damage.before / "runs").glob("*/*.parquet/*") if file.stat().st_nlink > 1]
    assert len(parts) == 4, "two runs share a part of each large table, and with it its damage"
    for case in damage.cases(N_DAMAGED):
        ending, wrong = damage.judge(case)
        assert not wrong, f"{case}: {ending}: {wrong}"


def test_histories_end_as_undisturbed_nights(commands: Commands, folder: Path) -> None:
    several = Histories(commands, folder / "histories")
    for number in range(N_HISTORIES):
        assert several.judge(number)[1] == ""


class Forgetful(Power):
    """As if the commands never synced a folder."""

    def lines(self, journal: Path) -> list[str]:
        return [
            line for line in super().lines(journal) if not line.startswith("sync") or "." in line.rpartition("/")[2]
        ]


def test_what_a_command_has_published_survives_a_loss_of_power(commands: Commands, folder: Path) -> None:
    power = Power(commands, folder / "season", folder / "power")
    current = len(power.scene("second night").operations)
    for at, how in ((0, "names"), (current // 2, "by a coin"), (0, "contents")):
        ending, wrong = power.judge_loss(Loss("second night", at, how, 3))
        assert not wrong, f"{at} {how}: {ending}: {wrong}"
    forgetful = Forgetful(commands, folder / "season", folder / "forgetful")
    assert "differ" in forgetful.judge_loss(Loss("second night", 0, "names"))[1], "a sync that is missing is seen"


def _after_loss(tmp_path: Path, lines: list[str], how: str) -> dict[str, bytes]:
    """A folder with the file `old`, which says old; what is left of it after these operations."""
    place = tmp_path / how / "place"
    place.mkdir(parents=True)
    (place / "old").write_bytes(b"old")
    disk, (inode, new) = Disk(place), ((place / "old").stat().st_ino, 10**12)
    disk.replay([line.format(place=place, old=inode, new=new).replace(" ", "\t") for line in lines])
    source = tmp_path / "new"
    source.write_bytes(b"new")
    left = tmp_path / how / "left"
    disk.write(left, {inode: place / "old", new: source}, disk.lose(how, random.Random(0)))
    return {path.name: path.read_bytes() for path in left.iterdir()}


def test_a_loss_of_power_takes_what_was_not_synced(tmp_path: Path) -> None:
    written, synced = ["open {new} {place}/.new ", "write {new} {place}/.new "], ["sync {new} {place}/.new "]
    renamed, named = ["rename 0 {place}/.new {place}/old"], ["sync 1 {place} "]
    for how, lines, left in (
        ("names", written + synced + renamed, {"old": b"old"}),
        ("contents", written + synced + renamed, {"old": b"new"}),
        ("contents", written + renamed + named, {"old": b""}),
        ("names", written + synced + renamed + named, {"old": b"new"}),
        ("names", ["unlink 0 {place}/old "], {"old": b"old"}),
        ("contents", ["unlink 0 {place}/old "], {}),
    ):
        trial = tmp_path / str(len(list(tmp_path.iterdir())))
        trial.mkdir()
        assert _after_loss(trial, lines, how) == left, (how, lines)


@pytest.mark.parametrize("kind", KINDS)
def test_readers_answer_whatever_they_get(fuzz: Fuzz, kind: str) -> None:
    endings = set()
    for number in range(N_INPUTS):
        ending, wrong = fuzz.judge((kind, number))
        assert not wrong, f"{kind} {number}, keep it in {CORPUS}: {ending}: {wrong}"
        endings.add(ending)
    assert len(endings) > 1 or kind in ("coco", "part"), "whoever refuses everything is no reader"


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_inputs_that_once_failed(fuzz: Fuzz, file: Path) -> None:
    ending, wrong = fuzz.judge_bytes(file.parent.name, file.read_bytes())
    assert not wrong, f"{ending}: {wrong}"
