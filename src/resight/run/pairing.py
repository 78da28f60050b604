"""From features to matched pairs: plan, shortlist, halve, match. Reads and writes no table of a run."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.match.cache import CropCodes
from resight.match.halving.stage import halve
from resight.match.precision import precision_effect
from resight.match.stage import match
from resight.pairs.cohort import Cohort, crop_info, pair_grids
from resight.pairs.plan import PairGrid, Plan
from resight.run.calibration import (
    Calibrating,
    alike_at_the_edges,
    calibration_name,
    has_failed,
    of_calibration,
    of_current_run,
)
from resight.run.calibration_extended import VIEWS_SCHEMA
from resight.run.calibration_extended import Planned as Wanted
from resight.run.conditions import Conditions
from resight.run.setups import match_setup, voting
from resight.run.state import Extracted, Matched, Planned
from resight.runner.progress import counted
from resight.score.accepted import accepted
from resight.score.base import FUSED
from resight.score.gallery import voted_columns
from resight.settings import Settings
from resight.shortlist.kept import VERIFIED
from resight.shortlist.stage import shortlist
from resight.shortlist.union import Alike
from resight.status import FeatureStatus
from resight.store.counts import reconcile_left_out, reconcile_pairs

PAIRS_AT_ONCE = 1 << 16


def plan_pairs(conditions: Conditions, extracted: Extracted, cohort: Cohort) -> Planned:
    """Say of every query with every gallery crop whether they are compared; in a large gallery leave out what nothing speaks for.

    Where ``match.halving`` is set, candidates that fall behind on their way through the matcher are left out too.

    Raises:
        BrokenCountError: A pair got lost on the way.
    """
    settings = conditions.settings
    info = crop_info(extracted.photos, extracted.crops, extracted.features, cohort)
    grids = pair_grids(info, cohort, settings.pairs, settings.novelty.calibration_encounters)
    return plan_grids(conditions, extracted, cohort, info, grids)


def plan_grids(
    conditions: Conditions, extracted: Extracted, cohort: Cohort, info: pa.Table, grids: tuple[PairGrid, ...]
) -> Planned:
    """`plan_pairs` of the pairs in these grids, whoever has made them.

    Args:
        conditions, extracted, cohort: As for `plan_pairs`.
        info: `cohort.crop_info`.
        grids: All pairs.
    """
    env, settings, names = conditions.env, conditions.settings, conditions.names
    crops, features = extracted.crops, extracted.features
    similar = alike(extracted, info)
    listed = shortlist(env, voting(settings, names.voting), grids, crops, features, alike=similar)
    plan = Plan.of(listed.plans)
    reconcile_left_out("shortlist", pa.concat_tables([grid.n_pairs() for grid in grids]), plan.pairs, plan.left_out)
    halved = halve(env, match_setup(settings), names.match, plan.pairs, features)
    reconcile_pairs("halve", plan.pairs, halved.plan)
    return extracted.then(
        Planned,
        cohort=cohort,
        info=info,
        grids=grids,
        plan=halved.plan,
        left_out=plan.left_out,
        votes=listed.votes,
        shortlisted=bool(listed.votes.num_rows) or halved.plan is not plan.pairs,
        n_voting_extracted=listed.n_extracted,
        n_shortlisted=listed.n_voted,
        n_halved=halved.n_matched,
    )


def wants_vectors(settings: Settings, extracted: Extracted, cohort: Cohort) -> bool:
    """Whether crops get vectors: where that is enabled, and under ``auto`` where the gallery has so many usable crops that there is a shortlist."""
    usable = extracted.features.filter(pc.equal(extracted.features["status"], FeatureStatus.OK.value))
    crops = extracted.crops.filter(pc.is_in(extracted.crops["crop_id"], usable["crop_id"].combine_chunks()))
    n_gallery = sum(photo in cohort.gallery for photo in crops["photo_id"].to_pylist())
    return settings.embed.is_on(settings.shortlist.is_on(n_gallery))


def alike(extracted: Extracted, info: pa.Table) -> Alike | None:
    """Vectors of the crops and whose they are, from `cohort.crop_info`; None where there are no vectors.

    A crop of an animal that nobody knows stands for its encounter.
    """
    if not extracted.vectors.keys:
        return None
    columns = (info[name].to_pylist() for name in ("crop_id", "viewpoint", "individual_id", "encounter_id"))
    rows = list(zip(*columns, strict=True))
    owners = {crop_id: f"animal {name}" if name else f"encounter {encounter}" for crop_id, _, name, encounter in rows}
    encounters = {crop_id: encounter for crop_id, _, _, encounter in rows if encounter}
    return Alike(extracted.vectors, {crop_id: view for crop_id, view, _, _ in rows}, owners, encounters)


def match_pairs(conditions: Conditions, planned: Planned) -> Matched:
    """Match the planned pairs that nobody has matched before, give every pair a status.

    Calibration pairs that lie in the store are not looked up again; those of a gallery that is new are put there, as far as they are not
    there for the one before.

    Raises:
        BrokenCountError: A pair got lost on the way.
    """
    env, name, setup = conditions.env, conditions.names.match, match_setup(conditions.settings)
    kept = _kept_apart(conditions, planned)
    plan = planned.plan if kept is None else _still_to_match(planned, kept)
    result = match(env, setup, name, plan, planned.features)
    reconcile_pairs("match", plan, result.pairs)
    matched = planned.then(
        Matched,
        pairs=with_cosines(with_votes(result.pairs, planned.votes), alike(planned, planned.info)),
        n_matched=planned.n_halved + result.n_matched,
        precision=precision_effect(env, setup, name, planned.plan, planned.features),
    )
    return matched if kept is None else _parted(matched, kept)


def _kept_apart(conditions: Conditions, planned: Planned) -> Calibrating | None:
    """The calibration pairs of a night, which lie in the store or are to be put there; None where they stay among the run's pairs.

    They stay where the two kinds of pairs hang together: in an evaluation, where no fusion is accepted yet, and where a crop lacks its vector.
    """
    settings, names, cohort = conditions.settings, conditions.names, planned.cohort
    mine, _ = of_calibration(planned.plan)
    if (
        cohort.evaluating
        or cohort.leave_one_out
        or cohort.truth
        or cohort.queries & cohort.gallery
        or not mine.num_rows
    ):
        return None
    if settings.score.name == FUSED and accepted(conditions.env.workspace, names.evidence) is None:
        return None
    vectors, info = planned.vectors, planned.info
    usable = info.filter(pc.equal(info["feature_status"], FeatureStatus.OK.value)).select(["crop_id", "viewpoint"])
    crops = zip(*(column.to_pylist() for column in usable.columns), strict=True)
    if vectors.keys and not all(vectors.has(*crop) for crop in crops):
        return None
    left_out, _ = of_calibration(planned.left_out)
    votes = planned.votes.filter(pc.is_in(planned.votes["query_crop_id"], pc.unique(mine["query_crop_id"])))
    concerned = pc.unique(pa.concat_arrays([mine[f"{side}_crop_id"].combine_chunks() for side in ("query", "gallery")]))
    views = usable.filter(pc.is_in(usable["crop_id"], concerned))  # a vector follows the side that its crop shows
    made_by = names.match, names.embed if vectors.keys else ""
    name = calibration_name(*made_by, views, mine, left_out, votes)
    kept = Calibrating(conditions.env.workspace, name)
    if kept.about is not None or not cohort.is_kept:
        return kept
    wanted = Wanted(with_votes(mine, votes), views if vectors.keys else VIEWS_SCHEMA.empty_table(), made_by)
    return replace(kept, planned=wanted).upon(of_current_run(conditions.env.workspace))


def _still_to_match(planned: Planned, kept: Calibrating) -> pa.Table:
    """The rows of the plan that are not among calibration pairs in the store."""
    mine, own = of_calibration(planned.plan)
    if kept.about is not None:
        return own
    return planned.plan if kept.there is None else pa.concat_tables([own, mine.filter(pa.array(~kept.there.planned))])


def _parted(matched: Matched, kept: Calibrating) -> Matched:
    """The run's own pairs, beside its calibration pairs in the store; all together where they cannot be told apart, where one has failed, and
    where those of a gallery that no night has (`Cohort.is_kept`) are not in the store yet."""
    left_out, others = of_calibration(matched.left_out)
    if kept.about is None:
        mine, own = of_calibration(matched.pairs)
        if kept.there is None:
            return matched
        if has_failed(mine):
            there = kept.read_there(matched.pairs.schema)
            return replace(matched, pairs=pa.concat_tables([matched.pairs, there]))
        kept = kept.keep(mine, left_out)
    else:
        own = matched.pairs
    if kept.about is None or not alike_at_the_edges(own, kept.about):
        return replace(matched, pairs=pa.concat_tables([own, kept.read().select(own.column_names).cast(own.schema)]))
    return replace(
        matched,
        pairs=own,
        left_out=others,
        calibrating=replace(kept, votes=voted_columns(own) | kept.about.voted),
    )


def with_votes(pairs: pa.Table, votes: pa.Table) -> pa.Table:
    """``pairs`` in the same order with the columns ``lnbnn`` and ``lnbnn_verified``."""
    codes = CropCodes.of(votes["query_crop_id"], votes["gallery_crop_id"])
    at = pc.index_in(pa.array(_directed(codes, pairs)), pa.array(_directed(codes, votes)))
    for name in ("lnbnn", VERIFIED):
        pairs = pairs.append_column(name, votes[name].combine_chunks().take(at))
    return pairs


def with_cosines(pairs: pa.Table, similar: Alike | None) -> pa.Table:
    """``pairs`` with the column ``cosine``, which is empty without vectors."""
    values = np.full(pairs.num_rows, np.nan)
    if similar is not None and pairs.num_rows:
        ids, rows = zip(*(_numbered(pairs[f"{side}_crop_id"]) for side in ("query", "gallery")), strict=True)
        queries, gallery = (similar.among(of_side) for of_side in ids)
        for first in counted(range(0, pairs.num_rows, PAIRS_AT_ONCE), "cosines", "blocks"):
            some = slice(first, first + PAIRS_AT_ONCE)
            values[some] = queries.take(rows[0][some]).cosines_with(gallery.take(rows[1][some]))
    return pairs.append_column("cosine", pa.array(values, pa.float64(), from_pandas=True))


def _numbered(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The different texts of a column, and which of them each row has."""
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def _directed(codes: CropCodes, pairs: pa.Table) -> np.ndarray:
    """(N,) int64, one number per (query, gallery); -1 where either is not among ``codes``."""
    q, g = (codes.encode(pairs[name]) for name in ("query_crop_id", "gallery_crop_id"))
    return np.where((q < 0) | (g < 0), -1, q * len(codes.ids) + g)
