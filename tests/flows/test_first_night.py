"""A new user's first night on real photos: 8 named animals, 8 folders of dives, no outlines, nothing set."""

import csv
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from resight.flows.nightly import run_nightly
from resight.status import NAMED as CALLED
from resight.store.runs import read_run
from resight.store.workspace import Workspace

NAMED = {
    "t004": 4,
    "t008": 4,
    "t013": 5,
    "t015": 5,
    "t017": 3,
    "t020": 4,
    "t021": 3,
    "t023": 4,
}  # photos of the first encounters
MET_AGAIN = {"t004": 2, "t008": 3, "t017": 2, "t020": 2, "t021": 3, "t023": 2}  # photos of a later dive
NEW = {"t002": 3, "t016": 3}
SEEN_WELL = ("good", "fair")


def seen_well(folder: Path) -> dict[str, dict[str, list[dict[str, str]]]]:
    """Photos that show one side of the head well, by animal and encounter in the order of days."""
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = json.loads((folder / "annotations.coco.json").read_text(encoding="utf-8"))["images"]
    well = {image["file_name"] for image in images if image["head_visibility"] in SEEN_WELL}
    found: dict[str, dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda r: (r["taken_at"], r["file"])):
        if row["file"] in well and row["viewpoint"] in ("left", "right") and row["taken_at"]:
            found[row["individual_id"]][row["encounter_id"]].append(row)
    return found


def story(source: Path, photos: Path) -> dict[str, str]:
    """Copy the photos; gives the animal of each dive's folder."""
    of_animal = seen_well(source)
    known, dives = [], []
    for animal, n in NAMED.items():
        encounters = list(of_animal[animal].values())
        gallery = [row for rows in encounters for row in rows][:n]
        known += gallery
        last = max(row["encounter_id"] for row in gallery)
        later = [
            rows for rows in encounters if rows[0]["encounter_id"] > last and len(rows) >= MET_AGAIN.get(animal, 9)
        ]
        dives += [(animal, rows[: MET_AGAIN[animal]]) for rows in later[:1]]
    for animal, n in NEW.items():
        dives.append((animal, [row for rows in of_animal[animal].values() for row in rows][:n]))
    lines = []
    for number, row in enumerate(known):
        file = Path("known") / f"{row['individual_id']} {number}.jpg"
        copy(source / row["file"], photos / file)
        lines.append(f"{file.as_posix()},{row['individual_id']},{row['taken_at']}")
    for number, (_, rows) in enumerate(dives, 1):
        for k, row in enumerate(rows):
            copy(source / row["file"], photos / "June" / f"dive #{number}" / f"{k}.jpg")
    (photos / "metadata.csv").write_text("\n".join(["file,individual_id,taken_at", *lines]), encoding="utf-8")
    return {f"photos/June/dive #{number}-undated": animal for number, (animal, _) in enumerate(dives, 1)}


def copy(photo: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(photo, to)


@pytest.mark.timeout(1800)  # a minute of one core that has nothing else to do
def test_eight_dives_are_eight_encounters_and_most_have_a_name(
    shared_data: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESIGHT_WEIGHTS", raising=False)
    animal_of = story(shared_data / "zakynthos", workspace.root / "photos")
    result = run_nightly(workspace.root, overrides={"dask": {"mode": "inline"}}, quiet=True)
    assert result["counts"]["ingest"]["in"] == 52
    verdicts: list[dict[str, Any]] = read_run(workspace, result["run_id"], "novelty").to_pylist()
    assert {v["encounter_id"] for v in verdicts} == set(animal_of), "8 encounters, and no photo was voted out"
    assert sum(v["n_photos"] for v in verdicts) == 20
    called = [v for v in verdicts if v["decision"] in CALLED]
    assert all(v["individual_id"] == animal_of[v["encounter_id"]] for v in called)
    assert len(called) >= 5
