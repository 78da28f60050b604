"""Figures, dates and verdicts as people read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from resight.status import Decision

ORDER = (Decision.NEW, Decision.UNSURE, Decision.NOT_COMPARED, Decision.KNOWN)
HEADINGS = {
    Decision.NEW: ("New animals", "no animal of the gallery fits"),
    Decision.UNSURE: ("Needs your eyes", "the figures do not decide"),
    Decision.NOT_COMPARED: ("Not compared", "no usable head, or no gallery photo of that side"),
    Decision.KNOWN: ("Known animals", "found in the gallery"),
}
BADGES = {
    Decision.NEW: "new",
    Decision.UNSURE: "unsure",
    Decision.NOT_COMPARED: "not compared",
    Decision.KNOWN: "known",
}
METRICS = {
    "top1": "right animal first",
    "top3": "right animal among the first three",
    "top5": "right animal among the first five",
    "map": "mean average precision",
    "shortlist_recall": "right animal survives the shortlist",
    "novelty_auroc": "new told from known (AUROC)",
    "novelty_accuracy": "new or known called rightly by p_new",
    "baks": "known animals named right (BAKS, balanced)",
    "baus": "new animals called new (BAUS, balanced)",
    "baks_baus_gm": "geometric mean of BAKS and BAUS",
    "false_known_rate": "new animals wrongly called known",
    "open_top1": "known animals: right one first",
    "open_novelty_auroc": "new told from known (AUROC)",
    "open_novelty_accuracy": "new or known called rightly by p_new",
    "open_baks": "known animals named right (BAKS, balanced)",
    "open_baus": "new animals called new (BAUS, balanced)",
    "open_baks_baus_gm": "geometric mean of BAKS and BAUS",
    "open_false_known_rate": "new animals wrongly called known",
    "ece_mixed": "calibration error (ECE), known and new mixed",
    "ece_stated": 'calibration error (ECE) over every candidate and "new", known and new mixed',
    "ece_mixed_by_chance": "the same if all were exactly right: chance, known and new mixed",
    "ece_encounter_by_chance": "the same if all were exactly right: chance, known animals",
    "brier_mixed": "Brier score, known and new mixed",
    "ece": "calibration error (ECE), known animals",
    "brier": "Brier score, known animals",
    "candidate_set_coverage": "candidate sets that hold the right animal",
    "candidate_set_stated": "candidate sets that are meant to",
    "candidate_set_size": "animals in a candidate set",
    "cluster_ari": "clusters against the truth (adjusted Rand index)",
    "abundance_error": "error of counting animals by clusters",
    "background_top1": "right animal first, animals painted over",
    "background_animal_top1": "right animal first, the same queries with them",
    "seconds_per_query": "time per query",
    "n_queries_without_comparable_gallery": "queries with nothing to compare",
    "n_queries_without_gallery_animal": "queries of animals not in the gallery",
    "n_gallery_individuals": "animals in the gallery",
    "same_day_share": "queries with a gallery photo of the same day",
}


def percent(value: float | None) -> str:
    """``94 %`` with a space that does not break; never a rounded 0 or 100."""
    if value is None or math.isnan(value):
        return "–"
    if 0 < value < 0.01:
        return "<\xa01\xa0%"
    return ">\xa099\xa0%" if 0.99 < value < 1 else f"{100 * value:.0f}\xa0%"


def figure(value: float | None) -> str:
    """Three significant digits."""
    return "–" if value is None or math.isnan(value) else f"{value:.3g}"


def plural(count: int, noun: str) -> str:
    """``1 photo``, ``2 photos``."""
    return f"{count:,} {noun if count == 1 else noun + 's'}".replace(",", " ")


def day(value: date | datetime | str | None) -> str:
    """``3 June 2026``; text that is no ISO date stays as it is."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            return str(value)
    return f"{value.day} {value:%B %Y}" if value else ""


def moment(value: datetime | date | None) -> str:
    """Day and time, or the day alone where that is all there is."""
    if value is None:
        return ""
    return f"{day(value)}, {value:%H:%M}" if isinstance(value, datetime) else day(value)


def seconds(span: float) -> str:
    """``45 s``, ``3 min``, ``2 h 5 min``."""
    if span < 90:
        return f"{span:.0f} s"
    minutes = round(span / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def parsed(value: Any) -> Any:
    """A JSON column, as text or parsed already; {} where there is none."""
    return (json.loads(value) if isinstance(value, str) else value) or {}


def headline(row: Mapping[str, Any]) -> str:
    """The verdict on an encounter in a few words."""
    decision = Decision(row["decision"])
    if decision is Decision.KNOWN:
        return f"{row['individual_id']}"
    if decision is Decision.NEW:
        name = row["provisional_individual_id"]
        return f"New animal, for now {name}" if name else "New animal"
    if decision is Decision.NOT_COMPARED:
        return "Could not be compared"
    if _rather_new(row):
        return "Perhaps a new animal"
    return f"Perhaps {row['individual_id']}" if row["individual_id"] else "Undecided"


def certainty(row: Mapping[str, Any]) -> str:
    """The probability that goes with `headline`."""
    decision = Decision(row["decision"])
    if decision is Decision.NOT_COMPARED or (row["probability"] is None and row["p_new"] is None):
        return ""
    if decision is Decision.NEW:
        return f"{percent(row['p_new'])} new"
    if decision is Decision.KNOWN:
        return percent(row["probability"])
    best, new = percent(row["probability"]), percent(row["p_new"])
    return f"{new}, or {row['individual_id']}: {best}" if _rather_new(row) else f"{best}, or new: {new}"


def _rather_new(row: Mapping[str, Any]) -> bool:
    return (row["p_new"] or 0) > (row["probability"] or 0)


def metric_name(metric: str) -> tuple[str, str]:
    """What a metric means, and at which level it was taken."""
    if metric in METRICS:
        return METRICS[metric], ""
    name, _, level = metric.rpartition("_")
    return (METRICS[name], f"per {level}") if name in METRICS else (metric, "")


def metric_value(value: float | None, unit: str) -> str:
    """A metric in its unit."""
    if value is None:
        return "–"
    return {"share": f"{100 * value:.1f}\xa0%", "second": f"{value:.3g}\xa0s", "count": f"{value:,.0f}"}.get(
        unit, f"{value:.3f}"
    )
