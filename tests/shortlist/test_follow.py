"""Neighbours and verified votes that follow the gallery are those of asking anew, to the last bit, and cost what has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from resight.extract.base import Features
from resight.shortlist import follow, standing
from resight.shortlist.entries import Entries, Query, without
from resight.shortlist.follow import GONE, NOBODY, Before, Neighbours, find
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import InMemory
from resight.shortlist.scan import TorchScanner
from resight.shortlist.standing import Known, Pairs
from resight.shortlist.store import build_index, extend, open_index
from resight.shortlist.verified import verified_votes
from resight.shortlist.votes import counted

CODED = ShortlistParams(pq_bytes=4, n_lists=8, n_probe=3)
WAYS = {"coded": CODED, "exact": CODED.exact(), "few lists, many neighbours": CODED.model_copy(update={"n_lists": 2, "neighbours": 9})}  # fmt: skip
GALLERY, QUERIES = [f"g{i:02d}" for i in range(40)], [f"q{i}" for i in range(5)]


def drawn(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Crops of which every fourth shows what another one does, to the bit, so that there are ties at every distance."""
    animals = rng.normal(size=(3, 30, 16))
    data = {}
    for i, name in enumerate([*GALLERY, *QUERIES]):
        x = animals[i % 3][rng.permutation(30)[: 3 + i % 18]] + 0.4 * rng.normal(size=(3 + i % 18, 16))
        data[name] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return data | {GALLERY[i]: data[GALLERY[i - 1]] for i in range(1, 40, 4)}


def seen_before(found: Neighbours, ids: tuple[str, ...], then: set[str], index: Entries, now: np.ndarray) -> Before:
    """What was found in an index with these rows, in rows of another one."""
    row_of = {crop_id: row for row, crop_id in enumerate(index.crop_ids)}
    of_row = [row_of[crop_id] if crop_id in row_of and now[row_of[crop_id]] else GONE for crop_id in ids]
    rows = np.array([*of_row, NOBODY], np.int32)[found.rows]
    come = [row for row, crop_id in enumerate(index.crop_ids) if now[row] and crop_id not in then]
    return Before(found.distance, rows, np.array(come, np.int32))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(5))
def test_neighbours_follow_crops_that_come_and_go_and_return(tmp_path: Path, seed: int, way: str) -> None:
    rng, params = np.random.default_rng(seed), WAYS[way]
    data = drawn(rng)
    memory, coded = InMemory(data.__getitem__), GALLERY[:12]
    path = tmp_path / build_index(tmp_path, coded, memory, params, "d").name
    sets = {q: set(rng.choice(coded, 9, replace=False).tolist()) for q in QUERIES}
    kept: dict[str, tuple[Neighbours, tuple[str, ...], set[str]]] = {}
    n_ties = n_sought = n_anew = 0
    for _ in range(8):
        index = open_index(path).entries
        assert index is not None
        masks = {q: np.isin(np.array(index.crop_ids), list(sets[q])) for q in QUERIES}
        asked = {q: Query(torch.from_numpy(data[q]), torch.from_numpy(masks[q])) for q in QUERIES}
        before = {q: seen_before(*kept[q], index, masks[q]) for q in kept}
        now, anew = find(index, asked, before, params), find(index, asked, {}, params)
        for q, of_query in now.items():
            assert np.array_equal(of_query.distance, anew[q].distance)
            n_ties += int((of_query.rows != anew[q].rows).sum())
            lost = (before[q].rows == GONE).any(axis=1).sum() if q in before else len(data[q])
            assert of_query.n_sought <= lost, "none but those that have lost a neighbour are looked up"
            n_sought, n_anew = n_sought + of_query.n_sought, n_anew + len(data[q])
        votes = [counted(index.crop_ids, [(q, f[:2]) for q, f in found.items()]) for found in (now, anew)]
        assert votes[0].equals(votes[1])
        kept = {q: (of_query, index.crop_ids, set(sets[q])) for q, of_query in now.items()}
        coded = GALLERY[: min(40, len(coded) + int(rng.integers(0, 6)))]
        extend(path, sorted(set(coded) - set(index.crop_ids)), memory, 512)
        for of_query in sets.values():
            of_query |= set(rng.choice(coded, 3).tolist())
            of_query -= set(rng.choice(sorted(of_query), int(rng.integers(0, 3))).tolist())
    assert n_ties > 0, "of equally far ones others are chosen, which must not matter"
    assert 0 < n_sought < 0.75 * n_anew, "the first time all of them"


def test_a_query_with_other_descriptors_than_before_is_asked_anew(tmp_path: Path) -> None:
    data = drawn(np.random.default_rng(0))
    index = build_index(tmp_path, GALLERY, InMemory(data.__getitem__), CODED, "d").entries
    assert index is not None
    asked = {"q0": Query(torch.from_numpy(data["q0"]))}
    anew = find(index, asked, {}, CODED)["q0"]
    fewer = Before(anew.distance[1:], anew.rows[1:], np.zeros(0, np.int32))
    found = find(index, asked, {"q0": fewer}, CODED)["q0"]
    assert found.n_sought == len(data["q0"]) and np.array_equal(found.distance, anew.distance)


