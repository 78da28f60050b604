"""The verdict on every query encounter: known, likely, new, likely new, unsure or not compared, with probabilities and a sentence."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.decisions.names import provisional_id
from resight.novelty.evidence import MOSTLY, sentence
from resight.novelty.joint import Belief
from resight.novelty.left_out import evidence_of_listing
from resight.novelty.model import NONE, NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.novelty.sets import CandidateSet, Days, candidate_set
from resight.novelty.yardstick import QueryScores
from resight.rank.levels import Scores, Seen
from resight.rank.photos import codes
from resight.rank.stage import rank_numbers
from resight.runner.progress import counted
from resight.status import NAMED, Decision

NOVELTY_SCHEMA = pa.schema([pa.field(f.name, f.type) for f in catalog_table("novelty").schema if f.name != "run_id"])
NO_COMPARABLE_PHOTO = "no_comparable_photo"


@dataclass(frozen=True)
class Verdicts:
    """Result of `decide`.

    Attributes:
        ranked: The table that came in, with ``probability`` and ``in_candidate_set`` filled at level ``encounter``.
        novelty: The catalog's ``novelty`` without ``run_id``, a row per query encounter, sorted by it.
    """

    ranked: pa.Table
    novelty: pa.Table


def decide(
    ranked: pa.Table,
    queries: pa.Table,
    gallery: Collection[str],
    model: NoveltyModel,
    params: NoveltyParams,
    seen: Seen,
    days: Days | None = None,
    truth: Mapping[str, str] | None = None,
    deleted: Mapping[str, str] | None = None,
    beliefs: Mapping[str, Belief] | None = None,
    refused: Mapping[str, frozenset[str]] | None = None,
) -> Verdicts:
    """Judge every query encounter.

    ``known``: probability >= ``decide_known`` and p-value <= ``alpha``; ``likely`` if no score can have such a p-value yet. ``new``:
    ``p_new`` >= ``decide_new``; ``likely_new`` where how often a match is missed rests mostly on other places. Without a scored pair ``not_compared``.
    Args:
        ranked: All candidates from `rank.rank_all`, not only the first few.
        queries: Columns ``photo_id``, ``encounter_id``: all query photos, compared or not.
        gallery: Individuals that have a photo in the gallery.
        model, params: From `fit`; limits and the share of new animals.
        seen, days: What the first photos of each encounter score; when encounters were and animals were met.
        truth, deleted: By encounter_id, in an evaluation the hidden individual; an individual treated as not in the gallery.
        beliefs: By encounter_id, what is believed in view of all encounters (`joint`); the others are judged by themselves.
        refused: By encounter_id, individuals that a person says it is not; they are not among the candidates.
    """
    truth, deleted, days, beliefs, refused = truth or {}, deleted or {}, days or Days(), beliefs or {}, refused or {}
    ranked, animals = _delete(ranked, deleted), frozenset(gallery)
    candidates, scores, returned = _by_encounter(ranked), seen.scores(), seen.returned()
    compared = _photos_compared(ranked)
    rows, probability, inside = list[dict[str, Any]](), dict[tuple[str, str], float](), dict[tuple[str, str], bool]()
    for encounter, photos in counted(sorted(_photos_by_encounter(queries).items()), "novelty", "encounters"):
        without, listed = deleted.get(encounter), candidates.get(encounter, [])
        fitted, gone = model.without(without) if without else model, {without} | refused.get(encounter, frozenset())
        size, n = len(animals) - len(animals & gone), compared.get(encounter, 0)
        cut = len(seen.left_out.get(encounter, frozenset()) - gone)
        query = _query(listed, scores.get(encounter, {}), returned.get(encounter, {}), without, cut)
        facts = {"n_photos": len(photos), "n_photos_compared": n, "true_individual_id": truth.get(encounter)}
        verdict, each, in_set = _verdict(encounter, listed, query, size, fitted, params, days, facts, beliefs.get(encounter))  # fmt: skip
        rows.append(verdict)
        probability |= {(encounter, c): p for c, p in each.items()}
        inside |= {(encounter, c): is_in for c, is_in in in_set.items()}
    ranked = _filled(ranked, {"probability": probability, "in_candidate_set": inside})
    return Verdicts(ranked, pa.Table.from_pylist(rows, schema=NOVELTY_SCHEMA))


def _verdict(
    encounter: str,
    listed: list[dict[str, Any]],
    query: QueryScores | None,
    n_animals: int,
    model: NoveltyModel,
    params: NoveltyParams,
    days: Days,
    facts: Mapping[str, Any],
    belief: Belief | None,
) -> tuple[dict[str, Any], dict[str, float], dict[str, bool]]:
    """Row of the table ``novelty``, and by candidate the probability and whether it is in the candidate set."""
    row, each = _judge(encounter, listed, query, n_animals, model, params, belief)
    chosen = candidate_set(encounter, query, model, days, params.candidate_coverage) if query else CandidateSet()
    members, known = None if chosen.members is None else list(chosen.members), frozenset(chosen.members or ())
    row |= {"candidate_set": members, "candidate_set_size": None if members is None else len(members)}
    row |= {"candidate_set_coverage": chosen.coverage, **facts}
    partners = belief.partners if belief else ()
    row["evidence"] = sentence(row, query, chosen, len(listed), n_animals, model, params, partners)
    return row, each, {} if members is None else {r["individual_id"]: r["individual_id"] in known for r in listed}


def _query(
    listed: list[dict[str, Any]], scores: Scores, returned: Scores, without: str | None, n_left_out: int
) -> QueryScores | None:
    """What the encounter scores by number of photos, without a deleted animal; None where nothing was compared."""
    if not listed:
        return None
    kept = {n: {c: s for c, s in of.items() if c != without} for n, of in scores.items()}
    best = {n: max(of.values(), default=-math.inf) for n, of in kept.items()}
    return QueryScores(listed[0]["individual_id"], best, kept, returned, n_left_out)


def listed(verdicts: Verdicts, top_k: int) -> Verdicts:
    """The first ``top_k`` candidates of each query and the one of its verdict, and in ``p_other`` the probability of all other known animals.

    For each encounter the listed probabilities, ``p_new`` and ``p_other`` sum to 1.
    """
    of_verdict = dict(zip(*(verdicts.novelty[c].to_pylist() for c in ("encounter_id", "individual_id")), strict=True))
    columns = (verdicts.ranked[c].to_pylist() for c in ("level", "encounter_id", "individual_id", "rank"))
    rows = zip(*columns, strict=True)
    keep = [rank <= top_k or (level == "encounter" and of_verdict.get(e) == i) for level, e, i, rank in rows]
    kept = verdicts.ranked.filter(pa.array(keep, pa.bool_()))
    shown: dict[str, float] = {}
    for row in kept.filter(pc.equal(kept["level"], "encounter")).select(["encounter_id", "probability"]).to_pylist():
        shown[row["encounter_id"]] = shown.get(row["encounter_id"], 0.0) + (row["probability"] or 0.0)
    table = verdicts.novelty
    pairs = zip(table["encounter_id"].to_pylist(), table["p_new"].to_pylist(), strict=True)
    other = [None if new is None else max(0.0, 1.0 - new - shown.get(e, 0.0)) for e, new in pairs]
    place = table.schema.get_field_index("p_other")
    return Verdicts(kept, table.set_column(place, table.schema.field(place), pa.array(other, pa.float64())))


def posterior(
    scores: np.ndarray,
    n_animals: int,
    model: NoveltyModel,
    prior_new: float,
    n_pairs: np.ndarray | None = None,
    n_left_out: int = 0,
) -> tuple[np.ndarray, float, float]:
    """Probability of each candidate, of a new animal, and of all other animals of the gallery.

    With G animals in the gallery each weighs ``(1 - prior_new) / G * LR(score)`` and a new animal ``prior_new``; an
    animal that could not be compared (no photo of a matching side) has ``LR = 1``: there is no evidence for or against it. Where a
    shortlist left animals out, that speaks against them and for the others (`left_out.evidence_of_listing`).
    The three parts sum to 1.

    Args:
        scores: (C,) scores of the compared candidates.
        n_animals: G, at least C.
        model: Gives the likelihood ratio.
        prior_new: Share of encounters with animals that nobody has seen before.
        n_pairs: (C,) pairs of photos behind each score; None for as many as usual.
        n_left_out: Of the others, how many the shortlist left out.
    """
    prior_each = math.log1p(-prior_new) - math.log(n_animals)
    listed, left_out = evidence_of_listing(len(scores), n_left_out, model.kept)
    others = n_animals - len(scores) - n_left_out + n_left_out * left_out
    rest = prior_each + math.log(others) if others > 0 else -math.inf
    each = prior_each + math.log(listed) + model.log_likelihood_ratio(scores, n_pairs)
    logs = np.concatenate([each, [math.log(prior_new), rest]])
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    return weight[:-2], float(weight[-2]), float(weight[-1])


def _judge(
    encounter: str,
    candidates: list[dict[str, Any]],
    query: QueryScores | None,
    n_animals: int,
    model: NoveltyModel,
    params: NoveltyParams,
    belief: Belief | None,
) -> tuple[dict[str, Any], dict[str, float]]:
    row: dict[str, Any] = dict.fromkeys(NOVELTY_SCHEMA.names)
    row |= {"encounter_id": encounter, "n_calibration": model.n_individuals, "method": model.method, "reason": ""}
    row["n_needed"] = animals_needed(params.alpha)
    if query is None:
        not_compared = Decision.NOT_COMPARED.value
        return row | {"decision": not_compared, "status": not_compared, "reason": NO_COMPARABLE_PHOTO}, {}
    first, n_compared = candidates[0], len(candidates)
    row |= {"individual_id": first["individual_id"], "best_score": first["score"], "status": "ok"}
    if model.n_individuals:
        row["p_value"] = model.p_value(query, n_compared)
        row["threshold"] = model.threshold(query, params.alpha, n_compared)
        row["tail_p_value"] = model.tail_p_value(first["score"], n_compared)
    probabilities: dict[str, float] = {}
    if model.method != NONE:
        probabilities, row["p_new"] = _probabilities(candidates, query, n_animals, model, params, belief)
        best = max(candidates, key=lambda c: (probabilities[c["individual_id"]], -c["rank"]))
        row |= {"individual_id": best["individual_id"], "best_score": best["score"]}
        row["probability"] = probabilities[best["individual_id"]]
    decision = _decision(row, query, n_compared, model, params)
    row["decision"] = decision.value
    row["provisional_individual_id"] = None if decision in NAMED else provisional_id(encounter)
    return row, probabilities


def _probabilities(
    candidates: list[dict[str, Any]],
    query: QueryScores,
    n_animals: int,
    model: NoveltyModel,
    params: NoveltyParams,
    belief: Belief | None,
) -> tuple[dict[str, float], float]:
    """By candidate, and of a new animal; as believed in view of all encounters, or of this one alone."""
    names = [c["individual_id"] for c in candidates]
    if belief is not None:
        return {name: belief.animals[name] for name in names}, belief.new
    scores = np.array([c["score"] for c in candidates])
    size = max(n_animals, len(candidates) + query.n_left_out)
    n_pairs = np.array([c["n_pairs"] for c in candidates])
    each, new, _ = posterior(scores, size, model, params.prior_new, n_pairs, query.n_left_out)
    return dict(zip(names, each.tolist(), strict=True)), new


def animals_needed(alpha: float) -> int:
    """Animals needed before a p-value can be as small as ``alpha``: ``2 / (n + 1) <= alpha``, as the best candidate always counts."""
    return math.ceil(round(2 / alpha - 1, 9))


def _decision(
    row: dict[str, Any], query: QueryScores, n_compared: int, model: NoveltyModel, params: NoveltyParams
) -> Decision:
    if model.method == NONE:
        return Decision.UNSURE
    if row["probability"] >= params.decide_known:
        if model.smallest_p_value(query.individual_id, n_compared) > params.alpha:
            return Decision.LIKELY
        # The p-value speaks of the candidate that scores highest: a name from other encounters, or in spite of one that scores higher
        # from more pairs, has no guarantee.
        guaranteed = row["p_value"] <= params.alpha and row["individual_id"] == query.individual_id
        return Decision.KNOWN if guaranteed else Decision.UNSURE
    if row["p_new"] >= params.decide_new:
        return Decision.LIKELY_NEW if model.shipped_share > MOSTLY else Decision.NEW
    return Decision.UNSURE


def _delete(ranked: pa.Table, deleted: Mapping[str, str]) -> pa.Table:
    """Remove the deleted animals and close the gaps that they leave in the ranks."""
    if not deleted:
        return ranked
    gone = pa.array([deleted.get(e) for e in ranked["encounter_id"].to_pylist()], pa.string())
    kept = ranked.filter(pc.invert(pc.fill_null(pc.equal(gone, ranked["individual_id"]), False)))
    kept = kept.sort_by([("level", "ascending"), ("query_id", "ascending"), ("rank", "ascending")])
    ranks = rank_numbers(codes(kept["level"]), codes(kept["query_id"]))
    return kept.set_column(kept.schema.get_field_index("rank"), "rank", pa.array(ranks, pa.int32()))


def _by_encounter(ranked: pa.Table) -> dict[str, list[dict[str, Any]]]:
    """Candidates of each encounter, best first."""
    columns = ["encounter_id", "query_id", "rank", "individual_id", "score", "n_pairs"]
    chosen = ranked.filter(pc.equal(ranked["level"], "encounter")).select(columns)
    by_encounter: dict[str, list[dict[str, Any]]] = {}
    for row in chosen.sort_by([("encounter_id", "ascending"), ("rank", "ascending")]).to_pylist():
        by_encounter.setdefault(row["encounter_id"], []).append(row)
    return by_encounter


def _photos_compared(ranked: pa.Table) -> dict[str, int]:
    """How many photos of each encounter have candidates."""
    photos = ranked.filter(pc.equal(ranked["level"], "photo")).group_by("encounter_id", use_threads=False)
    counted = photos.aggregate([("query_id", "count_distinct")])
    return dict(zip(counted["encounter_id"].to_pylist(), counted["query_id_count_distinct"].to_pylist(), strict=True))


def _photos_by_encounter(queries: pa.Table) -> dict[str, set[str]]:
    photos: dict[str, set[str]] = {}
    for row in queries.select(["encounter_id", "photo_id"]).to_pylist():
        photos.setdefault(row["encounter_id"], set()).add(row["photo_id"])
    return photos


def _filled(ranked: pa.Table, values_of: Mapping[str, Mapping[tuple[str, str], Any]]) -> pa.Table:
    """With values in the rows of encounters, by column, encounter and candidate."""
    rows = np.flatnonzero(np.asarray(pc.equal(ranked["level"], "encounter")))
    keys = [ranked[column].take(pa.array(rows)).to_pylist() for column in ("encounter_id", "individual_id")]
    of_row = np.full(ranked.num_rows, len(rows), np.int64)
    of_row[rows] = np.arange(len(rows))
    for column, values in values_of.items():
        place, field = ranked.schema.get_field_index(column), ranked.schema.field(column)
        each = pa.array([*(values.get(key) for key in zip(*keys, strict=True)), None], field.type)
        ranked = ranked.set_column(place, field, each.take(pa.array(of_row)))
    return ranked
