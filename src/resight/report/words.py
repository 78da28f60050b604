"""Figures, dates and verdicts as people read them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from resight.novelty.uncompared import Obstacle
from resight.status import CALLED_NEW, NAMED, Decision

ORDER = (
    Decision.NEW, Decision.LIKELY_NEW, Decision.LIKELY, Decision.UNSURE, Decision.NOT_COMPARED, Decision.KNOWN,
)  # fmt: skip
HEADINGS = {
    Decision.NEW: ("New animals", "no animal of the gallery fits"),
    Decision.LIKELY_NEW: ("Likely new animals", "no animal of the gallery fits, judged mostly by other places"),
    Decision.LIKELY: ("Likely known animals", "please confirm: too few animals are known for the guarantee"),
    Decision.UNSURE: ("Please look", "the evidence does not decide"),
    Decision.NOT_COMPARED: ("Not compared", "each says why"),
    Decision.KNOWN: ("Known animals", "identified in the gallery"),
}
BADGES = {decision: str(decision).replace("_", " ") for decision in ORDER}
METRICS = {
    "top1": "right animal first (top 1)",
    "top3": "right animal among the first three (top 3)",
    "top5": "right animal among the first five (top 5)",
    "map": "mean average precision (mAP)",
    "shortlist_recall": "right animal kept by the shortlist (recall)",
    "novelty_auroc": "new against known animals (AUROC)",
    "novelty_accuracy": "new or known decided correctly by p_new (accuracy)",
    "baks": "known animals identified correctly (BAKS, balanced)",
    "baus": "new animals recognised as new (BAUS, balanced)",
    "baks_baus_gm": "geometric mean of BAKS and BAUS",
    "false_known_rate": "new animals called known (false known rate)",
    "false_name_rate": "new animals given a name, known or likely",
    "named": "known animals given a name, known or likely",
    "named_wrongly": "names given to known animals that are wrong",
    "ece_mixed": "calibration error (ECE), known and new mixed",
    "ece_stated": 'calibration error (ECE) over every candidate and "new", known and new mixed',
    "ece_mixed_by_chance": "ECE that exact probabilities would show on so few queries, known and new mixed",
    "ece_encounter_by_chance": "ECE that exact probabilities would show on so few queries, known animals",
    "brier_mixed": "Brier score, known and new mixed",
    "ece": "calibration error (ECE), known animals",
    "brier": "Brier score, known animals",
    "candidate_set_coverage": "candidate sets that contain the right animal",
    "candidate_set_stated": "share of such sets that is guaranteed",
    "candidate_set_size": "animals per candidate set",
    "cluster_ari": "clusters against labels (adjusted Rand index)",
    "abundance_error": "error of counting animals by clusters, above 0 where too many are counted",
    "background_top1": "right animal first, animals painted over",
    "background_animal_top1": "right animal first, the same queries unpainted",
    "seconds_per_query": "time per query",
    "n_queries_without_comparable_gallery": "queries without a comparable gallery photo of their animal",
    "n_queries_without_gallery_animal": "queries of animals that are not in the gallery",
    "n_gallery_individuals": "animals in the gallery",
    "same_day_share": "queries with a gallery photo of their animal and day",
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
    """``1 photo``, ``2 photos``, ``2 queries``."""
    many = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else many}".replace(",", "\u202f")


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
    if decision in NAMED:
        return str(row["individual_id"]) if decision is Decision.KNOWN else f"Likely {row['individual_id']}"
    if decision in CALLED_NEW:
        name, kind = row["provisional_individual_id"], "New" if decision is Decision.NEW else "Likely a new"
        return f"{kind} animal, for now {name}" if name else f"{kind} animal"
    if decision is Decision.NOT_COMPARED:
        return "No candidate is left" if row.get("reason") == Obstacle.REJECTED else "Could not be compared"
    if _rather_new(row):
        return "Perhaps a new animal"
    return f"Perhaps {row['individual_id']}" if row["individual_id"] else "Undecided"


def certainty(row: Mapping[str, Any]) -> str:
    """The probability that goes with `headline`."""
    decision = Decision(row["decision"])
    if decision is Decision.NOT_COMPARED or (row["probability"] is None and row["p_new"] is None):
        return ""
    if decision in CALLED_NEW:
        return f"{percent(row['p_new'])} new"
    if decision in NAMED:
        return percent(row["probability"]) + ("; please confirm" if decision is Decision.LIKELY else "")
    best, new = percent(row["probability"]), percent(row["p_new"])
    return f"{new}, or {row['individual_id']}: {best}" if _rather_new(row) else f"{best}, or new: {new}"


def _rather_new(row: Mapping[str, Any]) -> bool:
    return (row["p_new"] or 0) > (row["probability"] or 0)


def taken_out(photos: Sequence[Mapping[str, Any]], left: Sequence[Mapping[str, Any]]) -> str:
    """Which photos have left an encounter that the rule has made, or which encounter its photos have left.

    Args:
        photos: Of the encounter.
        left: That spoke against it.
    """
    origins = sorted({photo["voted_out_of"] for photo in photos if photo["voted_out_of"]})
    if origins:
        return f"By folder or time this belongs to {', '.join(origins)}, but it seems to show another animal than the photos there."
    names = [photo_path(photo["uri"]) for photo in left]
    if not names:
        return ""
    what = "1 photo was taken out" if len(names) == 1 else f"{len(names)} photos were taken out"
    return (
        f"{what}, because {'it seems' if len(names) == 1 else 'they seem'} to show another animal: {', '.join(names)}."
    )


def photo_path(uri: str) -> str:
    """A photo as people know it: its path below the inbox, or the last folder and file of a place elsewhere."""
    path = PurePosixPath(uri.replace("\\", "/"))
    if path.parts[:1] == ("photos",):
        return str(PurePosixPath(*path.parts[1:]))
    return str(path) if not path.is_absolute() and "://" not in uri else str(PurePosixPath(*path.parts[-2:]))


def photo_link(uri: str, root: Path | None) -> str:
    """Where a browser on this machine finds the photo itself; '' where it lies elsewhere.

    Args:
        uri: As in the table ``photos``: below ``root``, absolute, or an address.
        root: Folder of the workspace.
    """
    return "" if root is None or not uri or "://" in uri else (root / uri).absolute().as_uri()


def page_link(uri: str, root: Path | None, folder: Path | None) -> str:
    """The same for a page in ``folder``: from there to the photo, where both lie in the workspace, so that it may be moved or copied.

    Args:
        uri, root: As of `photo_link`.
        folder: Where the page will be; None if that is not known.
    """
    link = photo_link(uri, root)
    if not link or root is None or folder is None:
        return link
    top, here, photo = (Path(os.path.abspath(path)) for path in (root, folder, root / uri))
    if not (here.is_relative_to(top) and photo.is_relative_to(top)):
        return link
    up = "../" * len(here.relative_to(top).parts)
    return up + quote(os.fsencode(photo.relative_to(top).as_posix()))


def metric_name(metric: str) -> tuple[str, str]:
    """What a metric means, and its level (``per photo``); the same for ``open_`` metrics as without."""
    plain = metric.removeprefix("open_")
    if plain in METRICS:
        return METRICS[plain], ""
    name, _, level = plain.rpartition("_")
    return (METRICS[name], f"per {level}") if name in METRICS else (metric, "")


def metric_value(value: float | None, unit: str) -> str:
    """A metric in its unit."""
    if value is None:
        return "–"
    by_unit = {"share": f"{100 * value:.1f}\xa0%", "second": f"{value:.3g}\xa0s", "count": f"{value:,.0f}"}
    return by_unit.get(unit, f"{value:.3f}")


@dataclass(frozen=True)
class MetricRow:
    """A row of the table ``accuracy`` in words.

    Attributes:
        group: The stratum, e.g. ``viewpoint=left``.
        bar: Lower end, value and upper end of a share, to be drawn from 0 to 1; None where there is no share.
        bad: Whether the group is clearly worse than all queries together.
    """

    name: str
    level: str
    group: str
    value: str
    interval: str
    n: int
    n_individuals: int
    bar: tuple[float, float, float] | None
    missing_because: str
    bad: bool = False


def metric_row(row: Mapping[str, Any], group: str | None = None, bad: bool = False) -> MetricRow:
    """A row of ``accuracy`` in words; ``group`` replaces its stratum."""
    name, level = metric_name(row["metric"])
    low, high, value = (metric_value(row[column], row["unit"]) for column in ("ci_low", "ci_high", "value"))
    interval = "" if row["ci_low"] is None else f"{low} to {high}"
    bar = interval_bar(row) if row["unit"] == "share" else None
    group = row["stratum"] if group is None else group
    return MetricRow(
        name, level, group, value, interval, row["n"], row["n_individuals"] or 0, bar, row["missing_because"] or "", bad
    )


def interval_bar(row: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Lower end, value and upper end; the value alone where there is no interval, None outside of 0 to 1."""
    low, value, high = row["ci_low"], row["value"], row["ci_high"]
    if value is None or not 0 <= value <= 1:
        return None
    return (value, value, value) if low is None else (low, value, high)
