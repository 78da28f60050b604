"""Do the promises hold? Drawn scores of drawn surveys, judged by the library's own functions; no photo is needed.

    python benchmarks/bench_promises.py [p_values sets intervals groups] [--worlds 150] [--large] [--named "30 photos"]

``p_values``: how often a stranger gets a p-value of at most alpha. ``sets``: how often a candidate set holds the right animal, after
days and after years. ``intervals``: how often a 95 % interval covers the true share. ``groups``: how often some kind of photo is
called bad where none is. Column *before* computes what Resight did until 2026-11-28 from the same draws. Two queries of one world
share its gallery, so errors are estimated over worlds. All of it takes about a quarter of an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa

from resight.evaluate.bootstrap import interval
from resight.evaluate.metrics import weighted_mean
from resight.evaluate.shares import holm, share_interval, worse_than_rest
from resight.novelty.calibration import Calibration, calibrate
from resight.novelty.decide import decide
from resight.novelty.model import fit
from resight.novelty.params import NoveltyParams
from resight.novelty.sets import Days
from resight.rank.levels import Seen
from resight.rank.params import RankParams
from resight.rank.rule import GROWING
from resight.rank.stage import rank_all

FIRST_DAY = date(2020, 6, 1)
ANIMAL, PHOTO, PAIR = 0.2, 0.3, 1.0  # spread of the scores between animals, between photos of an animal, and of pairs


@dataclass(frozen=True)
class Survey:
    """A gallery and its queries.

    Attributes:
        gallery: For each animal, photos of each of its encounters.
        days: For each animal, the day of each of its encounters; one after the other if empty.
        queries: Photos of each query encounter.
        known: The animal of each query; -1 for a stranger, who is another one in each.
        query_day: When the queries were taken.
        most: Gallery encounters that calibrate at most.
        genuine: Mean score of a pair of one animal on another day; falls by ``decline`` after more than a year.
    """

    gallery: Sequence[Sequence[int]]
    queries: Sequence[int]
    days: Sequence[Sequence[int]] = ()
    known: Sequence[int] = ()
    query_day: int = 400
    most: int = 300
    genuine: float = 6.0
    decline: float = 0.0


@dataclass(frozen=True)
class Photos:
    """One entry for each photo: its encounter, its animal, its day, whether it is a query, and whether it calibrates."""

    encounter: np.ndarray
    animal: np.ndarray
    day: np.ndarray
    query: np.ndarray
    calibrates: np.ndarray


def photos_of(survey: Survey) -> Photos:
    """The photos of a survey, gallery first."""
    encounter, animal, day, query, calibrates = [], [], [], [], []
    order = sorted((k, a) for a, meetings in enumerate(survey.gallery) for k in range(len(meetings)))
    chosen = {(a, k) for k, a in order[: survey.most]}  # one encounter of each animal first
    n = 0
    for a, meetings in enumerate(survey.gallery):
        for k, count in enumerate(meetings):
            when = survey.days[a][k] if survey.days else 10 * k
            encounter += [n] * count
            animal += [a] * count
            day += [when] * count
            query += [False] * count
            calibrates += [(a, k) in chosen] * count
            n += 1
    for q, count in enumerate(survey.queries):
        own = survey.known[q] if survey.known else -1
        encounter += [n + q] * count
        animal += [own if own >= 0 else len(survey.gallery) + q] * count
        day += [survey.query_day] * count
        query += [True] * count
        calibrates += [False] * count
    return Photos(*(np.array(column) for column in (encounter, animal, day, query, calibrates)))


def draw(survey: Survey, rng: np.random.Generator) -> tuple[Photos, np.ndarray]:
    """Photos and the (N, N) symmetric scores of their pairs: the higher, the more alike."""
    photos = photos_of(survey)
    own = rng.normal(0, ANIMAL, photos.animal.max() + 1)[photos.animal]
    own = own + rng.normal(0, PHOTO, len(own))
    noise = rng.normal(0, PAIR, (len(own), len(own)))
    score = own[:, None] + own[None, :] + np.triu(noise, 1) + np.triu(noise, 1).T
    same = photos.animal[:, None] == photos.animal[None, :]
    years = np.abs(photos.day[:, None] - photos.day[None, :]) > 365
    return photos, score + same * (survey.genuine - survey.decline * years)


def tables(photos: Photos, score: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """The table of scores and the crops, as a run has them."""
    gallery = ~photos.query
    q, g = np.nonzero(gallery[None, :] & (photos.encounter[:, None] != photos.encounter[None, :]))
    same = (photos.animal[q] == photos.animal[g]) & (photos.day[q] == photos.day[g]) & gallery[q]
    keep = (photos.query[q] | photos.calibrates[q]) & ~same
    q, g = q[keep], g[keep]
    names = pa.array([f"p{k:05}" for k in range(len(photos.day))])
    purpose = pa.array(["calibrate", "identify"]).take(pa.array(photos.query[q].astype(int)))
    scores = pa.table(
        {"query_crop_id": names.take(pa.array(q)), "gallery_crop_id": names.take(pa.array(g)), "purpose": purpose,
         "score": score[q, g]}
    )  # fmt: skip
    animal = [None if is_query else f"a{a:04}" for a, is_query in zip(photos.animal, photos.query, strict=True)]
    info = pa.table(
        {"crop_id": names, "photo_id": names, "encounter_id": [f"e{e:05}" for e in photos.encounter],
         "individual_id": pa.array(animal, pa.string()), "taken_on": [FIRST_DAY + timedelta(int(d)) for d in photos.day]}
    )  # fmt: skip
    return scores, info


def judged(
    survey: Survey, rng: np.random.Generator, rule: str, params: NoveltyParams | None = None
) -> tuple[list[dict[str, object]], Calibration, pa.Table]:
    """Verdicts on the queries, what they rest on, and the ranking; with other limits in ``params``."""
    scores, info = tables(*draw(survey, rng))
    how = RankParams(rule=rule)
    calibration = calibrate(scores, info, how)
    model = fit(calibration, signed=True, grows=rule in GROWING)
    ranked, seen = rank_all(scores, info, how), Seen.of(scores, info, how)
    gallery = {name for name in info["individual_id"].to_pylist() if name}
    asked = info.filter(pa.array([name is None for name in info["individual_id"].to_pylist()]))
    verdicts = decide(ranked, asked, gallery, model, params or NoveltyParams(), seen, Days.of(info))
    return verdicts.novelty.to_pylist(), calibration, verdicts.ranked


def earlier_p_value(calibration: Calibration, score: float) -> float:
    """As it was until 2026-11-28: gallery animals among each other, whatever the number of photos."""
    rows = [r for r in calibration.maxima.to_pylist() if r["impostor_maximum"] is not None]
    counts: dict[str, list[bool]] = {}
    for row in rows:
        counts.setdefault(row["individual_id"], []).append(row["impostor_maximum"] >= score)
    return round((1 + sum(np.mean(reached) for reached in counts.values())) / (len(counts) + 1), 12)


def met(rng: np.random.Generator, animals: int, most: int = 1, photos: int = 2, once: float = 0.0) -> list[list[int]]:
    """A gallery of that many animals, met 1 to ``most`` times, a share of them certainly ``once``."""
    times = np.where(rng.random(animals) < once, 1, rng.integers(1, most + 1, animals))
    return [[photos] * n for n in times]


def twice(rng: np.random.Generator, animals: int) -> list[list[int]]:
    """Every animal met twice."""
    return [[2, 2] for _ in range(animals)]


Gallery = Callable[[np.random.Generator], Sequence[Sequence[int]]]
P_VALUES: tuple[tuple[str, float, Gallery, int, str], ...] = (
    ("5 animals met once", 1 / 3, lambda r: met(r, 5), 2, "max"),
    ("9 met once", 0.10, lambda r: met(r, 9), 2, "max"),
    ("12 met once", 0.10, lambda r: met(r, 12), 2, "max"),
    ("19 met once", 0.05, lambda r: met(r, 19), 2, "max"),
    ("19 met once", 0.10, lambda r: met(r, 19), 2, "max"),
    ("19, 70 % met once", 0.10, lambda r: met(r, 19, 4, once=0.7), 2, "max"),
    ("19 met twice", 0.10, lambda r: twice(r, 19), 2, "max"),
    ("39 met once", 0.05, lambda r: met(r, 39), 2, "max"),
    ("39, 70 % met once", 0.05, lambda r: met(r, 39, 4, once=0.7), 2, "max"),
    ("39 met 1 to 8 times", 0.05, lambda r: met(r, 39, 8), 2, "max"),
    ("39 met once, 10 photos asked", 0.05, lambda r: met(r, 39), 10, "max"),
    ("39 met once, 30 photos asked", 0.05, lambda r: met(r, 39), 30, "max"),
    ("39 met 1 to 4 times, 30 photos asked", 0.05, lambda r: met(r, 39, 4), 30, "max"),
    ("39 with 4 photos, 1 photo asked", 0.05, lambda r: met(r, 39, 1, 4), 1, "max"),
    ("39, one of them with 30 photos", 0.05, lambda r: [[30], *met(r, 38, 1, 4)], 4, "max"),
    ("39 met once, 1 photo asked, mean_max", 0.05, lambda r: met(r, 39, 1, 4), 1, "mean_max"),
    ("39 met once, 10 photos asked, mean_max", 0.05, lambda r: met(r, 39), 10, "mean_max"),
    ("39 met 1 to 4 times, mean_max", 0.05, lambda r: met(r, 39, 4), 2, "mean_max"),
    ("39 met 1 to 4 times, mean_top2", 0.05, lambda r: met(r, 39, 4), 2, "mean_top2"),
    ("120 met 1 to 3 times, 40 encounters calibrate", 0.05, lambda r: met(r, 120, 3), 2, "max"),
)  # fmt: skip
LARGE: tuple[tuple[str, float, Gallery, int, str], ...] = (
    ("120 met 1 to 3 times", 0.05, lambda r: met(r, 120, 3, 1), 1, "max"),
    ("120 met 1 to 3 times, 10 photos asked", 0.05, lambda r: met(r, 120, 3, 1), 10, "max"),
    ("500 met 1 to 3 times", 0.05, lambda r: met(r, 500, 3, 1), 1, "max"),
    ("2,000 met once", 0.05, lambda r: met(r, 2000, 1, 1), 1, "max"),
)


def p_value_row(case: tuple[str, float, Gallery, int, str], worlds: int, queries: int, seed: int) -> dict[str, object]:
    """How often strangers get a p-value of at most alpha, before and now, with the standard error over worlds."""
    label, alpha, gallery, n_photos, rule = case
    rng, before, now = np.random.default_rng(seed), [], []
    for _ in range(worlds):
        most = 40 if "40 encounters" in label else 300
        survey = Survey(gallery(rng), [n_photos] * queries, most=most)
        rows, calibration, _ = judged(survey, rng, rule)
        before.append(np.mean([earlier_p_value(calibration, r["best_score"]) <= alpha for r in rows]))
        now.append(np.mean([r["p_value"] <= alpha for r in rows]))
    error = float(np.std(now) / np.sqrt(worlds))
    return {"case": label, "rule": rule, "alpha": alpha, "before": np.mean(before), "now": np.mean(now), "error": error}


def p_values(worlds: int, large: bool, named: str = "") -> Iterator[dict[str, object]]:
    """P(p <= alpha) of strangers; of the cases whose name holds ``named``."""
    for k, case in enumerate(P_VALUES):
        if named in case[0]:
            yield p_value_row(case, worlds, max(3, min(10, 24 // case[3])), k)
    for k, case in enumerate(LARGE if large else ()):
        if named in case[0]:
            yield p_value_row(case, min(worlds, 10), 40, 100 + k)


def sets_row(label: str, gap: int, decline: float, worlds: int, seed: int) -> dict[str, object]:
    """How often the candidate set holds the right animal; before, all animals met again spoke for all gaps."""
    rng, before, now, stated, size = np.random.default_rng(seed), [], [], [], []
    for _ in range(worlds):
        animals = 24
        gallery = [[2, 2, 2] if a % 2 else [2, 2] for a in range(animals)]
        days = [[0, 800, 805] if a % 2 else [800, 805] for a in range(animals)]
        asked = list(rng.permutation(animals)[:8])
        survey = Survey(gallery, [2] * 8, days, [int(a) for a in asked], 805 + gap, genuine=5.0, decline=decline)
        rows, calibration, ranked = judged(survey, rng, "max")
        own = calibration.maxima.to_pylist()
        genuine = [(r["genuine_score"], r["individual_id"]) for r in own if r["genuine_score"] is not None]
        score = {
            (r["query_id"], r["individual_id"]): r["score"] for r in ranked.to_pylist() if r["level"] == "encounter"
        }
        for row, animal in zip(rows, asked, strict=True):
            name = f"a{animal:04}"
            share: dict[str, list[bool]] = {}
            for value, of in genuine:
                share.setdefault(of, []).append(value <= score[row["encounter_id"], name])
            p = (1 + sum(np.mean(v) for v in share.values())) / (len(share) + 1)
            before.append(p > 0.1)
            now.append(name in row["candidate_set"])
            stated.append(row["candidate_set_coverage"])
            size.append(row["candidate_set_size"])
    return {
        "case": label,
        "stated": np.mean(stated),
        "before": np.mean(before),
        "now": np.mean(now),
        "size": np.mean(size),
    }


def sets(worlds: int, large: bool) -> Iterator[dict[str, object]]:
    """Coverage of candidate sets."""
    yield sets_row("24 animals, a week later", 7, 2.0, worlds, 1)
    yield sets_row("24 animals, two years later", 730, 2.0, worlds, 2)
    yield sets_row("24 animals, two years later, no decline", 730, 0.0, worlds, 3)


def clustered(
    rng: np.random.Generator, animals: int, share: float, per: int, spread: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong, and the animal, of 1 to 2 per - 1 queries of each animal, whose own shares are beta distributed."""
    a = (1 - spread) / spread
    own = rng.beta(share * a, (1 - share) * a, animals)
    names = np.repeat(np.arange(animals), rng.integers(1, 2 * per, animals))
    return (rng.random(len(names)) < own[names]).astype(float), names


