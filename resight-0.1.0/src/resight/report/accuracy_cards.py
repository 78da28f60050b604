"""The figures on top of the accuracy page, and the tables below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resight.report import accuracy_words, words
from resight.report.accuracy_data import AccuracyData
from resight.report.charts import spark
from resight.report.words import MetricRow, interval_bar, metric_row

Row = Mapping[str, Any]
Mark = tuple[float, str]
SHOWN = ("top1_encounter", "top1_photo", "novelty_auroc", "false_known_rate", "ece_mixed", "background_top1_photo")
DECIMAL = ("novelty_auroc", "ece_mixed")
SHORT = ("top1_encounter", "top1_photo", "map_photo", "novelty_auroc", "baks_baus_gm", "false_known_rate", "ece_mixed")
GROUPS = {
    "Right animal": ("top1_encounter", "top3_encounter", "top5_encounter", "top1_photo", "top3_photo", "top5_photo", "map_photo",
                     "shortlist_recall_photo"),
    "New or known, each animal left out of the gallery once": ("novelty_auroc", "novelty_accuracy", "baks", "baus", "baks_baus_gm",
                                                               "named", "named_wrongly", "false_name_rate", "false_known_rate"),
    "New or known, a share of the animals left out at a time": ("open_top1_encounter", "open_novelty_auroc", "open_novelty_accuracy",
                                                                "open_baks", "open_baus", "open_baks_baus_gm", "open_named",
                                                                "open_named_wrongly", "open_false_name_rate", "open_false_known_rate"),
    "Probabilities and candidate sets": ("ece_mixed", "ece_mixed_by_chance", "ece_stated", "brier_mixed", "ece_encounter", "ece_encounter_by_chance",
                                         "brier_encounter", "candidate_set_coverage", "candidate_set_stated", "candidate_set_size"),
    "Clusters of new animals": ("cluster_ari", "abundance_error"),
    "Habitat alone": ("background_top1_encounter", "background_animal_top1_encounter", "background_top1_photo", "background_animal_top1_photo"),
    "What was measured": ("n_gallery_individuals", "n_queries_without_comparable_gallery", "n_queries_without_gallery_animal",
                          "same_day_share", "seconds_per_query"),
}  # fmt: skip
ORDER = {metric: k for k, metric in enumerate(metric for metrics in GROUPS.values() for metric in metrics)}


@dataclass(frozen=True)
class Figure:
    """A headline figure.

    Attributes:
        bar: (low, value, high) on a line from 0 to 1; None where it has no place there.
        mark: A second place on that line, e.g. the level that was set, with its name.
        change: ``better``, ``worse``, ``same`` or ``""``, and how much.
        spark: Path of the runs so far.
    """

    title: str
    value: str
    interval: str
    hint: str
    bar: tuple[float, float, float] | None
    mark: Mark | None
    change: str
    moved: str
    spark: str


@dataclass(frozen=True)
class Difference:
    """A metric against an earlier run."""

    name: str
    level: str
    old: str
    new: str
    moved: str
    interval: str
    p_value: str
    verdict: str


def figures(data: AccuracyData) -> list[Figure]:
    """The cards; none where the leak gate refuses."""
    return [] if data.leak else [_figure(metric, data) for metric in SHOWN if metric in data.overall]


def _figure(metric: str, data: AccuracyData) -> Figure:
    row, change = data.overall[metric], data.difference(metric)
    title, hint, mark = _explained(metric, data)
    history = [run.values.get(metric, (None,))[0] for run in data.earlier] + [row["value"]]
    verdict = accuracy_words.verdict(change) if change else ""
    moved = accuracy_words.points(change["difference"], "score" if metric in DECIMAL else "share") if change else ""
    if row["value"] is None:
        return Figure(title, "–", row["missing_because"] or "", hint, None, None, verdict, moved, spark(history))
    return Figure(title, *_value(row), hint, interval_bar(row), mark, verdict, moved, spark(history))


def _explained(metric: str, data: AccuracyData) -> tuple[str, str, Mark | None]:
    """Title, explanation, and a mark on the line."""
    unpainted, chance = data.value("background_animal_top1_photo"), data.value("ece_mixed_by_chance")
    opened = data.value("open_novelty_auroc")
    open_set = "" if opened is None else f"; {opened:.2f} with a share of the animals left out"
    exact = "" if chance is None else f"; exact probabilities would show {chance:.2f} on so few queries"
    against = "" if unpainted is None else f", against {words.percent(unpainted)} unpainted"
    return {
        "top1_encounter": ("Right animal first, per encounter", "all photos of an encounter vote together", None),
        "top1_photo": ("Right animal first, per photo", "each photo on its own", None),
        "novelty_auroc": ("New against known animals", f"AUROC; chance is 0.5{open_set}", (0.5, "chance")),
        "false_known_rate": ("New animals called known", f"new animals identified as one of the gallery; accepted: {words.percent(data.alpha)}", (data.alpha, "accepted rate")),
        "ece_mixed": ("Calibration error", f"ECE: mean difference between the stated probability and the share that was right{exact}", None if chance is None else (chance, "exact probabilities")),
        "background_top1_photo": ("Habitat alone", f"right animal first, per photo, with the animals painted over{against}", None if unpainted is None else (unpainted, "unpainted")),
    }[metric]  # fmt: skip


def _value(row: Row) -> tuple[str, str]:
    """A figure in large type, and its interval with what it was computed from."""
    counted = f"{words.plural(row['n'], 'query')}, {words.plural(row['n_individuals'], 'animal')}"
    scale, digits = (1, 2) if row["metric"] in DECIMAL else (100, 0)
    value = f"{scale * row['value']:.{digits}f}" + ("" if row["metric"] in DECIMAL else "\xa0%")
    if row["ci_low"] is None:
        return value, counted
    return value, f"{scale * row['ci_low']:.{digits}f} to {scale * row['ci_high']:.{digits}f} · {counted}"


def table(data: AccuracyData) -> list[tuple[str, list[MetricRow]]]:
    """All metrics by what they are about; those that the page does not know come last."""
    groups = GROUPS | {"Others": tuple(sorted(set(data.overall) - set(ORDER)))}
    rows = {title: [metric_row(data.overall[m]) for m in metrics if m in data.overall] for title, metrics in groups.items()}  # fmt: skip
    return [(title, lines) for title, lines in rows.items() if lines]


def factors(data: AccuracyData, metric: str = "top1_photo") -> list[tuple[str, list[MetricRow]]]:
    """Groups of photos by each factor, those that are clearly worse than all together marked."""
    rows = [r for r in data.accuracy if r["metric"] == metric]
    bad = {r["stratum"] for r in accuracy_words.worst_groups(data)}
    by_factor = []
    for name, title in accuracy_words.FACTORS.items():
        groups = accuracy_words.groups_of(rows, name)
        if len(groups) > 1 or (groups and name == "gallery_size"):
            lines = [metric_row(r, accuracy_words.level(r).replace("-", "–"), r["stratum"] in bad) for r in groups]
            by_factor.append((title, lines))
    return by_factor


def strata_table(data: AccuracyData) -> list[MetricRow]:
    """Every metric of every group."""
    rows = [r for r in data.accuracy if r["stratum"] != "all"]
    return [metric_row(r) for r in sorted(rows, key=lambda r: (r["metric"], r["stratum"]))]


def differences(data: AccuracyData, short: bool = False) -> list[Difference]:
    """Every metric, or those that matter most, against the previous run, in the order of the table."""
    rows = [r for r in data.differences if r["difference"] is not None and (not short or r["metric"] in SHORT)]
    return [_difference(r) for r in sorted(rows, key=lambda r: ORDER.get(r["metric"], len(ORDER)))]


def _difference(r: Row) -> Difference:
    unit, p = r["unit"], r["p_value_mcnemar"]
    low, high, moved = (accuracy_words.points(r[column], unit) for column in ("ci_low", "ci_high", "difference"))
    old, new = (words.metric_value(r[column], unit) for column in ("old_value", "new_value"))
    interval = "" if r["ci_low"] is None else f"{low} to {high}"
    p_value = "" if p is None else f"{p:.2g} ({r['n_gained']} gained, {r['n_lost']} lost)"
    return Difference(*words.metric_name(r["metric"]), old, new, moved, interval, p_value, accuracy_words.verdict(r))
