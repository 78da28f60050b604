"""What happened to every query of known identity: the rows of the table ``outcomes``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.metrics import average_precision
from resight.novelty.model import BOUND, NONE
from resight.rank.photos import codes, photo_pairs, starts

CLOSED, WITHOUT_OWN, OPEN, BACKGROUND = "closed", "without_own", "open", "background"
ENCOUNTER, PHOTO = "encounter", "photo"
MIXED = "mixed"
VISIBILITY = ("good", "fair", "poor", "none")  # best first
VISIBILITY_KEYS = ("head_visibility", "visibility")
Row = dict[str, Any]


@dataclass(frozen=True)
class TrialResult:
    """A gallery, its queries, and what came out.

    Attributes:
        trial: ``closed``, ``without_own``, ``open`` or ``background``.
        gallery: Individual by gallery photo_id.
        truth: Individual by query photo_id.
        ranked: All candidates at both levels from `rank.rank_all`.
        novelty: The ``novelty`` table: a row per query encounter.
        round: Number of the gallery.
        scores: The ``scores`` table, where average precision is wanted.
        crops_info: See `rank.photo_pairs`; needed with ``scores``.
        cut: By query photo_id, gallery photos of its animal that the shortlist left out.
        scored: By query photo_id, those that it was compared with.
        n_animals: Animals in the gallery, if not those of ``gallery``.
    """

    trial: str
    gallery: Mapping[str, str]
    truth: Mapping[str, str]
    ranked: pa.Table
    novelty: pa.Table
    round: int = 0
    scores: pa.Table | None = None
    crops_info: pa.Table | None = None
    cut: Mapping[str, int] = field(default_factory=dict)
    scored: Mapping[str, int] = field(default_factory=dict)
    n_animals: int | None = None


@dataclass(frozen=True)
class PhotoFacts:
    """What outcomes are grouped by, for each photo_id."""

    encounter: Mapping[str, str]
    taken_on: Mapping[str, date | None]
    viewpoint: Mapping[str, str]
    visibility: Mapping[str, str]

    @classmethod
    def of(cls, photos: pa.Table, crops: pa.Table | None = None) -> PhotoFacts:
        """From the tables ``photos`` and ``crops``; a crop's viewpoint stands in where the photo has none."""
        rows = photos.select([c for c in ("photo_id", "encounter_id", "taken_on", "viewpoint", "extra") if c in photos.column_names]).to_pylist()  # fmt: skip
        seen = _crop_views(crops)
        views = {r["photo_id"]: _view(r["viewpoint"], seen.get(r["photo_id"])) for r in rows}
        return cls(
            {r["photo_id"]: r["encounter_id"] for r in rows},
            {r["photo_id"]: r["taken_on"] for r in rows},
            views,
            {r["photo_id"]: _visibility(r.get("extra")) for r in rows},
        )


def outcome_rows(t: TrialResult, facts: PhotoFacts, levels: Sequence[str] = (ENCOUNTER, PHOTO)) -> list[Row]:
    """The catalog's ``outcomes`` without ``run_id``: one row per level and query, also where nothing could be compared.

    A query is ``known`` where its animal is in the trial's gallery. ``rank`` counts all candidates.
    """
    rows: list[Row] = []
    for level in levels:
        answers = _looked_up(t, level)
        rows += [_row(t, level, query, photos, answers, facts) for query, photos in sorted(_queries(t, level, facts))]
    return rows


def _queries(t: TrialResult, level: str, facts: PhotoFacts) -> list[tuple[str, list[str]]]:
    if level == PHOTO:
        return [(p, [p]) for p in t.truth]
    groups: dict[str, list[str]] = {}
    for p in sorted(t.truth):
        groups.setdefault(facts.encounter[p], []).append(p)
    return list(groups.items())


@dataclass(frozen=True)
class _Answers:
    """By query: the best row, the best wrong one, that of its own animal, candidate set, verdict, average precision,
    and the probabilities of all candidates by rank. ``own_photos`` are gallery photos by animal."""

    best: Mapping[str, Row]
    wrong: Mapping[str, Row]
    right: Mapping[str, Row]
    sets: Mapping[str, tuple[bool, int]]
    verdicts: Mapping[str, Row]
    precision: Mapping[str, float]
    stated: Mapping[str, list[float]]
    own_photos: Mapping[str, Sequence[str]]