def intervals(worlds: int, large: bool) -> Iterator[dict[str, object]]:
    """How often a 95 % interval covers the true share, and how often it has no width; before, from the bootstrap."""
    for animals, share, per in ((6, 0.92, 3), (12, 0.92, 3), (12, 0.75, 7), (40, 0.92, 3), (40, 0.75, 7)):
        rng, before, now = np.random.default_rng(animals), [], []
        for _ in range(4 * worlds):
            values, names = clustered(rng, animals, share, per)
            now.append(share_interval(values, names))
            if len(before) < worlds:
                before.append(interval(partial(weighted_mean, values), names.astype(str), 200))
        row: dict[str, object] = {"animals": animals, "share": share, "queries of each": per}
        for name, ends in (("before", before), ("now", now)):
            low, high = np.array(ends, np.float64).T
            row[f"covered {name}"] = np.mean((low <= share) & (share <= high))
            row[f"no width {name}"] = np.mean(low == high)
        yield row


def groups(worlds: int, large: bool) -> Iterator[dict[str, object]]:
    """How often some group is named as bad where none is; before, one 5 points below all was."""
    for animals, share, per in ((12, 0.75, 7), (40, 0.75, 7), (40, 0.92, 3)):
        rng, before, now = np.random.default_rng(animals), [], []
        for _ in range(2 * worlds):
            right, names = clustered(rng, animals, share, per)
            n = len(right)
            of = [
                rng.integers(0, 3, n),
                rng.integers(0, 4, n),
                rng.integers(0, 5, n),
                rng.integers(0, 4, animals)[names],
            ]
            each = [column == k for column in of for k in np.unique(column)]
            each = [g for g in each if g.sum() >= 5 and len(set(names[g])) >= 2]
            before.append(any(right[g].mean() < right.mean() - 0.05 for g in each))
            now.append(min(holm([worse_than_rest(right, list(names), g) for g in each])) <= 0.05)
        case = f"{animals} animals, share {share}"
        yield {"case": case, "before": np.mean(before), "now": np.mean(now)}


PARTS: dict[str, Callable[..., Iterator[dict[str, object]]]] = {
    "p_values": p_values,
    "sets": sets,
    "intervals": intervals,
    "groups": groups,
}


def show(rows: Iterator[dict[str, object]]) -> None:
    """A Markdown table, row by row."""
    for k, row in enumerate(rows):
        if k == 0:
            print("| " + " | ".join(row) + " |\n| " + " | ".join("---" for _ in row) + " |")
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is given")
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--large", action="store_true", help="also galleries of 120, 500 and 2,000 animals")
    parser.add_argument("--named", default="", help="of p_values only the cases whose name holds this")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in arguments.parts or PARTS:
        print(f"\n{name}\n")
        more = {"named": arguments.named} if name == "p_values" else {}
        show(PARTS[name](arguments.worlds, arguments.large, **more))
    return 0


if __name__ == "__main__":
    sys.exit(main())