def test_many_that_come_are_copied_and_looked_through_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a night that brings a third of a large gallery."""
    data, sizes = drawn(np.random.default_rng(1)), list[int]()
    built = build_index(tmp_path, GALLERY, InMemory(data.__getitem__), CODED, "d").entries
    assert built is not None
    parts = [without(built.parts[0], GALLERY[first : first + 5]) for first in range(0, 40, 5)]
    index = Entries(built.codebook, parts)
    asked = {q: Query(torch.from_numpy(data[q]), torch.arange(40) < 12 + 20 * i) for i, q in enumerate(QUERIES[:2])}
    then = find(index, {q: query._replace(allowed=torch.arange(40) < 8) for q, query in asked.items()}, {}, CODED)
    before = {q: Before(*then[q][:2], np.arange(8, 12 + 20 * i, dtype=np.int32)) for i, q in enumerate(asked)}
    anew = find(index, asked, {}, CODED)

    class Spied(TorchScanner):
        def __init__(self, entries: Entries) -> None:
            sizes.append(sum(map(len, entries.parts)))
            super().__init__(entries)

    monkeypatch.setattr(follow, "TorchScanner", Spied)
    monkeypatch.setattr(follow, "ENTRIES_AT_ONCE", 100, raising=False)
    now = find(index, asked, before, CODED)
    for q, of_query in now.items():
        assert np.array_equal(of_query.distance, anew[q].distance) and of_query.n_sought == 0
    votes = [counted(index.crop_ids, [(q, f[:2]) for q, f in found.items()]) for found in (now, anew)]
    assert votes[0].equals(votes[1])
    assert len(sizes) > 2 and max(sizes) <= 100 and sum(sizes) == sum(len(data[name]) for name in GALLERY[8:32])


@pytest.mark.parametrize(("edge", "is_asked"), [(0.0, False), (0.5e-3, True)])
def test_with_faiss_a_query_to_which_something_comes_near_is_asked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edge: float, is_asked: bool
) -> None:
    """Its distances are rounded otherwise, so nothing is put between them; what is not near changes nothing."""
    data, faiss = drawn(np.random.default_rng(0)), CODED.model_copy(update={"backend": "faiss"})
    index = build_index(tmp_path, GALLERY, InMemory(data.__getitem__), CODED, "d").entries
    assert index is not None
    monkeypatch.setattr(follow, "scanner_for", lambda _, entries: TorchScanner(entries))
    allowed = torch.ones(len(index.crop_ids), dtype=torch.bool)
    allowed[7] = False
    then = find(index, {"q0": Query(torch.from_numpy(data["q0"]), allowed)}, {}, faiss)["q0"]
    asked = {"q0": Query(torch.from_numpy(data["q0"]))}
    new = find(index, {"q0": asked["q0"]._replace(allowed=~allowed)}, {}, faiss)["q0"]
    least = float((new.distance[:, 0] - then.distance[:, -1]).min())
    farther = then.distance - np.float32(max(0.0, -least) + 0.1) + np.float32(edge + 0.1 if edge else 0)
    before = Before(farther, then.rows, np.array([7], np.int32))
    found = find(index, asked, {"q0": before}, faiss)["q0"]
    assert found.n_sought == (len(data["q0"]) if is_asked else 0)
    gone = before._replace(rows=np.where(then.rows == then.rows[0, 0], GONE, then.rows), come=np.zeros(0, np.int32))
    assert find(index, asked, {"q0": gone}, faiss)["q0"].n_sought == len(data["q0"])


def features(rng: np.random.Generator, shown: np.ndarray, xy: np.ndarray) -> Features:
    """A crop that shows some of these descriptors, with noise."""
    x = shown + 0.25 * rng.normal(size=shown.shape)
    full = np.ones(len(x), np.float32)
    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Features((xy + rng.normal(size=xy.shape)).astype(np.float32), unit, 2 * full, 0 * full, full, (400, 400))


@pytest.mark.parametrize("seed", range(6))
def test_what_was_verified_stands_only_where_verifying_anew_says_the_same(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, params = np.random.default_rng(seed), ShortlistParams(descriptors_per_crop=30)
    shown, xy = rng.normal(size=(40, 24)), rng.uniform(20, 380, (40, 2))
    query = features(rng, shown[:40], xy)
    background = rng.uniform(0.3, 1.1, 30).astype(np.float32)
    crops = [features(rng, *(a[rng.permutation(40)[: 5 + i]] for a in (shown, xy))) for i in range(12)]
    distance = np.repeat(background[:, None], 5, axis=1)
    counts = {"anew": 0}

    def counted_votes(*of_pair: object) -> object:
        counts["anew"] += 1
        return verified_votes(*of_pair)  # type: ignore[arg-type]

    monkeypatch.setattr(standing, "verified_votes", counted_votes)
    n_other = n_pairs = 0
    known = [verified_votes(query, crop, background, 30, 4) for crop in crops]
    for _ in range(12):
        rows = rng.permutation(30)[: rng.integers(0, 5)]
        moved = distance.copy()
        moved[rows] *= rng.uniform(0.7, 1.2, (len(rows), 1)).astype(np.float32)
        before = Before(distance, np.zeros((30, 5), np.int32), np.zeros(0, np.int32))
        last = Known(np.arange(12, dtype=np.int32), np.array([v.votes for v in known]), tuple(v.voters.tobytes() for v in known))  # fmt: skip
        pairs = Pairs({"q": query}, {"q": Neighbours(moved, before.rows, 0)}, {"q": (before, last)}, params)
        now = [pairs.known("q", row) or pairs.verified("q", row, crop) for row, crop in enumerate(crops)]
        anew = [verified_votes(query, crop, moved[:, 0], 30, 4) for crop in crops]
        for of_pair, reference, then in zip(now, anew, known, strict=True):
            assert of_pair.votes == reference.votes and set(reference.voters) <= set(of_pair.voters)
            n_other, n_pairs = n_other + (reference.votes != then.votes), n_pairs + 1
        distance, known = moved, now
    assert 0 < n_other <= counts["anew"] < n_pairs
