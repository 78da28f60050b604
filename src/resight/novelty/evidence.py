"""The verdict in one or two plain sentences."""

from __future__ import annotations

from typing import Any

from resight.novelty.model import MIN_IMPOSTORS, NONE, NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.status import Decision

MOSTLY = 0.5


def sentence(
    row: dict[str, Any], candidates: list[dict[str, Any]], n_animals: int, model: NoveltyModel, params: NoveltyParams
) -> str:
    """What speaks for the decision in ``row``, with its limits.

    Args:
        row: Row of the ``novelty`` table.
        candidates: Ranked candidates, best first.
        n_animals: Animals in the gallery.
        model: What the decision rests on.
        params: Limits of the decision.
    """
    if row["decision"] == Decision.NOT_COMPARED:
        count = row["n_photos"]
        photos = "Its photo could not" if count == 1 else f"None of its {count} photos could"
        return (
            f"{photos} be compared with the gallery: no usable animal in the picture, or no gallery photo of that side."
        )
    parts = [
        _match(row, model),
        _limits(row, len(candidates), model, params),
        _uncompared(len(candidates), n_animals),
        _other_places(model),
    ]
    return " ".join(part for part in parts if part)


def _match(row: dict[str, Any], model: NoveltyModel) -> str:
    best = f"{row['individual_id']} with score {row['best_score']:.3g}"
    if model.method == NONE:
        return (
            f"Best match {best}, but only {_counted(model.n_individuals, 'animal')} could show how high different animals score "
            f"({MIN_IMPOSTORS} are needed), so nothing is decided."
        )
    reached = model.reached(row["best_score"])
    who = "none" if reached == 0 else str(reached)
    text = f"Best match {best}; {who} of {_counted(model.n_individuals, 'animal')} known to be different reached that."
    return f"No animal in the gallery fits well. {text}" if row["decision"] == Decision.NEW else text


def _limits(row: dict[str, Any], n_compared: int, model: NoveltyModel, params: NoveltyParams) -> str:
    if model.method == NONE or model.smallest_p_value(n_compared) <= params.alpha:
        return ""
    likely = row["probability"] is not None and row["probability"] >= params.decide_known
    if row["decision"] != Decision.KNOWN and not likely:
        return ""
    return (
        f"With so few animals a rate of wrong identifications of {params.alpha:.3g} cannot be guaranteed "
        f"(at least {row['n_needed']} are needed, and a gallery of about that size)."
    )


def _uncompared(n_compared: int, n_animals: int) -> str:
    hidden = n_animals - n_compared
    return f"{hidden} of {n_animals} animals in the gallery have no photo that could be compared." if hidden > 0 else ""


def _other_places(model: NoveltyModel) -> str:
    if model.method == NONE or model.shipped_share <= MOSTLY:
        return ""
    met = _counted(model.n_genuine, "encounter")
    return f"How likely that makes it rests mostly on other places: {met} here met a known animal again."


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