def _looked_up(t: TrialResult, level: str) -> _Answers:
    table = t.ranked.filter(pc.equal(t.ranked["level"], level))
    truth = pa.array([t.truth.get(p) for p in table["best_query_photo_id"].to_pylist()], pa.string())
    own = pc.fill_null(pc.equal(table["individual_id"], truth), False)
    rows = table.append_column("own", own).filter(pc.or_(pc.less_equal(table["rank"], 2), own)).to_pylist()
    rows.sort(key=lambda r: -r["rank"])  # of several rows of a query, a dictionary keeps the last
    own_photos: dict[str, list[str]] = {}
    for photo, animal in t.gallery.items():
        own_photos.setdefault(animal, []).append(photo)
    verdicts = {r["encounter_id"]: r for r in t.novelty.to_pylist()} if level == ENCOUNTER else {}
    return _Answers(
        best={r["query_id"]: r for r in rows if r["rank"] == 1} | _most_probable(table, verdicts),
        wrong={r["query_id"]: r for r in rows if not r["own"]},
        right={r["query_id"]: r for r in rows if r["own"]},
        sets=_candidate_sets(table, own),
        verdicts=verdicts,
        stated=_stated(table) if level == ENCOUNTER else {},
        precision=_average_precisions(t) if level == PHOTO and t.scores is not None else {},
        own_photos=own_photos,
    )


def _most_probable(table: pa.Table, verdicts: Mapping[str, Row]) -> dict[str, Row]:
    """The row of the candidate that the verdict speaks of, which other encounters may have made more probable than the first."""
    spoken_of = pa.array(
        [(verdicts.get(q) or {}).get("individual_id") for q in table["query_id"].to_pylist()], pa.string()
    )
    chosen = table.filter(pc.fill_null(pc.equal(table["individual_id"], spoken_of), False))
    return {row["query_id"]: row for row in chosen.to_pylist()}


def _row(t: TrialResult, level: str, query: str, photos: Sequence[str], answers: _Answers, facts: PhotoFacts) -> Row:
    animal = t.truth[photos[0]]
    best, right, wrong = (of.get(query) for of in (answers.best, answers.right, answers.wrong))
    known = animal in answers.own_photos
    row: Row = {"trial": t.trial, "round": t.round, "level": level, "query_id": query, "encounter_id": facts.encounter[photos[0]],
                "true_individual_id": animal, "known": known, "rank": right["rank"] if right else None,
                "correct": bool(best and known and best["individual_id"] == animal),
                "score_right": right["score"] if right else None, "score_wrong": wrong["score"] if wrong else None,
                "n_gallery_individuals": len(answers.own_photos) if t.n_animals is None else t.n_animals}  # fmt: skip
    if best:
        row |= {"individual_id": best["individual_id"], "probability": best["probability"],
                "query_crop_id": best["best_query_crop_id"], "found_crop_id": best["best_gallery_crop_id"]}  # fmt: skip
    if right:
        row |= {"right_query_crop_id": right["best_query_crop_id"], "right_crop_id": right["best_gallery_crop_id"]}
    row |= _strata(answers.own_photos.get(animal, ()), photos, facts)
    return row | (_verdict(query, answers) if level == ENCOUNTER else _photo_only(t, query, answers, known))


def _photo_only(t: TrialResult, query: str, answers: _Answers, known: bool) -> Row:
    row: Row = {"n_right_scored": t.scored.get(query, 0), "n_right_cut": t.cut.get(query, 0)}
    return row | ({"average_precision": answers.precision.get(query, 0.0)} if known and t.scores is not None else {})


def _verdict(query: str, answers: _Answers) -> Row:
    verdict = answers.verdicts.get(query)
    inside = answers.sets.get(query)
    row: Row = {"in_candidate_set": inside[0], "candidate_set_size": inside[1]} if inside else {}
    if verdict is None:
        return row
    return row | {
        "probability": verdict["probability"], "p_new": verdict["p_new"], "decision": verdict["decision"],
        "novelty": _novelty(verdict), "provisional_individual_id": verdict["provisional_individual_id"],
        "candidate_set_coverage": verdict.get("candidate_set_coverage"), "probabilities": answers.stated.get(query),
        "p_value": verdict["p_value"],
    }  # fmt: skip


