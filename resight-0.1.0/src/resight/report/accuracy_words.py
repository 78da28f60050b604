"""Accuracy in sentences: how good, for which photos bad, and whether it got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resight.evaluate.strata import ORDER
from resight.report import words
from resight.report.accuracy_data import AccuracyData

Row = Mapping[str, Any]
LOWER_IS_BETTER = (
    "ece_", "brier_", "false_known_rate", "open_false_known_rate", "false_name_rate", "open_false_name_rate", "named_wrongly", "open_named_wrongly", "candidate_set_size", "background_top1",
)  # fmt: skip
SIGNED = frozenset({"abundance_error"})  # best at 0
LARGEST_P = 0.05
FEWEST, FEWEST_ANIMALS = 5, 2  # queries and animals below which a group is not called bad
FACTORS = {
    "viewpoint": "Side of the head",
    "visibility": "How well the head is seen",
    "days_between": "Days since the nearest gallery photo",
    "gallery_photos": "Gallery photos of the animal",
    "gallery_size": "Animals in the gallery",
}
PHRASES = {
    "viewpoint": "heads seen from the {}",
    "visibility": "heads of {} visibility",
    "days_between": "{} days after the nearest gallery photo",
    "gallery_photos": "animals with {} gallery photos",
}
PROTOCOLS = {
    "time-aware": "Time-aware: each animal's earlier encounters are the gallery, its later ones the queries.",
    "first-year": "First year: each animal's first year is the gallery, photos of later years ask that show a side which it shows.",
    "role": "By role: metadata.csv says which photos are gallery and which are queries.",
    "leave-one-encounter-out": "Leave one encounter out: every encounter is the query once, against all others but those of the same animal and day.",
}


def how_good(data: AccuracyData) -> str:
    """The headline in a sentence."""
    row = data.overall.get("top1_encounter")
    if not row or row["value"] is None:
        return "Nothing could be measured: no animal was photographed in two encounters."
    encounters, photos = (
        f"{round(r['value'] * r['n'])} of {words.plural(r['n'], noun)}"
        for r, noun in ((row, "encounter"), (data.overall["top1_photo"], "photo"))
    )
    return f"The right animal comes first for {encounters}, and for {photos} on their own."


def worst_groups(data: AccuracyData) -> list[Row]:
    """Groups of photos that are worse than the rest by more than chance makes any of the groups, worst first."""
    rows = [r for r in data.accuracy if r["metric"] == "top1_photo" and factor(r) in PHRASES and r["value"] is not None]
    enough = [r for r in rows if r["n"] >= FEWEST and (r["n_individuals"] or 0) >= FEWEST_ANIMALS]
    bad = [r for r in enough if r.get("p_worse") is not None and r["p_worse"] <= LARGEST_P]
    return sorted(bad, key=lambda r: (r["value"], r["stratum"]))


def where_bad(data: AccuracyData) -> str:
    """The worst groups in a sentence."""
    groups = worst_groups(data)[:3]
    if not groups:
        return "No kind of photo stands out: no group of at least five photos is below the rest by more than chance."
    sentence = "; ".join(f"{phrase(r)}: {words.percent(r['value'])} of {r['n']}" for r in groups)
    return f"{sentence[0].upper()}{sentence[1:]}."


def got_worse(data: AccuracyData) -> tuple[str, str]:
    """``better``, ``worse``, ``same`` or ``unknown``, and why in a sentence."""
    encounter, photo = data.difference("top1_encounter"), data.difference("top1_photo")
    if encounter is None:
        return "unknown", "There is no earlier run on the same encounters to compare with."
    changes = _moves(encounter, "encounter") + (f", {_moves(photo, 'photo')}" if photo else "")
    verdicts = [verdict(row) for row in (encounter, photo) if row is not None]
    if "worse" in verdicts:
        return "worse", f"Yes: {changes}."
    if "better" in verdicts:
        return "better", f"No, it got better: {changes}."
    return "same", f"Not beyond chance: {changes}."


def verdict(row: Row) -> str:
    """Whether a difference is ``better``, ``worse``, or the ``same`` as far as anybody can tell.

    The same: its interval holds 0, or McNemar's test (which knows that four gained and none lost may be luck, as a
    bootstrap does not) has a p above 0.05.
    """
    low, high, p = row["ci_low"], row["ci_high"], row["p_value_mcnemar"]
    if low is None or high is None or low <= 0 <= high or (p is not None and p > LARGEST_P):
        return "same"
    if row["metric"] in SIGNED:
        return "better" if abs(row["new_value"]) < abs(row["old_value"]) else "worse"
    return "better" if (row["difference"] > 0) != lower_is_better(row["metric"]) else "worse"


def lower_is_better(metric: str) -> bool:
    """True of errors, and of whatever should not be recognised."""
    return metric.startswith(LOWER_IS_BETTER)


def _moves(row: Row, noun: str) -> str:
    if row["n_gained"] is None:
        return f"{points(row['difference'])} per {noun}"
    p = "" if row["p_value_mcnemar"] is None else f" (p = {row['p_value_mcnemar']:.2g})"
    return f"{words.plural(row['n_gained'], noun)} gained, {row['n_lost']} lost of {row['n']}{p}"


def points(difference: float | None, unit: str = "share") -> str:
    """``+2.1 points`` for shares, otherwise a signed figure."""
    if difference is None:
        return "–"
    text = f"{100 * difference:+.1f}\xa0points" if unit == "share" else f"{difference:+.3f}"
    return text.replace("-", "\u2212")


def factor(row: Row) -> str:
    """``viewpoint`` of ``viewpoint=left``."""
    return str(row["stratum"].partition("=")[0])


def level(row: Row) -> str:
    """``left`` of ``viewpoint=left``."""
    return str(row["stratum"].partition("=")[2])


def phrase(row: Row) -> str:
    """A group in words."""
    if factor(row) == "viewpoint" and level(row) == "unknown":
        return "heads of unknown side"
    if factor(row) == "days_between" and level(row) == "unknown":
        return "photos without a date to compare"
    if (factor(row), level(row)) == ("gallery_photos", "1"):
        return "animals with 1 gallery photo"
    return PHRASES[factor(row)].format(level(row).replace("-", "\u2013").replace("+", " and more"))


def groups_of(rows: Sequence[Row], name: str) -> list[Row]:
    """Rows of one factor in the order in which people read them."""
    order = ORDER.get(name, ())
    chosen = [r for r in rows if factor(r) == name and r["n"]]
    if name == "gallery_size":
        return sorted(chosen, key=lambda r: int(level(r)))
    return sorted(chosen, key=lambda r: order.index(level(r)) if level(r) in order else len(order))
