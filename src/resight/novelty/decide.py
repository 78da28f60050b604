"""The verdict on every query encounter: known, new, unsure or not compared, with probabilities and a sentence."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.novelty.evidence import sentence
from resight.novelty.identity_log import provisional_id
from resight.novelty.model import NONE, NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.rank.photos import codes
from resight.rank.stage import rank_numbers
from resight.status import Decision

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
    truth: Mapping[str, str] | None = None,
    deleted: Mapping[str, str] | None = None,
) -> Verdicts:
    """Judge every query encounter.

    ``known``: the best candidate has probability >= ``decide_known`` and a p-value <= ``alpha``. If there were too few animals
    to calibrate on for a p-value that small, the guarantee cannot be given: the verdict is ``unsure``, and the evidence says how
    many animals are needed; with ``without_guarantee = "name"`` a score above all impostor maxima is enough. ``new``: ``p_new``
    >= ``decide_new``. Otherwise ``unsure``; ``not_compared`` if there is no scored pair.

    Args:
        ranked: All candidates from `rank.rank_all`, not only the first few.
        queries: Columns ``photo_id``, ``encounter_id``: all query photos, compared or not.
        gallery: Individuals that have a photo in the gallery.
        model: From `fit`.
        params: Limits and the share of new animals.
        truth: In an evaluation, the hidden individual by encounter_id.
        deleted: By encounter_id, an individual to be treated as not in the gallery, so that it is unknown.
    """
    truth, deleted = truth or {}, deleted or {}
    ranked = _delete(ranked, deleted)
    candidates = _by_encounter(ranked, "encounter")
    compared = {e: len({r["query_id"] for r in rows}) for e, rows in _by_encounter(ranked, "photo").items()}
    photos = _photos_by_encounter(queries)
    rows: list[dict[str, Any]] = []
    probability: dict[tuple[str, str], float] = {}
    likely: dict[tuple[str, str], bool] = {}
    for encounter in sorted(photos):
        without = deleted.get(encounter)
        fitted = model.without(without) if without else model
        size = len(set(gallery) - {without})
        verdict, posterior = _judge(encounter, candidates.get(encounter, []), size, fitted, params)
        verdict |= {"n_photos": len(photos[encounter]), "n_photos_compared": compared.get(encounter, 0)}
        verdict["evidence"] = sentence(verdict, candidates.get(encounter, []), size, fitted, params)
        rows.append(verdict | {"true_individual_id": truth.get(encounter)})
        probability |= {(encounter, c): p for c, p in posterior.items()}
        likely |= _candidate_set(encounter, candidates.get(encounter, []), fitted, verdict["candidate_set_coverage"])
    ranked = _fill(_fill(ranked, "probability", probability), "in_candidate_set", likely)
    return Verdicts(ranked, pa.Table.from_pylist(rows, schema=NOVELTY_SCHEMA))


def listed(verdicts: Verdicts, top_k: int) -> Verdicts:
    """The first ``top_k`` candidates of each query, and in ``p_other`` the probability of all other known animals.

    For each encounter the listed probabilities, ``p_new`` and ``p_other`` sum to 1.
    """
    kept = verdicts.ranked.filter(pc.less_equal(verdicts.ranked["rank"], top_k))
    shown: dict[str, float] = {}
    rows = kept.filter(pc.equal(kept["level"], "encounter")).select(["encounter_id", "probability"]).to_pylist()
    for row in rows:
        shown[row["encounter_id"]] = shown.get(row["encounter_id"], 0.0) + (row["probability"] or 0.0)
    table = verdicts.novelty
    pairs = zip(table["encounter_id"].to_pylist(), table["p_new"].to_pylist(), strict=True)
    other = [None if new is None else max(0.0, 1.0 - new - shown.get(e, 0.0)) for e, new in pairs]
    place = table.schema.get_field_index("p_other")
    return Verdicts(kept, table.set_column(place, table.schema.field(place), pa.array(other, pa.float64())))


def posterior(
    scores: np.ndarray, n_animals: int, model: NoveltyModel, prior_new: float
) -> tuple[np.ndarray, float, float]:
    """Probability of each candidate, of a new animal, and of all animals of the gallery that were not compared.

    With G animals in the gallery each weighs ``(1 - prior_new) / G * LR(score)`` and a new animal ``prior_new``; an
    animal that could not be compared (no photo of a matching side) has ``LR = 1``: there is no evidence for or against it.
    The three parts sum to 1.

    Args:
        scores: (C,) scores of the compared candidates.
        n_animals: G, at least C.
        model: Gives the likelihood ratio.
        prior_new: Share of encounters with animals that nobody has seen before.
    """
    prior_each = math.log1p(-prior_new) - math.log(n_animals)
    n_uncompared = n_animals - len(scores)
    rest = prior_each + math.log(n_uncompared) if n_uncompared else -math.inf
    logs = np.concatenate([prior_each + model.log_likelihood_ratio(scores), [math.log(prior_new), rest]])
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    return weight[:-2], float(weight[-2]), float(weight[-1])


def _candidate_set(
    encounter: str, candidates: list[dict[str, Any]], model: NoveltyModel, coverage: float | None
) -> dict[tuple[str, str], bool]:
    if coverage is None or not candidates:
        return {}
    inside = model.in_candidate_set(np.array([c["score"] for c in candidates]), coverage)
    return {(encounter, c["individual_id"]): bool(i) for c, i in zip(candidates, inside, strict=True)}


def _judge(
    encounter: str, candidates: list[dict[str, Any]], n_animals: int, model: NoveltyModel, params: NoveltyParams
) -> tuple[dict[str, Any], dict[str, float]]:
    row: dict[str, Any] = dict.fromkeys(NOVELTY_SCHEMA.names)
    row |= {"encounter_id": encounter, "n_calibration": model.n_individuals, "method": model.method, "reason": ""}
    row["n_needed"] = animals_needed(params.alpha)
    if not candidates:
        not_compared = Decision.NOT_COMPARED.value
        return row | {"decision": not_compared, "status": not_compared, "reason": NO_COMPARABLE_PHOTO}, {}
    best, n_compared = candidates[0], len(candidates)
    row |= {"individual_id": best["individual_id"], "best_score": best["score"], "status": "ok"}
    if model.n_individuals:
        row["p_value"] = model.p_value(best["score"], n_compared)
        row["threshold"] = model.threshold(params.alpha, n_compared)
        row["tail_p_value"] = model.tail_p_value(best["score"], n_compared)
    probabilities: dict[str, float] = {}
    if model.method != NONE:
        scores = np.array([c["score"] for c in candidates])
        each, row["p_new"], _ = posterior(scores, max(n_animals, n_compared), model, params.prior_new)
        probabilities = {c["individual_id"]: float(p) for c, p in zip(candidates, each, strict=True)}
        row["probability"] = probabilities[best["individual_id"]]
    row["candidate_set_coverage"] = model.coverage(params.candidate_coverage)
    row["decision"] = _decision(row, n_compared, model, params).value
    row["provisional_individual_id"] = None if row["decision"] == Decision.KNOWN else provisional_id(encounter)
    return row, probabilities


def animals_needed(alpha: float) -> int:
    """Animals needed before a p-value can be as small as ``alpha``: ``1 / (n + 1) <= alpha``."""
    return math.ceil(round(1 / alpha - 1, 9))


def _decision(row: dict[str, Any], n_compared: int, model: NoveltyModel, params: NoveltyParams) -> Decision:
    if model.method == NONE:
        return Decision.UNSURE
    attainable = model.smallest_p_value(n_compared) <= params.alpha
    above_all = params.without_guarantee == "name" and model.reached(row["best_score"]) == 0
    clear = row["p_value"] <= params.alpha if attainable else above_all
    if row["probability"] >= params.decide_known and clear:
        return Decision.KNOWN
    return Decision.NEW if row["p_new"] >= params.decide_new else Decision.UNSURE


def _delete(ranked: pa.Table, deleted: Mapping[str, str]) -> pa.Table:
    """Remove the deleted animals and close the gaps that they leave in the ranks."""
    if not deleted:
        return ranked
    gone = pa.array([deleted.get(e) for e in ranked["encounter_id"].to_pylist()], pa.string())
    kept = ranked.filter(pc.invert(pc.fill_null(pc.equal(gone, ranked["individual_id"]), False)))
    kept = kept.sort_by([("level", "ascending"), ("query_id", "ascending"), ("rank", "ascending")])
    ranks = rank_numbers(codes(kept["level"]), codes(kept["query_id"]))
    return kept.set_column(kept.schema.get_field_index("rank"), "rank", pa.array(ranks, pa.int32()))


def _by_encounter(ranked: pa.Table, level: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of one level by encounter, best first."""
    columns = ["encounter_id", "query_id", "rank", "individual_id", "score"]
    chosen = ranked.filter(pc.equal(ranked["level"], level)).select(columns)
    by_encounter: dict[str, list[dict[str, Any]]] = {}
    for row in chosen.sort_by([("encounter_id", "ascending"), ("rank", "ascending")]).to_pylist():
        by_encounter.setdefault(row["encounter_id"], []).append(row)
    return by_encounter


def _photos_by_encounter(queries: pa.Table) -> dict[str, set[str]]:
    photos: dict[str, set[str]] = {}
    for row in queries.select(["encounter_id", "photo_id"]).to_pylist():
        photos.setdefault(row["encounter_id"], set()).add(row["photo_id"])
    return photos


def _fill(ranked: pa.Table, column: str, values_of: Mapping[tuple[str, str], Any]) -> pa.Table:
    rows = zip(*(ranked[c].to_pylist() for c in ("level", "encounter_id", "individual_id")), strict=True)
    values = [values_of.get((e, i)) if level == "encounter" else None for level, e, i in rows]
    place = ranked.schema.get_field_index(column)
    return ranked.set_column(place, ranked.schema.field(place), pa.array(values, ranked.schema.field(place).type))
