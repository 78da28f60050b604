"""Encounters of unknown animals: which are compared with each other, and which are of one animal."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.novelty.cluster import Pair, cluster
from resight.novelty.model import LOGISTIC, NoveltyModel
from resight.novelty.params import NoveltyParams
from resight.pairs.params import PairsParams
from resight.pairs.plan import PairGrid
from resight.rank.params import RankParams
from resight.rank.stage import rank_all

CLUSTER = "cluster"
OF_CROP = re.compile(r"#[0-9a-f]{20}\Z")  # a crop, see `segment.cropper.crop_id`


def sightings(crops_info: pa.Table, encounters: Collection[str]) -> pa.Table:
    """Crops of the unknown encounters, ``encounter_id`` and ``individual_id`` replaced by the sighting that each belongs to.

    A sighting is one animal in one encounter. It has the name of the encounter, except for crops that share their photo with
    other crops: each of these is a sighting of its own (``encounter#crop``). Crops of photos with a name are the gallery's, also where
    other photos of their encounter have none yet.
    """
    usable = pc.equal(crops_info["feature_status"], "ok")
    unknown = pc.is_in(crops_info["encounter_id"], pa.array(sorted(encounters), pa.string()))
    unnamed = pc.is_null(crops_info["individual_id"])
    chosen = crops_info.filter(pc.and_(pc.and_(usable, unknown), unnamed))
    photos = chosen["photo_id"].to_pylist()
    crowded = {p for p in set(photos) if photos.count(p) > 1}
    rows = zip(photos, chosen["encounter_id"].to_pylist(), chosen["crop_id"].to_pylist(), strict=True)
    names = pa.array([f"{e}#{c}" if p in crowded else e for p, e, c in rows], pa.string())
    for column in ("encounter_id", "individual_id"):
        chosen = chosen.set_column(chosen.schema.get_field_index(column), column, names)
    return chosen


def encounter_of(sighting: str) -> str:
    """The encounter that a sighting belongs to, whose own name may hold a ``#`` too."""
    return OF_CROP.sub("", sighting)


def cluster_grid(seen: pa.Table, policy: PairsParams) -> PairGrid:
    """Each pair of sightings of different encounters once, with the alphabetically first as the query.

    Args:
        seen: From `sightings`.
        policy: Which viewpoints are compared.
    """
    names = seen["encounter_id"].to_pylist()
    order, encounter = (
        np.unique(np.array(values, dtype=str), return_inverse=True)[1]
        for values in (names, [encounter_of(name) for name in names])
    )
    return PairGrid.between(
        seen, seen, policy=policy, purpose=CLUSTER, forbid_same_encounter=True,
        only=lambda q, g: (order[q] < order[g]) & (encounter[q] != encounter[g]),
    )  # fmt: skip


def group(
    scores: pa.Table,
    seen: pa.Table,
    first_met: Mapping[str, date],
    model: NoveltyModel,
    rank: RankParams,
    params: NoveltyParams,
    is_ratio: bool,
) -> list[list[str]]:
    """Sightings by animal, the first met first.

    Grouping takes likelihood ratios: those of the regression over gallery encounters, or, while there are too few of these, the
    scores themselves if they are log likelihood ratios (``is_ratio``). Without either, each sighting is on its own.

    Args:
        scores: The ``scores`` table with rows of purpose ``cluster``.
        seen: From `sightings`.
        first_met: Day of each dated encounter.
        model: Gives the likelihood ratio.
        rank: The rule by which photos vote.
        params: Priors and limits.
        is_ratio: Whether scores are log likelihood ratios.
    """
    nodes = sorted(set(seen["encounter_id"].to_pylist()), key=lambda s: (first_met.get(encounter_of(s), date.max), s))
    if model.method != LOGISTIC and not is_ratio:
        return [[node] for node in nodes]
    ranked = rank_all(scores, seen, rank, purpose=CLUSTER)
    ranked = ranked.filter(pc.equal(ranked["level"], "encounter"))
    score = ranked["score"].to_numpy()
    # Not capped by how much was seen: the cap keeps what is stated modest, and in a young gallery it would link nobody.
    uncapped = replace(model, log_ratio_range=(-math.inf, math.inf))
    ratio = uncapped.log_likelihood_ratio(score) if model.method == LOGISTIC else score
    pairs = zip(ranked["encounter_id"].to_pylist(), ranked["individual_id"].to_pylist(), strict=True)
    log_ratio = dict(zip(pairs, ratio.tolist(), strict=True))
    return cluster(nodes, log_ratio, apart(seen), params.prior_single, params.link_probability)


def apart(seen: pa.Table) -> set[Pair]:
    """Pairs of sightings that share a photo, and so are two animals."""
    by_photo: dict[str, set[str]] = {}
    for photo, sighting in zip(seen["photo_id"].to_pylist(), seen["encounter_id"].to_pylist(), strict=True):
        by_photo.setdefault(photo, set()).add(sighting)
    return {pair for names in by_photo.values() for pair in combinations(sorted(names), 2)}


def name_of(encounter: str, names: Mapping[str, str], sighted: Sequence[str]) -> str | None:
    """Provisional name of an encounter: that of its own sighting, or of the first of several."""
    if encounter in names:
        return names[encounter]
    return next((names[s] for s in sorted(sighted) if encounter_of(s) == encounter and s in names), None)
