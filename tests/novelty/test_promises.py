"""The promises in short simulations; benchmarks/bench_promises.py has the long ones."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_promises.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_promises", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_promises"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("animals", "times", "photos", "rule", "alpha"),
    [(9, 1, 2, "max", 0.2), (19, 3, 2, "max", 0.1), (19, 1, 12, "max", 0.1), (19, 2, 1, "mean_max", 0.1)],
)
def test_strangers_get_a_small_p_value_no_more_often_than_it_says(bench, animals, times, photos, rule, alpha):
    rng, shares = np.random.default_rng(animals * photos), []
    for _ in range(25):
        survey = bench.Survey(bench.met(rng, animals, times), [photos] * 6)
        rows, *_ = bench.judged(survey, rng, rule)
        shares.append(np.mean([r["p_value"] <= alpha for r in rows]))
    assert np.mean(shares) <= alpha + 2.5 * np.std(shares) / np.sqrt(len(shares)) + 0.01


def test_more_photos_used_to_make_a_stranger_look_known(bench):
    case = ("19 met once, 12 photos", 0.1, lambda r: bench.met(r, 19), 12, "max")
    row = bench.p_value_row(case, 12, 4, 0)
    assert row["before"] > 0.25 and row["now"] <= 0.2


def test_candidate_sets_hold_the_right_animal_after_years_too(bench):
    row = bench.sets_row("two years later", 730, 3.0, 8, 0)
    assert row["before"] < 0.85 < row["stated"] and row["now"] >= row["stated"] - 0.08
