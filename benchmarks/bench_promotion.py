"""Does `resight rebuild` refuse a model that ranks as well as the one before and names worse? Drawn scores, no photos.

    python benchmarks/bench_promotion.py [--worlds 60]

The rest of what is promised is in `bench_promises.py`, whose surveys these are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from bench_promises import Survey, judged, show

from resight.evaluate.outcomes import CLOSED, ENCOUNTER
from resight.evaluate.promotion import measures
from resight.evaluate.specs import OutcomeRows
from resight.novelty.params import NoveltyParams
from resight.status import NAMED


def promotion_row(label: str, params: NoveltyParams, worlds: int, seed: int) -> dict[str, object]:
    """How often these limits are refused against the usual ones, on the same draws.

    24 animals met three times, 24 queries of them and 24 strangers.
    """
    rng, refused, named = np.random.default_rng(seed), [], []
    for _ in range(worlds):
        known = [*map(int, rng.permutation(24)), *[-1] * 24]
        survey = Survey([[2, 2, 2]] * 24, [2] * 48, known=known, genuine=4.0)
        start = int(rng.integers(1 << 32))
        models = [_outcomes(survey, start, of) for of in (NoveltyParams(), params)]
        refused.append(any(measure.worse for measure in measures(*models)))
        strangers = [row for row in models[1].of(CLOSED, ENCOUNTER, False) if row["decision"] in NAMED]
        named.append(len(strangers) / 24)
    return {"case": label, "strangers named": np.mean(named), "refused": np.mean(refused)}


def _outcomes(survey: Survey, start: int, params: NoveltyParams) -> OutcomeRows:
    """What becomes of the queries under these limits; equal ``start``, equal scores."""
    rows, *_ = judged(survey, np.random.default_rng(start), "max", params)
    rows.sort(key=lambda row: str(row["encounter_id"]))
    outcomes = [
        {
            "trial": CLOSED, "round": 0, "level": ENCOUNTER, "query_id": row["encounter_id"], "known": animal >= 0,
            "true_individual_id": f"a{animal:04}" if animal >= 0 else f"stranger {k}",
            "correct": row["individual_id"] == f"a{animal:04}", "decision": row["decision"], "probability": row["probability"],
        }
        for k, (row, animal) in enumerate(zip(rows, survey.known, strict=True))
    ]  # fmt: skip
    return OutcomeRows(pa.Table.from_pylist(outcomes))


def promotion(worlds: int) -> Iterator[dict[str, object]]:
    """Models that rank as before: one that names everybody, and one whose limits hardly differ."""
    names_all = NoveltyParams(alpha=0.9, decide_known=0.51, prior_new=0.01)
    yield promotion_row("alpha 0.9, decide_known 0.51, prior_new 0.01", names_all, worlds, 1)
    yield promotion_row(
        "decide_known 0.82, prior_new 0.21", NoveltyParams(decide_known=0.82, prior_new=0.21), worlds, 2
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=60)
    show(promotion(parser.parse_args().worlds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
