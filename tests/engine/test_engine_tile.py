"""A tile gives every pair what it would get alone, reduced to the columns of table pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resight.match.engine.engine import LightGlueEngine
from resight.match.engine.plan import bucket_of, plan_tile
from resight.match.engine.summary import TileSummary, summarise

QUERIES = [70, 0, 130, 64]
GALLERY = [65, 10, 128, 0, 1]


def test_summary_by_hand():
    confidence = torch.tensor([[0.25, 0.0, 0.75, 1.0, 0.05], [0.0, 0.0, 0.0, 0.0, 0.0]])
    got = TileSummary.from_rows(summarise(confidence, 4))
    assert got.confidence_histogram.tolist() == [[2, 0, 1, 1], [0, 0, 0, 0]]
    assert got.n_matches.tolist() == [4, 0] and got.n_above_01.tolist() == [3, 0] and got.n_above_05.tolist() == [2, 0]
    assert got.confidence_sum[0] == pytest.approx(2.05)
    assert got.confidence_sum_squares[0] == pytest.approx(0.0625 + 0.5625 + 1 + 0.0025)
    assert got.confidence_sum_above_half[0] == 1.75 and got.confidence_max.tolist() == [1.0, 0.0]
    assert got.log_likelihood_ratio[0] == pytest.approx(
        -np.log(0.75) - np.log(0.25) - np.log(0.95) - np.log(1e-6), rel=1e-6
    )
    assert got.confidence_histogram.dtype == got.n_matches.dtype == np.int32
    assert not any(np.asarray(v)[1].any() for v in vars(got).values())


@pytest.mark.parametrize(("kernel", "batch_size"), [("blocked", None), ("blocked", 3), ("sdpa", None), ("sdpa", 4)])
def test_tile_equals_pair_by_pair(small, random_model, photos_of, encode_all, kernel, batch_size):
    engine = LightGlueEngine.from_state_dict(
        random_model(small, dtype=torch.float64).state, dtype=torch.float64, kernel=kernel
    )
    photos = encode_all(engine, photos_of(small, QUERIES + GALLERY))
    queries, gallery = photos[: len(QUERIES)], photos[len(QUERIES) :]
    pairs = np.array([(i, j) for i in range(4) for j in range(5) if (i, j) != (2, 1)])[::-1]
    got = engine.match_tile(queries, gallery, pairs, bins=20, batch_size=batch_size)
    assert got.confidence_histogram.shape == (19, 20)
    for row, (i, j) in enumerate(pairs):
        alone = engine.match_pair(queries[i], gallery[j])
        assert got.n_matches[row] == len(alone.confidence)
        assert got.confidence_sum[row] == pytest.approx(alone.confidence.astype(np.float64).sum(), rel=1e-6)
        want = np.bincount((np.ceil(alone.confidence * 20) - 1).astype(int), minlength=20)
        assert got.confidence_histogram[row].tolist() == want.tolist()
        if 0 in (QUERIES[i], GALLERY[j]):
            assert got.n_matches[row] == 0 and got.log_likelihood_ratio[row] == 0
    assert got.n_above_05.max() > 10


def test_empty_tiles(small, random_model, photos_of, encode_all):
    for kernel in ("blocked", "sdpa"):
        engine = LightGlueEngine.from_state_dict(random_model(small).state, kernel=kernel)
        nobody, somebody = encode_all(engine, photos_of(small, [0, 5]))
        assert engine.match_tile([nobody], [somebody], np.zeros((0, 2), int), bins=5).confidence_histogram.shape == (
            0,
            5,
        )
        assert engine.match_tile([nobody], [nobody], np.array([[0, 0]]), bins=5).n_matches.tolist() == [0]
        assert len(engine.match_pair(nobody, somebody).index_a) == 0


def test_match_pair_agrees_with_kornia(small, random_model, photos_of, encode_all):
    model = random_model(small)
    a, b = photos_of(small, [60, 45])
    engine = LightGlueEngine.from_state_dict(model.state)
    found = engine.match_pair(*encode_all(engine, [a, b]))
    want = model(a, b)
    strong = found.confidence > 0.1
    assert np.array_equal(np.stack([found.index_a, found.index_b], 1)[strong], want["matches"][0].numpy())
    assert found.index_a.dtype == found.index_b.dtype == np.int32 and found.confidence.dtype == np.float32
    assert (np.diff(found.index_a) > 0).all() and (found.confidence > 0).all()


def test_buckets():
    assert [bucket_of(n) for n in (0, 1, 64, 65, 1000)] == [0, 64, 64, 128, 1024]


def test_plan_covers_every_pair_once_and_wastes_little():
    rng = np.random.default_rng(0)
    counts_a, counts_b = rng.integers(0, 1024, 40), rng.integers(200, 1024, 50)
    pairs = np.array([(i, j) for i in range(40) for j in range(50)])
    rng.shuffle(pairs)
    chunks = plan_tile(counts_a, counts_b, pairs, lambda a, b: 32)
    rows = np.concatenate([c.rows for c in chunks])
    n_a, n_b = counts_a[pairs[:, 0]], counts_b[pairs[:, 1]]
    assert sorted(rows) == np.flatnonzero(n_a * n_b).tolist()
    true, padded, buckets = 0, 0, 0
    for chunk in chunks:
        assert len(chunk.rows) <= 32 and chunk.length_a % 64 == chunk.length_b % 64 == 0
        assert n_a[chunk.rows].max() <= chunk.length_a and n_b[chunk.rows].max() <= chunk.length_b
        true += (n_a[chunk.rows] * n_b[chunk.rows]).sum()
        padded += len(chunk.rows) * chunk.length_a * chunk.length_b
        buckets += sum(
            bucket_of(int(x)) * bucket_of(int(y)) for x, y in zip(n_a[chunk.rows], n_b[chunk.rows], strict=True)
        )
    assert padded <= 1.25 * buckets and padded < 1.3 * true
    assert np.mean([len(c.rows) for c in chunks]) > 16


@pytest.mark.parametrize("n_pairs", [1, 5, 8, 13])
def test_compiled_tiles_come_in_few_sizes_and_hold_the_same(small, random_model, photos_of, encode_all, n_pairs):
    """What pads a batch to a power of two is dropped again; the compiler itself has its own test."""
    engine = LightGlueEngine.from_state_dict(random_model(small).state, kernel="sdpa")
    photos = encode_all(engine, photos_of(small, [40, 64, 33, 20, 64]))
    pairs = np.array([(i, j) for i in range(5) for j in range(5) if i != j])[:n_pairs]
    want, sizes = engine.match_tile(photos, photos, pairs, 10, batch_size=8), []

    def layers(batch, start, stop):
        sizes.append(len(batch))
        return engine.network.descriptors(batch, start, stop)

    engine._compiled = layers
    got = engine.match_tile(photos, photos, pairs, 10, batch_size=8)
    assert sizes and set(sizes) <= {1, 2, 4, 8} and sum(sizes) >= n_pairs
    np.testing.assert_array_equal(got.n_matches, want.n_matches)
    np.testing.assert_allclose(got.confidence_sum, want.confidence_sum, rtol=1e-4)
    assert want.confidence_sum.max() > 0.1