def _novelty(verdict: Row) -> float:
    """Grows with novelty; infinite where nothing could be compared: the query then resembles no animal of the gallery."""
    if verdict["best_score"] is None:
        return float("inf")
    value = (
        -verdict["best_score"] if verdict["p_new"] is None or verdict["method"] in (BOUND, NONE) else verdict["p_new"]
    )
    return round(float(value), 9)  # equal evidence must tie despite rounding errors


def _strata(own: Sequence[str], photos: Sequence[str], facts: PhotoFacts) -> Row:
    gaps = [abs((a - b).days) for p in photos if (a := facts.taken_on[p]) for g in own if (b := facts.taken_on[g])]
    views, seen = {facts.viewpoint[p] for p in photos}, {facts.visibility[p] for p in photos} - {""}
    ordered = [v for v in VISIBILITY if v in seen]
    return {
        "viewpoint": views.pop() if len(views) == 1 else MIXED,
        "visibility": ordered[0] if ordered else seen.pop() if len(seen) == 1 else MIXED if seen else None,
        "days_between": min(gaps) if gaps else None,
        "n_gallery_photos": len(own),
    }


def _candidate_sets(table: pa.Table, own: pa.ChunkedArray) -> dict[str, tuple[bool, int]]:
    """Whether the set contains the right animal, and its size, by query; empty where the ranking made no sets."""
    if "in_candidate_set" not in table.column_names or table["in_candidate_set"].null_count == table.num_rows:
        return {}
    inside = pc.fill_null(table["in_candidate_set"], False)
    rows = pa.table({"query": table["query_id"], "size": pc.cast(inside, pa.int64()), "hit": pc.and_(inside, own)})
    sets = rows.group_by("query").aggregate([("hit", "any"), ("size", "sum")]).to_pydict()
    return dict(zip(sets["query"], zip(sets["hit_any"], sets["size_sum"], strict=True), strict=True))


def _stated(table: pa.Table) -> dict[str, list[float]]:
    """Probabilities of all candidates by query, best first; none where the ranking has none."""
    table = table.filter(pc.is_valid(table["probability"])).sort_by([("query_id", "ascending"), ("rank", "ascending")])
    lists = table.group_by("query_id", use_threads=False).aggregate([("probability", "list")]).to_pydict()
    return dict(zip(lists["query_id"], lists["probability_list"], strict=True))


def _average_precisions(t: TrialResult) -> dict[str, float]:
    """By query photo: gallery photos by score (ties: photo_id), those of the right animal that were compared count."""
    if t.scores is None or t.crops_info is None:
        return {}
    pairs = photo_pairs(t.scores, t.crops_info)
    query, gallery = codes(pairs["query_photo_id"]), codes(pairs["gallery_photo_id"])
    pairs = pairs.take(pa.array(np.lexsort((gallery, -pairs["score"].to_numpy(), query))))
    names = pairs["query_photo_id"].to_pylist()
    right = np.array(
        [t.truth.get(q) == i for q, i in zip(names, pairs["individual_id"].to_pylist(), strict=True)], bool
    )
    first = starts(codes(pairs["query_photo_id"]))
    ends = np.append(first[1:], len(names)) if len(first) else first
    return {names[a]: average_precision(right[a:b], t.cut.get(names[a], 0)) for a, b in zip(first, ends, strict=True)}


def _crop_views(crops: pa.Table | None) -> dict[str, str]:
    rows = crops.select(["photo_id", "viewpoint", "status"]).to_pylist() if crops is not None else []
    return {r["photo_id"]: r["viewpoint"] for r in reversed(rows) if r["status"] == "ok"}


def _view(of_photo: str | None, of_crop: str | None) -> str:
    return of_photo if of_photo and of_photo != "unknown" else of_crop or of_photo or "unknown"


def _visibility(extra: str | None) -> str:
    columns = {str(k).casefold(): str(v).casefold() for k, v in json.loads(extra).items()} if extra else {}
    return next((columns[k] for k in VISIBILITY_KEYS if columns.get(k)), "")
