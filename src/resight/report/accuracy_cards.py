"""The figures on top of the accuracy page, and the tables below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resight.report import accuracy_words as told
from resight.report import words
from resight.report.accuracy_data import AccuracyData
from resight.report.charts import spark

Row = Mapping[str, Any]
SHOWN = ("top1_encounter", "top1_photo", "novelty_auroc", "false_known_rate", "ece_mixed", "background_top1_photo")
DECIMAL = ("novelty_auroc", "ece_mixed")
SHORT = ("top1_encounter", "top1_photo", "map_photo", "novelty_auroc", "baks_baus_gm", "false_known_rate", "ece_mixed")
GROUPS = {
    "Right animal": ("top1_encounter", "top3_encounter", "top5_encounter", "top1_photo", "top3_photo", "top5_photo", "map_photo",
                     "shortlist_recall_photo"),
    "New or known, each animal left out in its turn": ("novelty_auroc", "novelty_accuracy", "baks", "baus", "baks_baus_gm", "false_known_rate"),
    "New or known, whole shares of the animals left out": ("open_top1_encounter", "open_novelty_auroc", "open_novelty_accuracy", "open_baks",
                                                           "open_baus", "open_baks_baus_gm", "open_false_known_rate"),
    "Probabilities and candidate sets": ("ece_mixed", "ece_mixed_by_chance", "ece_stated", "brier_mixed", "ece_encounter", "ece_encounter_by_chance",
                                         "brier_encounter", "candidate_set_coverage", "candidate_set_stated", "candidate_set_size"),
    "Clusters of animals that nobody knows": ("cluster_ari", "abundance_error"),
    "Habitat alone": ("background_top1_encounter", "background_animal_top1_encounter", "background_top1_photo", "background_animal_top1_photo"),
    "What was measured": ("n_gallery_individuals", "n_queries_without_comparable_gallery", "n_queries_without_gallery_animal",
                          "same_day_share", "seconds_per_query"),
}  # fmt: skip


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
    mark: tuple[float, str] | None
    change: str
    moved: str
    spark: str


@dataclass(frozen=True)
class Line:
    """A row of the table of all metrics, or of the groups."""

    name: str
    level: str
    value: str
    interval: str
    n: int
    n_individuals: int
    bar: tuple[float, float, float] | None
    missing_because: str
    bad: bool = False


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
    row, moved = data.overall[metric], data.difference(metric)
    title, hint, mark = _explained(metric, data)
    history = [one.values.get(metric, (None,))[0] for one in data.earlier] + [row["value"]]
    missing = row["value"] is None
    return Figure(
        title,
        "–" if missing else _big(row),
        row["missing_because"] or "" if missing else _interval(row),
        hint,
        None if missing else _bar(row),
        None if missing else mark,
        told.verdict(moved) if moved else "",
        f"{_moved(moved)} against the run before" if moved else "",
        spark(history),
    )


def _explained(metric: str, data: AccuracyData) -> tuple[str, str, tuple[float, str] | None]:
    """Title, explanation, and a mark on the line."""
    real = data.value("background_animal_top1_photo")
    opened = data.overall.get("open_novelty_auroc", {}).get("value")
    chance = data.overall.get("ece_mixed_by_chance", {}).get("value")
    return {
        "top1_encounter": ("Right animal first, per encounter", "all photos of an encounter vote together", None),
        "top1_photo": ("Right animal first, per photo", "every photo alone", None),
        "novelty_auroc": ("New told from known", "AUROC; a coin gets 0.5" + (f"; {opened:.2f} with whole animals left out" if opened is not None else ""), (0.5, "coin")),
        "false_known_rate": ("Strangers given a name", f"new animals called by a known one's name; accepted: {words.percent(data.alpha)}", (data.alpha, "accepted")),
        "ece_mixed": ("Probabilities off by", "calibration error (ECE): mean distance between stated and true share" + (f"; exact ones would show {chance:.2f} on so few queries" if chance is not None else ""), (chance, "chance") if chance is not None else None),
        "background_top1_photo": ("Habitat alone", "right at once, per photo, with the animals painted over" + (f", against {words.percent(real)} with them" if real is not None else ""),
                                  (real, "with animals") if real is not None else None),
    }[metric]  # fmt: skip


def _moved(row: Row) -> str:
    """In the figure's own unit."""
    if row["metric"] in DECIMAL:
        return told.points(row["difference"], "score")
    return told.points(row["difference"])


