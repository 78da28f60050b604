"""What a score means: `ShippedCalibration` from the pairings of small folders (`bench_cuts.py`) and of a dense gallery (`bench_verdicts.py`).

    python benchmarks/bench_cuts.py --data heads --animals animals.csv --part training --workspace /tmp/heads --pairings folders.json
    python benchmarks/bench_verdicts.py --data heads --animals animals.csv --part training --workspace /tmp/heads --ways union --photos 1 --pairings dense.json
    python benchmarks/shipped_likelihood.py folders.json dense.json

The most probable coefficients of hits, how far the number of pairs moves a score, and the share of misses of each file, all at once, by the likelihood of which
pairings are of one animal (see `resight.novelty.likelihood`), every pairing counting the same; what other saturations would cost; and intervals over animals (bootstrap).
The animals must be such that the matcher was not trained on them.
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

START, NOT_MISSED = (-3.0, 1.5, 0.5), -1.0
SATURATIONS = (4.0, 5.0, 6.0, 8.0, 12.0, 20.0)


@dataclass(frozen=True)
class Pairings:
    """N query encounters with one animal each.

    Attributes:
        score: (N,) scores.
        n_pairs: (N,) pairs of photos behind each.
        genuine: (N,) bool.
        animal: (N,) whom the query shows.
        file: (N,) number of the file that the row is from; each has its own share of misses and of genuine rows.
        weight: (N,) how often a row counts.
    """

    score: np.ndarray
    n_pairs: np.ndarray
    genuine: np.ndarray
    animal: np.ndarray
    file: np.ndarray
    weight: np.ndarray

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Pairings:
        """From the files of `bench_cuts.py --pairings` and `bench_verdicts.py --pairings`."""
        rows = [(k, r) for k, path in enumerate(paths) for r in json.loads(path.read_text()) if r["true_individual_id"]]
        score, n_pairs = (np.array([r[c] for _, r in rows], float) for c in ("score", "n_pairs"))
        truth, name = (np.array([r[c] for _, r in rows], str) for c in ("true_individual_id", "individual_id"))
        return cls(score, n_pairs, truth == name, truth, np.array([k for k, _ in rows]), np.ones(len(rows)))

    @property
    def n_files(self) -> int:
        """How many files the rows are from."""
        return int(self.file.max()) + 1


def loss_of(theta: np.ndarray, pairings: Pairings, saturation: float) -> float:
    """Minus the log likelihood; the share of genuine rows of each file is taken out, as in `likelihood.fit_mixed`."""
    intercept, slope, crowding, *missed = theta
    w, genuine = pairings.weight, pairings.genuine
    x = saturated(pairings.score - crowding * np.log(pairings.n_pairs), saturation)
    total = 0.0
    for k, logit in enumerate(missed):
        of = pairings.file == k
        odds = np.log(w[of & genuine].sum() / w[of & ~genuine].sum())
        eta = mixed(intercept + slope * x[of], float(expit(logit))) + odds
        total += float(np.sum(w[of] * (np.logaddexp(0, eta) - genuine[of] * eta)))
    return total


def fitted(pairings: Pairings, saturation: float, crowding: float | None = None) -> tuple[np.ndarray, float]:
    """Coefficients with the shares of misses as they are, and minus the log likelihood; ``crowding`` is held where it is given."""
    start = np.array([*START, *[NOT_MISSED] * pairings.n_files])
    crowded = (0.0, None) if crowding is None else (crowding, crowding)
    bounds = [(None, None), (0.05, None), crowded, *[(-6, 3)] * pairings.n_files]
    found = optimize.minimize(loss_of, start, (pairings, saturation), "L-BFGS-B", bounds=bounds)
    return np.array([*found.x[:3], *expit(found.x[3:])]), float(found.fun)


def resampled(pairings: Pairings, rng: np.random.Generator) -> Pairings:
    """The same with animals drawn with replacement."""
    names, of = np.unique(pairings.animal, return_inverse=True)
    times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
    return replace(pairings, weight=times[of].astype(float))


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairings", type=Path, nargs="+")
    parser.add_argument("--saturation", type=float, default=8.0)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--crowding", type=float, help="hold it, where few animals cannot teach it")
    chosen = parser.parse_args(given)
    pairings = Pairings.read(chosen.pairings)
    print(
        f"{int(pairings.genuine.sum())} meetings and {int((~pairings.genuine).sum())} pairings of {len(set(pairings.animal))} animals"
    )
    for saturation in sorted({*SATURATIONS, chosen.saturation}):
        theta, loss = fitted(pairings, saturation, chosen.crowding)
        print(f"saturation {saturation:g}: {_told(theta)}; minus log likelihood {loss:.1f}")
    rng = np.random.default_rng(0)
    drawn = np.array(
        [fitted(resampled(pairings, rng), chosen.saturation, chosen.crowding)[0] for _ in range(chosen.draws)]
    )
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    print(f"95 % over animals at {chosen.saturation:g}: from {_told(low)} to {_told(high)}")
    for least in (3, 4, 5, 6):
        shares = [np.mean(pairings.score[of] > least) for of in (pairings.genuine, ~pairings.genuine)]
        print(
            f"score above {least}: {100 * shares[0]:.1f} % of the same animal, {100 * shares[1]:.2f} % of different ones"
        )


def _told(theta: np.ndarray) -> str:
    missed = ", ".join(f"{share:.2f}" for share in theta[3:])
    return f"intercept {theta[0]:.2f}, slope {theta[1]:.2f}, crowding {theta[2]:.2f}, missed {missed}"


if __name__ == "__main__":
    main()
