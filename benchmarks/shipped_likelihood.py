"""What a score means: `ShippedCalibration` from the pairings of folders that `bench_cuts.py` has cut out of a large one.

    python benchmarks/bench_cuts.py --data heads --animals animals.csv --part training --workspace /tmp/heads --pairings pairings.json
    python benchmarks/shipped_likelihood.py pairings.json

The most probable coefficients of hits, how far the number of pairs moves a score, and the share of misses, all at once, by the likelihood of which
pairings are of one animal (see `resight.novelty.likelihood`), every encounter counting the same; what other saturations would cost; and intervals over animals (bootstrap).
The animals must be such that no part of the system was trained on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import optimize
from scipy.special import expit

from resight.novelty.likelihood import mixed, saturated

START = (-3.0, 1.5, 0.5, -1.0)
SATURATIONS = (5.0, 6.0, 8.0, 10.0, 12.0, 20.0)


@dataclass(frozen=True)
class Pairings:
    """N query encounters with one animal each.

    Attributes:
        score: (N,) scores.
        n_pairs: (N,) pairs of photos behind each.
        genuine: (N,) bool.
        animal: (N,) whom the query shows.
        weight: (N,) how often a row counts.
    """

    score: np.ndarray
    n_pairs: np.ndarray
    genuine: np.ndarray
    animal: np.ndarray
    weight: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Pairings:
        """From the file of `bench_cuts.py --pairings`."""
        rows = [r for r in json.loads(path.read_text()) if r["true_individual_id"]]
        score, n_pairs = (np.array([r[c] for r in rows], float) for c in ("score", "n_pairs"))
        truth, name = (np.array([r[c] for r in rows], str) for c in ("true_individual_id", "individual_id"))
        return cls(score, n_pairs, truth == name, truth, np.ones(len(rows)))


def loss_of(theta: np.ndarray, pairings: Pairings, saturation: float) -> float:
    """Minus the log likelihood; the share of genuine rows is taken out, as in `likelihood.fit_mixed`."""
    intercept, slope, crowding, missed = theta
    w, genuine = pairings.weight, pairings.genuine
    x = saturated(pairings.score - crowding * np.log(pairings.n_pairs), saturation)
    odds = np.log(w[genuine].sum() / w[~genuine].sum())
    eta = mixed(intercept + slope * x, float(expit(missed))) + odds
    return float(np.sum(w * (np.logaddexp(0, eta) - genuine * eta)))


def fitted(pairings: Pairings, saturation: float) -> tuple[np.ndarray, float]:
    """Coefficients with the share of misses as it is, and minus the log likelihood."""
    found = optimize.minimize(
        loss_of, np.array(START), (pairings, saturation), "L-BFGS-B", bounds=[(None, None), (0.05, None), (0.0, None), (-6, 3)]
    )  # fmt: skip
    return np.array([*found.x[:3], expit(found.x[3])]), float(found.fun)


def resampled(pairings: Pairings, rng: np.random.Generator) -> Pairings:
    """The same with animals drawn with replacement."""
    names, of = np.unique(pairings.animal, return_inverse=True)
    times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
    return replace(pairings, weight=times[of].astype(float))


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairings", type=Path)
    parser.add_argument("--saturation", type=float, default=8.0)
    parser.add_argument("--draws", type=int, default=100)
    chosen = parser.parse_args(given)
    pairings = Pairings.read(chosen.pairings)
    print(
        f"{int(pairings.genuine.sum())} meetings and {int((~pairings.genuine).sum())} pairings of {len(set(pairings.animal))} animals"
    )
    for saturation in sorted({*SATURATIONS, chosen.saturation}):
        theta, loss = fitted(pairings, saturation)
        print(f"saturation {saturation:g}: {_told(theta)}; minus log likelihood {loss:.1f}")
    rng = np.random.default_rng(0)
    drawn = np.array([fitted(resampled(pairings, rng), chosen.saturation)[0] for _ in range(chosen.draws)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    print(f"95 % over animals at {chosen.saturation:g}: from {_told(low)} to {_told(high)}")
    for least in (3, 4, 5, 6):
        shares = [np.mean(pairings.score[of] > least) for of in (pairings.genuine, ~pairings.genuine)]
        print(
            f"score above {least}: {100 * shares[0]:.1f} % of the same animal, {100 * shares[1]:.2f} % of different ones"
        )


def _told(theta: np.ndarray) -> str:
    return f"intercept {theta[0]:.2f}, slope {theta[1]:.2f}, crowding {theta[2]:.2f}, missed {theta[3]:.2f}"


if __name__ == "__main__":
    main()
