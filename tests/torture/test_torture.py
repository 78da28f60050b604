"""A short selection of what `make torture` does for hours: faults, damage, odd inputs, random histories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from damaging import Damage
from faulting import Case, Faults
from fuzzing import CORPUS, KINDS, Fuzz
from histories import Histories
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


def test_the_judge_of_faults_sees_what_is_wrong(commands: Commands, folder: Path) -> None:
    """A lost photo and a name that has changed are differences; so is a table that is not there."""
    faults = Faults(commands, folder / "season", folder / "judged")
    scene = faults.scene("identify")
    assert not faults.differs("identify")
    scene.expected["photos"] = scene.expected["photos"].slice(1)
    assert faults.differs("identify") == "photos differ"
    for file in faults.work.rglob("pairs.parquet"):
        file.unlink()
    assert faults.differs("identify") == "photos, pairs differ"


def test_damage_is_healed_or_said(commands: Commands, folder: Path) -> None:
    damage = Damage(commands, folder / "season", folder / "damage")
    for case in damage.cases(N_DAMAGED):
        ending, wrong = damage.judge(case)
        assert not wrong, f"{case}: {ending}: {wrong}"


def test_histories_end_as_undisturbed_nights(commands: Commands, folder: Path) -> None:
    several = Histories(commands, folder / "histories")
    for number in range(N_HISTORIES):
        assert several.judge(number)[1] == ""


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
