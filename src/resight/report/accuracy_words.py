"""Accuracy in sentences: how good, for which photos bad, and whether it got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resight.report import words
from resight.report.accuracy_data import AccuracyData

Row = Mapping[str, Any]
LOWER_IS_BETTER = (
    "ece_", "brier_", "false_known_rate", "open_false_known_rate", "abundance_error", "candidate_set_size", "background_top1",
)  # fmt: skip
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
    "time-aware": "Time-aware: each animal's earlier encounters are the gallery, its later ones ask.",
    "role": "By role: metadata.csv says which photos are gallery and which ask.",
    "leave-one-encounter-out": "Leave one encounter out: every encounter asks all others, but those of the same animal and day.",
}


def how_good(data: AccuracyData) -> str:
    """The headline in a sentence."""
    row = data.overall.get("top1_encounter")
    if not row or row["value"] is None:
        return "Nobody could be asked for: no animal was met twice."
    right = round(row["value"] * row["n"])
    told = f"The right animal comes first for {right} of {words.plural(row['n'], 'encounter')}"
    photo = data.overall["top1_photo"]
    return f"{told}, and for {round(photo['value'] * photo['n'])} of {words.plural(photo['n'], 'photo')} taken alone."


def worst_groups(data: AccuracyData) -> list[Row]:
    """Groups of photos that are clearly worse than all together, worst first."""
    overall = data.value("top1_photo")
    rows = [
        r
        for r in data.accuracy
        if r["metric"] == "top1_photo"
        and factor(r) in PHRASES
        and r["n"] >= FEWEST
        and (r["n_individuals"] or 0) >= FEWEST_ANIMALS
        and r["value"] is not None
    ]
    return sorted((r for r in rows if overall is not None and r["value"] < overall - 0.05), key=lambda r: (r["value"], r["stratum"]))  # fmt: skip


def where_bad(data: AccuracyData) -> str:
    """The worst groups in a sentence."""
    groups = worst_groups(data)[:3]
    if not groups:
        return "No kind of photo stands out: no group of at least five photos is clearly below the rest."
    told = [f"{phrase(r)}: {words.percent(r['value'])} of {r['n']}" for r in groups]
    return f"{told[0][0].upper()}{told[0][1:]}{''.join('; ' + t for t in told[1:])}."


def got_worse(data: AccuracyData) -> tuple[str, str]:
    """``better``, ``worse``, ``same`` or ``unknown``, and why in a sentence."""
    one = data.difference("top1_encounter")
    if one is None:
        return "unknown", "There is no earlier run on the same encounters to compare with."
    photo = data.difference("top1_photo")
    told = f"{_moves(one, 'encounter')}" + (f", {_moves(photo, 'photo')}" if photo else "")
    verdicts = [verdict(row) for row in (one, photo) if row is not None]
    if "worse" in verdicts:
        return "worse", f"Yes: {told}."
    if "better" in verdicts:
        return "better", f"No, it got better: {told}."
    return "same", f"Not beyond chance: {told}."


def verdict(row: Row) -> str:
    """Whether a difference is ``better``, ``worse``, or the ``same`` as far as anybody can tell.

    The same: its interval holds 0, or McNemar's test (which knows that four gained and none lost may be luck, as a
    bootstrap does not) has a p above 0.05.
    """
    low, high, p = row["ci_low"], row["ci_high"], row["p_value_mcnemar"]
    if low is None or high is None or low <= 0 <= high or (p is not None and p > LARGEST_P):
        return "same"
    return "better" if (row["difference"] > 0) != lower_is_better(row["metric"]) else "worse"


def lower_is_better(metric: str) -> bool:
    """Errors are."""
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
        return "heads whose side nobody has said"
    if factor(row) == "days_between" and level(row) == "unknown":
        return "photos without a date to compare"
    if (factor(row), level(row)) == ("gallery_photos", "1"):
        return "animals with 1 gallery photo"
    return PHRASES[factor(row)].format(level(row).replace("-", "\u2013").replace("+", " and more"))


def groups_of(rows: Sequence[Row], name: str) -> list[Row]:
    """Rows of one factor in the order in which people read them."""
    from resight.evaluate.strata import ORDER

    order = ORDER.get(name, ())
    chosen = [r for r in rows if factor(r) == name and r["n"]]
    if name == "gallery_size":
        return sorted(chosen, key=lambda r: int(level(r)))
    return sorted(chosen, key=lambda r: order.index(level(r)) if level(r) in order else len(order))
