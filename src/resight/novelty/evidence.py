"""The verdict in one or two plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resight.novelty.model import MIN_IMPOSTORS, NONE, NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.novelty.sets import CandidateSet
from resight.novelty.unknowns import encounter_of
from resight.novelty.yardstick import QueryScores
from resight.status import CALLED_NEW, Decision
from resight.wording import counted

MOSTLY = 0.5


def sentence(
    row: dict[str, Any],
    query: QueryScores | None,
    chosen: CandidateSet,
    n_compared: int,
    n_animals: int,
    model: NoveltyModel,
    params: NoveltyParams,
    partners: Sequence[str] = (),
) -> str:
    """What speaks for the decision in ``row``, with its limits.

    Args:
        row: Row of the ``novelty`` table.
        query: What the encounter scores; None if nothing was compared.
        chosen: Its candidate set.
        n_compared: Animals that it was compared with.
        n_animals: Animals in the gallery.
        model: What the decision rests on.
        params: Limits of the decision.
        partners: Other encounters that are probably the same animal.
    """
    if query is None:
        count = row["n_photos"]
        photos = "Its photo could not" if count == 1 else f"None of its {count} photos could"
        return (
            f"{photos} be compared with the gallery: no usable animal in the picture, or no gallery photo of that side."
        )
    parts = [
        _match(row, query, model),
        _together(partners),
        _guarantee(row, query, model, params),
        _never_new(row, query, model, params),
        _set(chosen),
        _uncompared(n_compared, n_animals, query.n_left_out),
        _other_places(model),
    ]
    return " ".join(part for part in parts if part)


def _match(row: dict[str, Any], query: QueryScores, model: NoveltyModel) -> str:
    best = f"{row['individual_id']} with score {row['best_score']:.3g}"
    if model.method == NONE:
        return (
            f"Best match {best}, but only {counted(model.n_individuals, 'animal')} could show how high different animals score "
            f"({MIN_IMPOSTORS} are needed), so nothing is decided."
        )
    reached = model.reached(query)
    who = "none" if reached == 0 else str(reached)
    animals = f"{who} of {counted(model.n_individuals, 'animal')} known to be different reached that"
    if row["individual_id"] == query.individual_id:
        text = f"Best match {best}; {animals}."
    else:
        text = f"Best match {best}. The highest score is with {query.individual_id}; {animals}."
    return f"No animal in the gallery fits well. {text}" if row["decision"] in CALLED_NEW else text


def _together(partners: Sequence[str]) -> str:
    """Other encounters that had a say."""
    if not partners:
        return ""
    more = f" and {counted(len(partners) - 2, 'other encounter')}" if len(partners) > 2 else ""
    named = [_sighting(partner) for partner in partners[:2]]
    return f"It is probably one animal with {', '.join(named)}{more}, which counted too."


def _sighting(name: str) -> str:
    """An encounter, or one of several animals that one photo of it shows, as people call it."""
    encounter = encounter_of(name)
    return encounter if encounter == name else f"one of several animals in a photo of {encounter}"


def _guarantee(row: dict[str, Any], query: QueryScores, model: NoveltyModel, params: NoveltyParams) -> str:
    """What it takes until a name comes with the guarantee."""
    if row["decision"] == Decision.LIKELY:
        return (
            f"Please confirm: that at most {params.alpha:.3g} of new animals get a wrong name can be guaranteed from "
            f"{row['n_needed']} known animals on; there are {model.n_individuals}."
        )
    if row["decision"] == Decision.UNSURE and (row["probability"] or 0) >= params.decide_known:
        if row["individual_id"] != query.individual_id:
            return f"Its highest score is with {query.individual_id}, so nothing can be guaranteed."
        return f"Of new animals, a share of {row['p_value']:.2g} would match as well, more than {params.alpha:.3g}."
    return ""


def _never_new(row: dict[str, Any], query: QueryScores, model: NoveltyModel, params: NoveltyParams) -> str:
    """Where no score at all could make an animal new, it is said."""
    if row["decision"] != Decision.UNSURE or not row["p_new"] or row["p_new"] < (row["probability"] or 0):
        return ""
    most = model.most_new(params.prior_new, query.n_left_out > 0)
    if most >= params.decide_new:
        return ""
    listed = f" and a shortlist that lists the right animal {model.kept:.0%} of the time" if query.n_left_out else ""
    if model.missed:
        here = (
            f", as {counted(model.n_months, 'animal')} met again after a month or more and what was measured elsewhere show"
            if model.n_months
            else ""
        )
        seen = f"{model.missed:.0%} of known animals match nothing{here}{listed}"
        return (
            f"It may be new, but no match can be poor enough to say so: {seen}, so that a probability of {most:.2g} at most is possible, and "
            f"{params.decide_new:.2g} is asked for."
        )
    met = counted(model.n_genuine_individuals, "animal")
    return (
        f"It may be new, but no match can be poor enough to say so yet: {met} met again on another day{listed} allow a probability of "
        f"{most:.2g} at most, and {params.decide_new:.2g} is asked for."
    )


def _set(chosen: CandidateSet) -> str:
    if chosen.members is not None and not chosen.members:
        return "Its candidate set is empty: every animal fits worse than animals that were met again."
    if chosen.n_unexcluded:
        animals = counted(chosen.n_unexcluded, "animal")
        return f"Too few animals were met again after so long to leave {animals} out of its candidate set."
    return ""


def _uncompared(n_compared: int, n_animals: int, n_left_out: int) -> str:
    hidden, said = n_animals - n_compared - n_left_out, []
    if n_left_out:
        said.append(f"The shortlist left out {n_left_out} of {n_animals} animals in the gallery.")
    if hidden > 0:
        said.append(f"{hidden} of {n_animals} animals in the gallery have no photo that could be compared.")
    return " ".join(said)


def _other_places(model: NoveltyModel) -> str:
    if model.method == NONE or not model.shipped_share:
        return ""
    if model.shipped_share <= MOSTLY:
        return "What a score means rests mostly on what was measured elsewhere, how often a match is missed on the animals here."
    return "What a score means, and how often a match is missed, rests mostly on what was measured elsewhere."
