"""Unknown animals have a small index beside the gallery's: answers as from one of all crops, and the gallery is not coded twice."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resight.shortlist import beside as beside_module
from resight.shortlist.beside import build_beside, open_beside
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import InMemory
from resight.shortlist.store import INDEX_FILE, ShortlistIndex, build_index, extend, open_index, write_codebook
from resight.shortlist.training import train
from resight.shortlist.votes import search
from resight.store.sealed import read_json

PARAMS = ShortlistParams(pq_bytes=4, n_lists=8, n_probe=8)
FAMILY = PARAMS.index_name("d")
GALLERY, UNKNOWN = [f"g{i}" for i in range(60)], [f"u{i}" for i in range(9)]


@pytest.fixture
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(len(GALLERY) + len(UNKNOWN), 12, 16)).astype(np.float32)
    return dict(zip((*GALLERY, *UNKNOWN), x / np.linalg.norm(x, axis=2, keepdims=True), strict=True))


def memory(data: dict[str, np.ndarray], coded: list[str] | None = None) -> InMemory:
    def load(crop_id: str) -> np.ndarray:
        if coded is not None:
            coded.append(crop_id)
        return data[crop_id]

    return InMemory(load)


def base_of(folder: Path, gallery: list[str], data: dict[str, np.ndarray]) -> Path:
    return folder / build_index(folder, gallery, memory(data), PARAMS, "d").name


def beside(
    folder: Path, base: Path, crops: list[str], data: dict[str, np.ndarray], coded: list[str] | None = None
) -> ShortlistIndex:
    return open_beside(build_beside(folder, base, crops, memory(data, coded), PARAMS, FAMILY), base)


def answers(index: ShortlistIndex, data: dict[str, np.ndarray], allowed: list[str]) -> list[dict[str, object]]:
    mask = np.isin(np.array(index.crop_ids, object), allowed)
    return search(index, [(u, data[u]) for u in UNKNOWN], PARAMS, allowed=lambda _: mask).to_pylist()


def test_answers_are_those_of_one_index(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    base = base_of(tmp_path / "gallery", GALLERY, data)
    coded: list[str] = []
    two = beside(tmp_path / "unknown", base, GALLERY[:20] + UNKNOWN, data, coded)
    assert set(coded) == set(UNKNOWN)
    allowed = GALLERY[:20] + UNKNOWN[3:]
    from_two = answers(two, data, allowed)
    extend(base, UNKNOWN, memory(data), PARAMS.descriptors_per_crop)
    assert from_two == answers(open_index(base), data, allowed)
    assert {row["gallery_crop_id"] for row in from_two} & set(UNKNOWN)


def test_a_crop_that_has_a_name_by_now_is_there_once(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    folder = tmp_path / "gallery"
    beside(tmp_path / "unknown", base_of(folder, GALLERY, data), UNKNOWN, data)
    base = base_of(folder, [*GALLERY, *UNKNOWN[:4]], data)
    coded: list[str] = []
    two = beside(tmp_path / "unknown", base, UNKNOWN, data, coded)
    assert sorted(two.crop_ids) == sorted(GALLERY + UNKNOWN) and not coded
    assert answers(two, data, UNKNOWN) == answers(beside(tmp_path / "anew", base, UNKNOWN, data), data, UNKNOWN)


def test_a_night_codes_its_own_crops_and_keeps_one_index(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    folder, unknown = tmp_path / "gallery", tmp_path / "unknown"
    own = build_index(unknown, UNKNOWN, memory(data), PARAMS, "d")  # as a version made it that trained one for them
    base = base_of(folder, GALLERY, data)
    beside(unknown, base, UNKNOWN[:5], data)
    assert own.name != base.name and [file.parent.name for file in unknown.glob(f"*/{INDEX_FILE}")] == [base.name]
    coded: list[str] = []
    two = beside(unknown, base, UNKNOWN, data, coded)
    assert set(coded) == set(UNKNOWN[5:]) and set(two.crop_ids) == {*GALLERY, *UNKNOWN}


def test_a_damaged_one_is_made_anew(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    base, unknown = base_of(tmp_path / "gallery", GALLERY, data), tmp_path / "unknown"
    whole = answers(beside(unknown, base, UNKNOWN, data), data, UNKNOWN)
    segment = unknown / base.name / f"{read_json(unknown / base.name / INDEX_FILE)['segments'][0]['name']}.safetensors"
    segment.write_bytes(segment.read_bytes()[:-1])
    assert answers(beside(unknown, base, UNKNOWN, data), data, UNKNOWN) == whole


def test_a_codebook_of_the_same_name_with_other_numbers_is_another_one(
    tmp_path: Path, data: dict[str, np.ndarray]
) -> None:
    base, unknown = base_of(tmp_path / "gallery", GALLERY, data), tmp_path / "unknown"
    beside(unknown, base, UNKNOWN, data)
    for kept in ("asked", "neighbours"):
        (unknown / kept).mkdir()
    shutil.rmtree(base)
    book = train(GALLERY, memory(data), PARAMS, tmp_path)
    assert book is not None
    turned = replace(book, centres=book.centres.flip(0))  # as if another machine had counted the lists in another order
    write_codebook(base, turned, FAMILY)
    extend(base, GALLERY, memory(data), PARAMS.descriptors_per_crop)
    coded: list[str] = []
    two = beside(unknown, base, UNKNOWN, data, coded)
    assert set(coded) == set(UNKNOWN) and not [*unknown.glob("asked"), *unknown.glob("neighbours")]
    assert answers(two, data, UNKNOWN) == answers(beside(tmp_path / "anew", base, UNKNOWN, data), data, UNKNOWN)


def test_a_damaged_index_of_the_gallery_is_nobodys_base(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    folder = tmp_path / "gallery"
    base = base_of(folder, GALLERY, data)
    assert beside_module.base_of(folder, FAMILY, UNKNOWN) == base
    file = base / INDEX_FILE
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))  # another process, which has not looked at it
    segment = next(base.glob("segment-*.safetensors"))
    content = bytearray(segment.read_bytes())
    content[-1] ^= 1
    segment.write_bytes(content)
    assert beside_module.base_of(folder, FAMILY, UNKNOWN) is None and not base.exists()


def test_many_unknown_beside_few_known_have_an_index_of_their_own(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    folder = tmp_path / "gallery"
    base = base_of(folder, GALLERY[:2], data)
    assert beside_module.base_of(folder, FAMILY, [*GALLERY[:2], *UNKNOWN[:7]]) == base
    assert beside_module.base_of(folder, FAMILY, [*GALLERY[:2], *UNKNOWN[:8]]) is None


def test_what_a_kill_has_left_of_other_indexes_goes(tmp_path: Path, data: dict[str, np.ndarray]) -> None:
    base, unknown = base_of(tmp_path / "gallery", GALLERY, data), tmp_path / "unknown"
    own = unknown / build_index(unknown, UNKNOWN, memory(data), PARAMS, "d").name
    (own / INDEX_FILE).unlink()
    for name in ("asked", "numbers"):
        (unknown / name).mkdir()
    beside(unknown, base, UNKNOWN, data)
    assert {path.name for path in unknown.iterdir()} == {base.name, "numbers"}, "no answers where there was no index"
    (unknown / "asked").mkdir()
    beside(unknown, base, UNKNOWN, data)
    assert {path.name for path in unknown.iterdir()} == {base.name, "numbers", "asked"}
