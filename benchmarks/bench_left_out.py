"""What the probabilities are worth where a shortlist leaves most of the gallery out. Drawn scores, no photos.

    python benchmarks/bench_left_out.py [--worlds 8] [--animals 200] [--listed 30]

Surveys as in `bench_promises.py`; each encounter is compared with the animals that have most of a second, noisier score. Column *before* takes what
was left out for undecided, as Resight did until 2026-11-29; both are computed from the same draws. One query in five is a stranger.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from bench_promises import Photos, Survey, draw, show, tables

from resight.evaluate.metrics import calibration_error, calibration_error_by_chance
from resight.novelty.calibration import calibrate
from resight.novelty.decide import decide
from resight.novelty.model import fit
from resight.novelty.params import NoveltyParams
from resight.novelty.sets import Days
from resight.rank.levels import Seen
from resight.rank.params import RankParams
from resight.rank.stage import rank_all
from resight.status import CALLED_NEW, NAMED

Row = dict[str, Any]
NOISE = 1.5  # of the score that makes the list


def listed(
    photos: Photos, score: np.ndarray, rows: tuple[np.ndarray, np.ndarray], n: int, rng: np.random.Generator
) -> np.ndarray:
    """Of pairs of photos (query, gallery), those whose animal is among the ``n`` with most of a noisier score."""
    query, gallery = rows
    votes = score[query, gallery] + rng.normal(0, NOISE, len(query))
    keep = np.zeros(len(query), bool)
    for photo in np.unique(query):
        own = np.flatnonzero(query == photo)
        best = np.full(photos.animal.max() + 1, -np.inf)
        np.maximum.at(best, photos.animal[gallery[own]], votes[own])
        keep[own] = np.isin(photos.animal[gallery[own]], np.argsort(-best)[:n])
    return keep


def world(n_animals: int, n_listed: int, rng: np.random.Generator) -> dict[str, list[Row]]:
    """Verdicts on 40 queries of animals of the gallery and 10 strangers, before and now."""
    gallery = [[1, 1] if a % 3 == 0 else [1] for a in range(n_animals)]
    known = [*map(int, rng.permutation(n_animals)[:40]), *[-1] * 10]
    survey = Survey(gallery, [1] * 50, known=known, genuine=4.5)
    photos, score = draw(survey, rng)
    scores, info = tables(photos, score)
    place = {name: k for k, name in enumerate(info["crop_id"].to_pylist())}
    rows = tuple(np.array([place[c] for c in scores[f"{side}_crop_id"].to_pylist()]) for side in ("query", "gallery"))
    keep = listed(photos, score, (rows[0], rows[1]), n_listed, rng)
    status = pa.array(["not_shortlisted", "scored"]).take(pa.array(keep.astype(int)))
    named = {f"{side}_photo_id": scores[f"{side}_crop_id"] for side in ("query", "gallery")}
    pairs = pa.table(named | {"purpose": scores["purpose"], "status": status})
    cut, how = scores.filter(pa.array(keep)), RankParams(rule="max")
    model = fit(calibrate(cut, info, how, pairs), signed=True)
    ranked, seen, animals = rank_all(cut, info, how), Seen.of(cut, info, how), {f"a{k:04}" for k in range(n_animals)}
    asked = info.filter(pa.array([name is None for name in info["individual_id"].to_pylist()]))
    compared: dict[str, set[str]] = {e: set() for e in asked["encounter_id"].to_pylist()}
    for e, animal in zip(ranked["encounter_id"].to_pylist(), ranked["individual_id"].to_pylist(), strict=True):
        compared[e].add(animal)
    now = replace(seen, left_out={e: frozenset(animals - of) for e, of in compared.items()})
    verdicts = {
        name: decide(ranked, asked, animals, model, NoveltyParams(), which, Days.of(info)).novelty.to_pylist()
        for name, which in {"before": seen, "now": now}.items()
    }
    truth = dict(zip(asked["encounter_id"].to_pylist(), known, strict=True))
    names = {e: f"a{animal:04}" if animal >= 0 else "" for e, animal in truth.items()}
    return {name: [row | {"truth": names[row["encounter_id"]]} for row in of] for name, of in verdicts.items()}


def figures(rows: list[Row]) -> Row:
    """Shares of all draws."""
    known, new = [r for r in rows if r["truth"]], [r for r in rows if not r["truth"]]
    right, named = [r for r in known if r["individual_id"] == r["truth"]], [r for r in known if r["decision"] in NAMED]
    stated = np.array([r["probability"] for r in rows])
    correct = np.array([float(r["individual_id"] == r["truth"]) for r in rows])
    weight = np.ones(len(rows))
    return {
        "best candidate right": len(right) / len(known),
        "of these named": np.mean([r["decision"] in NAMED for r in right]),
        "names that are wrong": np.mean([r["individual_id"] != r["truth"] for r in named]) if named else 0.0,
        "strangers named": np.mean([r["decision"] in NAMED for r in new]),
        "strangers called new": np.mean([r["decision"] in CALLED_NEW for r in new]),
        "calibration error": calibration_error(stated, correct, weight),
        "exact probabilities would show": calibration_error_by_chance(stated, weight),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("worlds", 8), ("animals", 200), ("listed", 30)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given, rng = parser.parse_args(), np.random.default_rng(15)
    worlds = [world(given.animals, given.listed, rng) for _ in range(given.worlds)]
    show({"": name} | figures([row for of in worlds for row in of[name]]) for name in ("before", "now"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