def _big(row: Row) -> str:
    value = row["value"]
    if row["metric"] in DECIMAL:
        return f"{value:.2f}"
    return f"{100 * value:.0f}\xa0%" if row["unit"] == "share" else f"{value:.3f}"


def _interval(row: Row) -> str:
    counted = f"{row['n']:,} queries, {words.plural(row['n_individuals'], 'animal')}".replace(",", "\u202f", 1) if row["n"] >= 1000 else f"{row['n']} queries, {words.plural(row['n_individuals'], 'animal')}"  # fmt: skip
    if row["ci_low"] is None:
        return counted
    if row["metric"] in DECIMAL:
        return f"{row['ci_low']:.2f} to {row['ci_high']:.2f} · {counted}"
    return f"{100 * row['ci_low']:.0f} to {100 * row['ci_high']:.0f} · {counted}"


def _bar(row: Row) -> tuple[float, float, float] | None:
    value = row["value"]
    if value is None or not 0 <= value <= 1:
        return None
    return (value if row["ci_low"] is None else row["ci_low"], value, value if row["ci_high"] is None else row["ci_high"])  # fmt: skip


def table(data: AccuracyData) -> list[tuple[str, list[Line]]]:
    """All metrics by what they are about; those that the page does not know come last."""
    known = {m for metrics in GROUPS.values() for m in metrics}
    rest = {"Others": tuple(sorted(set(data.overall) - known))}
    groups = [(title, [line(data.overall[m]) for m in of if m in data.overall]) for title, of in (GROUPS | rest).items()]  # fmt: skip
    return [(title, lines) for title, lines in groups if lines]


def factors(data: AccuracyData, metric: str = "top1_photo") -> list[tuple[str, list[Line]]]:
    """Groups of photos by each factor, those that are clearly worse than all together marked."""
    rows, bad = [r for r in data.accuracy if r["metric"] == metric], {r["stratum"] for r in told.worst_groups(data)}
    found = []
    for name, title in told.FACTORS.items():
        of = told.groups_of(rows, name)
        if len(of) > 1 or (of and name == "gallery_size"):
            found.append((title, [line(r, told.level(r).replace("-", "\u2013"), r["stratum"] in bad) for r in of]))
    return found


def strata_table(data: AccuracyData) -> list[Line]:
    """Every metric of every group."""
    rows = [r for r in data.accuracy if r["stratum"] != "all"]
    return [line(r, r["stratum"]) for r in sorted(rows, key=lambda r: (r["metric"], r["stratum"]))]


def line(row: Row, level: str = "", bad: bool = False) -> Line:
    """A row of ``accuracy`` in words."""
    name, of = words.metric_name(row["metric"])
    sure = row["ci_low"] is not None
    interval = f"{words.metric_value(row['ci_low'], row['unit'])} to {words.metric_value(row['ci_high'], row['unit'])}" if sure else ""  # fmt: skip
    return Line(name, level or of, words.metric_value(row["value"], row["unit"]), interval, row["n"], row["n_individuals"] or 0,
                _bar(row) if row["unit"] == "share" else None, row["missing_because"] or "", bad)  # fmt: skip


def differences(data: AccuracyData, short: bool = False) -> list[Difference]:
    """Every metric, or those that matter most, against the run before, in the order of the table."""
    order = [m for metrics in GROUPS.values() for m in metrics]
    rows: Sequence[Row] = [r for r in data.differences if r["difference"] is not None]
    rows = [r for r in rows if not short or r["metric"] in SHORT]
    return [_difference(r) for r in sorted(rows, key=lambda r: order.index(r["metric"]) if r["metric"] in order else len(order))]  # fmt: skip


def _difference(r: Row) -> Difference:
    name, level = words.metric_name(r["metric"])
    unit = r["unit"]
    interval = f"{told.points(r['ci_low'], unit)} to {told.points(r['ci_high'], unit)}" if r["ci_low"] is not None else ""  # fmt: skip
    p = "" if r["p_value_mcnemar"] is None else f"{r['p_value_mcnemar']:.2g} ({r['n_gained']} gained, {r['n_lost']} lost)"  # fmt: skip
    return Difference(name, level, words.metric_value(r["old_value"], unit), words.metric_value(r["new_value"], unit),
                      told.points(r["difference"], unit), interval, p, told.verdict(r))  # fmt: skip
