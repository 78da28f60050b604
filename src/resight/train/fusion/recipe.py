"""The prior: one line on standardised features for every set of features that labelled runs have."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resight.score import logistic
from resight.score.features import FEATURES
from resight.score.fusion import Line, Prior
from resight.score.learn import weights
from resight.store.parts import write_bytes
from resight.train.fusion.material import LabelledRun, by_evidence, digest, standardised, training, with_less_evidence

RIDGE = 1.0
STRENGTH = 50.0  # 3 to 1,000 tried on training animals: above it the loss on animals left out hardly falls any more (DECISIONS.md)


def learn_prior(runs: Sequence[LabelledRun], without: str | None = None) -> Prior:
    """Balanced logistic regression over the pairs of all runs, each standardised by its own gallery's impostors.

    Args:
        runs: With the same features.
        without: An individual whose pairs are left out, so that it can be judged.
    """
    parts = [_part(run, without) for run in runs]
    names = parts[0][0]
    z, genuine, weight = (np.concatenate([p[k] for p in parts]) for k in (1, 2, 3))
    monotone = np.array([FEATURES[n].monotone for n in names])
    prior = logistic.CoefficientPrior(np.zeros(len(names)), np.full(len(names), RIDGE), monotone)
    intercept, beta = logistic.fit(z, genuine, weight, prior)
    source = ", ".join(sorted({run.name for run in runs}))
    return Prior(names, Line(intercept, tuple(float(b) for b in beta)), STRENGTH, source)


def write_prior(runs: Sequence[LabelledRun], labels: Sequence[str], target: Path) -> dict[str, Any]:
    """Learn from everything and write ``prior.json`` with what it was made of.

    A line for each kind of matcher and set of features, and one of all kinds together for those that have taught nothing. Runs whose
    matches were verified teach what they are worth without that too.
    """
    by_kind = by_evidence(with_less_evidence(runs))
    together: dict[tuple[str, tuple[str, ...]], list[LabelledRun]] = {}
    for (_, features), some in by_kind.items():
        together.setdefault(("", features), []).extend(some)
    priors = []
    for (matcher, _), taught_by in (together | by_kind).items():
        prior = learn_prior(taught_by)
        about = [_about(run) for run in taught_by]
        priors.append(
            {
                "matcher": matcher,
                "features": list(prior.features),
                "intercept": round(prior.line.intercept, 4),
                "coefficients": [round(c, 4) for c in prior.line.coefficients],
                "strength": prior.strength,
                "source": f"labelled photos of {', '.join(labels)}",
                "learned_from": about,
            }
        )
    content = {"strength": STRENGTH, "ridge": RIDGE, "priors": priors}
    write_bytes(target, (json.dumps(content, indent=1) + "\n").encode())
    return content


def _about(run: LabelledRun) -> dict[str, Any]:
    counts = {"n_pairs": run.pairs.num_rows, "n_individuals": len(set(run.labels.values()))}
    return {"run": run.name} | counts | {"digest": digest(run)}


def _part(run: LabelledRun, without: str | None) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    pairs, gallery = training(run, gallery_alone=False), training(run, gallery_alone=True)
    names, z = standardised(pairs, gallery)
    rows = np.ones(len(z), bool)
    if without is not None:
        rows = (pairs.individuals != without) & (pairs.gallery_individuals != without)
    weight = weights(pairs, rows)
    used = weight > 0
    return names, z[used], pairs.genuine[used], weight[used]
