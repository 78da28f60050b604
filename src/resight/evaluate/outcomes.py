"""What happened to every query of known identity: its rank, its verdict, and what it would be if it were new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.metrics import average_precision
from resight.novelty import NoveltyModel, decide
from resight.novelty.model import LOGISTIC
from resight.rank import photo_pairs
from resight.rank.photos import codes, starts
from resight.settings import NoveltyParams

# Upper ends of the bins of days between a query and the nearest gallery photo of its animal.
DAY_BINS = ((0, "0"), (30, "1-30"), (365, "31-365"), (1825, "366-1825"))
LAST_BIN, NO_DATE = "1826+", "unknown"


@dataclass(frozen=True)
class Measured:
    """Everything that accuracy is computed from.

    Attributes:
        photos: The ``photos`` table: ``photo_id, encounter_id, viewpoint, taken_on``; labels in it are not read.
        gallery: Individual by gallery photo_id.
        truth: Individual by query photo_id.
        ranked: All candidates at both levels from `rank.rank_all`.
        scores: The ``scores`` table.
        crops_info: See `rank.photo_pairs`.
        model: From `novelty.fit` on the gallery.
        novelty: Limits of the decision.
        protocol: How gallery and queries were chosen.
        seconds_per_query: Time per query photo, where somebody took it.
        missed: By query photo_id, gallery photos of its animal that the shortlist left out.
    """

    photos: pa.Table
    gallery: Mapping[str, str]
    truth: Mapping[str, str]
    ranked: pa.Table
    scores: pa.Table
    crops_info: pa.Table
    model: NoveltyModel
    novelty: NoveltyParams
    protocol: str
    seconds_per_query: float | None = None
    missed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Query:
    """A query photo or encounter whose animal is in the gallery.

    Attributes:
        rank: Place of the right animal; None where it could not be compared.
        precision: Average precision over gallery photos (photos only).
    """

    query_id: str
    individual_id: str
    rank: int | None
    viewpoint: str
    days_between: str
    precision: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """A query encounter judged once: with its animal in the gallery (``known``), or without."""

    individual_id: str
    known: bool
    statistic: float
    decision: str
    found: str | None
    probability: float | None


def photo_queries(m: Measured) -> list[Query]:
    """Query photos in order of photo_id, also those that nothing could be compared with."""
    photos, rank = _photos(m), _ranks(m.ranked, "photo", m.truth)
    precision = _average_precisions(m)
    days = _gallery_days(m, photos)
    return [
        Query(
            p,
            m.truth[p],
            rank.get(p),
            photos[p]["viewpoint"],
            day_bin([photos[p]["taken_on"]], days[m.truth[p]]),
            precision.get(p, 0.0),
        )
        for p in sorted(m.truth)
        if m.truth[p] in days
    ]


def encounter_queries(m: Measured) -> list[Query]:
    """Query encounters in order of encounter_id; ``viewpoint`` is empty as one encounter shows several."""
    photos, truth = _photos(m), encounter_truth(m)
    rank = _ranks(m.ranked, "encounter", truth)
    days = _gallery_days(m, photos)
    taken: dict[str, list[date | None]] = {}
    for p in sorted(m.truth):
        taken.setdefault(photos[p]["encounter_id"], []).append(photos[p]["taken_on"])
    return [
        Query(e, truth[e], rank.get(e), "", day_bin(taken[e], days[truth[e]]))
        for e in sorted(truth)
        if truth[e] in days
    ]


def encounter_truth(m: Measured) -> dict[str, str]:
    """Individual by query encounter."""
    photos = _photos(m)
    return {photos[p]["encounter_id"]: m.truth[p] for p in sorted(m.truth)}


def verdicts(m: Measured) -> list[Verdict]:
    """Every query encounter as it is, and those of gallery animals once more with their animal deleted.

    Where it is deleted it is taken out of the gallery, of the ranking and of the impostor maxima. ``statistic`` grows
    with novelty: ``p_new`` where a likelihood ratio was fitted (`novelty.model`), otherwise minus the best score; it is
    infinite where nothing could be compared, as nothing known looks like that query.
    """
    truth, animals = encounter_truth(m), set(m.gallery.values())
    queries = pa.table(
        {"photo_id": sorted(m.truth), "encounter_id": [_photos(m)[p]["encounter_id"] for p in sorted(m.truth)]},
        schema=pa.schema([("photo_id", pa.string()), ("encounter_id", pa.string())]),
    )
    present = {e: i for e, i in truth.items() if i in animals}
    as_is = decide(m.ranked, queries, animals, m.model, m.novelty).novelty.to_pylist()
    gone = decide(m.ranked, queries, animals, m.model, m.novelty, deleted=present).novelty.to_pylist()
    return [_verdict(row, truth, row["encounter_id"] in present, m.model) for row in as_is] + [
        _verdict(row, truth, False, m.model) for row in gone if row["encounter_id"] in present
    ]


def day_bin(taken: list[date | None], gallery: list[date]) -> str:
    """Bin of the days to the nearest gallery photo of the animal; ``unknown`` without dates."""
    gaps = [abs((day - other).days) for day in taken if day for other in gallery]
    if not gaps:
        return NO_DATE
    return next((name for last, name in DAY_BINS if min(gaps) <= last), LAST_BIN)


def _verdict(row: dict[str, Any], truth: Mapping[str, str], known: bool, model: NoveltyModel) -> Verdict:
    compared = row["best_score"] is not None
    value = (row["p_new"] if model.method == LOGISTIC else -row["best_score"]) if compared else np.inf
    return Verdict(
        individual_id=truth[row["encounter_id"]],
        known=known,
        statistic=round(float(value), 9),  # equal evidence must tie, whatever the last bits say
        decision=row["decision"],
        found=row["individual_id"],
        probability=row["probability"],
    )


def _photos(m: Measured) -> dict[str, dict[str, Any]]:
    rows = m.photos.select(["photo_id", "encounter_id", "viewpoint", "taken_on"]).to_pylist()
    return {r["photo_id"]: r for r in rows}


def _gallery_days(m: Measured, photos: Mapping[str, dict[str, Any]]) -> dict[str, list[date]]:
    days: dict[str, set[date]] = {}
    for photo, individual in m.gallery.items():
        days.setdefault(individual, set()).update([photos[photo]["taken_on"]] if photos[photo]["taken_on"] else [])
    return {individual: sorted(of) for individual, of in days.items()}


def _ranks(ranked: pa.Table, level: str, truth: Mapping[str, str]) -> dict[str, int]:
    rows = ranked.filter(pc.equal(ranked["level"], level)).select(["query_id", "individual_id", "rank"]).to_pylist()
    return {r["query_id"]: r["rank"] for r in rows if truth.get(r["query_id"]) == r["individual_id"]}


def _average_precisions(m: Measured) -> dict[str, float]:
    """By query photo: gallery photos by score (ties: photo_id), those of the right animal that were compared count."""
    pairs = photo_pairs(m.scores, m.crops_info)
    query, gallery = codes(pairs["query_photo_id"]), codes(pairs["gallery_photo_id"])
    pairs = pairs.take(pa.array(np.lexsort((gallery, -pairs["score"].to_numpy(), query))))
    names = pairs["query_photo_id"].to_pylist()
    right = np.array(
        [m.truth.get(q) == i for q, i in zip(names, pairs["individual_id"].to_pylist(), strict=True)], bool
    )
    first = starts(codes(pairs["query_photo_id"]))
    ends = np.append(first[1:], len(names)) if len(first) else first
    return {
        names[a]: average_precision(right[a:b], m.missed.get(names[a], 0)) for a, b in zip(first, ends, strict=True)
    }
