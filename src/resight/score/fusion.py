"""All evidence about a pair in one number: a regularised logistic regression, learned from pairs of different encounters.

The result is the logarithm of a likelihood ratio, free of any prior: whoever uses it adds prior log odds. Features are
standardised by the workspace's own pairs of different animals, of which there are always many, so that coefficients mean the
same under any extractor. The coefficients come from the workspace's pairs of the same animal, shrunk towards a shipped prior:
the fewer such pairs, the more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import SettingsError
from resight.score.calibrators import Calibrator
from resight.score.distribution import Distributions
from resight.score.features import FEATURES
from resight.store.columns import mapped
from resight.store.fingerprint import fingerprint

N_FOLDS = 5
LARGEST = 6.0


@dataclass(frozen=True)
class Line:
    """Intercept and a coefficient per feature."""

    intercept: float
    coefficients: tuple[float, ...]

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """(N,) of (N, F) standardised features."""
        return self.intercept + z @ np.array(self.coefficients)


@dataclass(frozen=True)
class Fusion:
    """A fitted regression; `as_dict` and `from_dict` are inverse to each other.

    Attributes:
        features: Names in `FEATURES`.
        centre, spread: Mean and standard deviation of each among pairs of different animals.
        line: Log likelihood ratio as a function of the standardised features.
        folds: The same, each fitted without the animals of one fold; see `fold_of`.
        calibrator: Applied to the result of the line.
        training: What it was fitted on: counts, share of genuine pairs (the training prior), held-out log loss, where its
            prior came from.
    """

    features: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    line: Line
    folds: tuple[Line, ...]
    calibrator: Calibrator
    training: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Its name."""
        return fingerprint("Fusion", self.as_dict())

    @property
    def needs_strangers(self) -> bool:
        """Whether one of its features is missing in a gallery that has few pairs of different animals."""
        return any(FEATURES[name].needs_strangers for name in self.features)

    def standardised(self, d: Distributions) -> np.ndarray:
        """(N, F) features as the regression sees them; what needs more strangers than a gallery has any more is 0, as for strangers.

        Raises:
            SettingsError: Another feature that it was fitted with is missing from a pair.
        """
        raw = read_features(d, self.features, self.centre)
        return ((raw - np.array(self.centre)) / np.array(self.spread)).clip(-LARGEST, None)

    def log_ratio(self, d: Distributions, owners: pa.Array | Sequence[str | None] | None = None) -> np.ndarray:
        """(N,) log likelihood ratio of same against different animal.

        Args:
            d: The pairs.
            owners: Known animal of each query; its pairs are judged by the fold that has not seen it.
        """
        z = self.standardised(d)
        out = self.line(z)
        if owners is not None and self.folds:
            owners = owners if isinstance(owners, pa.Array) else pa.array(owners, pa.string())
            known = {owner: fold_of(owner) for owner in pc.unique(owners).to_pylist() if owner is not None}
            fold = np.asarray(pc.fill_null(mapped(owners, known, pa.int64()), -1))
            for k, line in enumerate(self.folds):
                out = np.where(fold == k, line(z), out)
        return self.calibrator(out)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fusion:
        """The inverse of `as_dict`."""
        return cls(
            tuple(values["features"]),
            tuple(values["centre"]),
            tuple(values["spread"]),
            _line(values["line"]),
            tuple(_line(fold) for fold in values["folds"]),
            Calibrator.from_dict(values["calibrator"]),
            values["training"],
        )


@dataclass(frozen=True)
class Prior:
    """What coefficients are shrunk towards, learned once from labelled folders.

    Attributes:
        line: On standardised features.
        strength: Number of the workspace's own genuine encounters that weigh as much as the prior.
        source: What it was learned from.
    """

    features: tuple[str, ...]
    line: Line
    strength: float
    source: str


def fold_of(individual: str) -> int:
    """The fold of an animal; the same on every night and in every gallery."""
    return int.from_bytes(hashlib.sha256(individual.encode()).digest()[:4], "big") % N_FOLDS


def read_features(d: Distributions, names: Sequence[str], of_strangers: Sequence[float] = ()) -> np.ndarray:
    """(N, F) raw features.

    Args:
        d: The pairs.
        names: In `FEATURES`.
        of_strangers: What strangers have on average, one number each; taken for `Feature.needs_strangers` that no pair has.

    Raises:
        SettingsError: A pair lacks one.
    """
    columns = []
    for number, name in enumerate(names):
        values = FEATURES[name].compute(d)
        missing = int(np.isnan(values).sum())
        if missing == len(values) and of_strangers and FEATURES[name].needs_strangers:
            values, missing = np.full(len(values), of_strangers[number]), 0
        if missing:
            raise SettingsError(
                f"the fusion was fitted with {FEATURES[name].description}, which {missing} of {len(values)} pairs lack; "
                "run `resight accuracy` to fit it again, or set back what was changed."
            )
        columns.append(values)
    return np.stack(columns, axis=1) if columns else np.zeros((len(d.n_matches), 0))


def available(d: Distributions) -> tuple[str, ...]:
    """Features that every pair has."""
    return tuple(name for name, feature in FEATURES.items() if not np.isnan(feature.compute(d)).any())


def _line(values: Mapping[str, Any]) -> Line:
    return Line(values["intercept"], tuple(values["coefficients"]))
