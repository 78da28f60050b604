"""Encounters without a name: which are compared with each other, and what they score."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.novelty.joint import Pair
from resight.pairs.params import PairsParams
from resight.pairs.plan import PairGrid
from resight.rank.params import RankParams
from resight.rank.stage import rank_all

CLUSTER = "cluster"
OF_CROP = re.compile(r"#[0-9a-f]{20}\Z")  # a crop, see `segment.cropper.crop_id`


def sightings(crops_info: pa.Table, encounters: Collection[str]) -> pa.Table:
    """Usable crops of these encounters, ``encounter_id`` and ``individual_id`` replaced by the sighting that each belongs to.

    A sighting is one animal in one encounter. It has the name of the encounter, except for crops that share their photo with
    other crops: each of these is a sighting of its own (``encounter#crop``). Crops of photos with a name are the gallery's, also where
    other photos of their encounter have none yet.
    """
    usable = pc.equal(crops_info["feature_status"], "ok")
    unknown = pc.is_in(crops_info["encounter_id"], pa.array(sorted(encounters), pa.string()))
    unnamed = pc.is_null(crops_info["individual_id"])
    chosen = crops_info.filter(pc.and_(pc.and_(usable, unknown), unnamed))
    photos = chosen["photo_id"].to_pylist()
    crowded = {p for p, n in Counter(photos).items() if n > 1}
    rows = zip(photos, chosen["encounter_id"].to_pylist(), chosen["crop_id"].to_pylist(), strict=True)
    names = pa.array([f"{e}#{c}" if p in crowded else e for p, e, c in rows], pa.string())
    for column in ("encounter_id", "individual_id"):
        chosen = chosen.set_column(chosen.schema.get_field_index(column), column, names)
    return chosen


def encounter_of(sighting: str) -> str:
    """The encounter that a sighting belongs to, whose own name may hold a ``#`` too."""
    return OF_CROP.sub("", sighting)


def cluster_grid(seen: pa.Table, policy: PairsParams, first_night: Mapping[str, date] | None = None) -> PairGrid:
    """Each pair of sightings of different encounters once: the one that came later asks for the earlier one; of one night, the alphabetically first.

    So what a photo may find among the unknown does not change when more come: a night asks its new photos alone, and the list of each
    is the same as if all were asked on every night.

    Args:
        seen: From `sightings`.
        policy: Which viewpoints are compared.
        first_night: The night on which each photo came; all on one if not given.
    """
    names, night_of = seen["encounter_id"].to_pylist(), first_night or {}
    came: dict[str, date] = {}
    for name, photo in zip(names, seen["photo_id"].to_pylist(), strict=True):
        came[name] = min(night_of.get(photo) or date.max, came.get(name, date.max))
    place = {name: k for k, name in enumerate(sorted(came, key=lambda name: (-came[name].toordinal(), name)))}
    order = np.array([place[name] for name in names], np.int64)
    encounter = np.unique(np.array([encounter_of(name) for name in names], dtype=str), return_inverse=True)[1]
    return PairGrid.between(
        seen, seen, policy=policy, purpose=CLUSTER, forbid_same_encounter=True,
        only=lambda q, g: (order[q] < order[g]) & (encounter[q] != encounter[g]),
    )  # fmt: skip


def in_order(seen: pa.Table, first_met: Mapping[str, date]) -> list[str]:
    """Sightings, the first met first; ``first_met``: day of each dated encounter."""
    return sorted(set(seen["encounter_id"].to_pylist()), key=lambda s: (first_met.get(encounter_of(s), date.max), s))


def pair_scores(scores: pa.Table, seen: pa.Table, rank: RankParams) -> tuple[list[Pair], np.ndarray]:
    """Pairs of sightings that were compared, and (N,) their scores.

    Args:
        scores: The ``scores`` table with rows of purpose ``cluster``.
        seen: From `sightings`.
        rank: The rule by which photos vote.
    """
    ranked = rank_all(scores, seen, rank, purpose=CLUSTER)
    ranked = ranked.filter(pc.equal(ranked["level"], "encounter"))
    pairs = zip(ranked["encounter_id"].to_pylist(), ranked["individual_id"].to_pylist(), strict=True)
    return list(pairs), ranked["score"].to_numpy()


def whole_encounters(seen: pa.Table, crops_info: pa.Table) -> frozenset[str]:
    """Encounters that are one sighting, so that a verdict on the one is a verdict on the other."""
    encounter = dict(zip(crops_info["crop_id"].to_pylist(), crops_info["encounter_id"].to_pylist(), strict=True))
    sightings_of: dict[str, set[str]] = {}
    for crop, sighting in zip(seen["crop_id"].to_pylist(), seen["encounter_id"].to_pylist(), strict=True):
        sightings_of.setdefault(encounter[crop], set()).add(sighting)
    return frozenset(encounter for encounter, names in sightings_of.items() if names == {encounter})


def gallery_scores(
    candidates: pa.Table, scores: pa.Table, seen: pa.Table, crops_info: pa.Table, rank: RankParams
) -> dict[str, dict[str, float]]:
    """The score of each sighting for the animals of the gallery that it was compared with.

    Args:
        candidates: All candidates of the query encounters, from `rank_all`.
        scores: The ``scores`` table.
        seen: From `sightings`.
        crops_info: The crops of the run with the labels that it may see.
        rank: The rule by which photos vote.
    """
    whole = pa.array(sorted(whole_encounters(seen, crops_info)), pa.string())
    tables = [candidates.filter(pc.is_in(candidates["encounter_id"], whole))]
    split = seen.filter(pc.invert(pc.is_in(seen["encounter_id"], whole)))
    if split.num_rows:
        asked = scores.filter(pc.is_in(scores["query_crop_id"], split["crop_id"].combine_chunks()))
        known = crops_info.filter(pc.is_valid(crops_info["individual_id"]))
        tables.append(rank_all(asked, pa.concat_tables([known, split]), rank))
    found: dict[str, dict[str, float]] = {}
    for table in tables:
        rows = table.filter(pc.equal(table["level"], "encounter"))
        columns = (rows[name].to_pylist() for name in ("encounter_id", "individual_id", "score"))
        for sighting, animal, score in zip(*columns, strict=True):
            found.setdefault(sighting, {})[animal] = score
    return found


def other_sides(seen: pa.Table, names: Mapping[str, str]) -> dict[str, str]:
    """By encounter of an unknown animal that was seen from one side only: which others may be the same animal, as a sentence.

    Left sides are never compared with right ones, so nothing tells such two apart, and they carry two names.

    Args:
        seen: From `sightings`.
        names: The provisional name of each sighting.
    """
    sides: dict[str, set[str]] = {}
    for sighting, view in zip(seen["encounter_id"].to_pylist(), seen["viewpoint"].to_pylist(), strict=True):
        if sighting in names:
            sides.setdefault(names[sighting], set()).add(view)
    only = {side: sorted(name for name, views in sides.items() if views == {side}) for side in ("left", "right")}
    together = {frozenset(names[node] for node in pair) for pair in apart(seen) if all(node in names for node in pair)}
    found = {}
    for sighting in names:
        for side, other in (("left", "right"), ("right", "left")):
            if names[sighting] in only[side]:
                may_be = [name for name in only[other] if frozenset((name, names[sighting])) not in together]
                if may_be:
                    found[encounter_of(sighting)] = (
                        f"It was seen from the {side} only, and may be the same animal as {_few(may_be)}, seen from the {other} only."
                    )
    return found


def _few(names: Sequence[str], most: int = 2) -> str:
    """The first of these names, and how many more there are."""
    more = [f"{len(names) - most} others" if len(names) > most + 1 else names[most]] if len(names) > most else []
    return " or ".join([*names[:most], *more])


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
