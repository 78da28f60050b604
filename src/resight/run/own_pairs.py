"""What became of the pairs of a query and its own animal, which an evaluation knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.novelty.left_out import Animals
from resight.pairs.cohort import CALIBRATE, IDENTIFY, Cohort
from resight.pairs.plan import OPEN, PairGrid
from resight.status import PairStatus


@dataclass(frozen=True)
class OwnPairs:
    """Gallery photos of each query photo's animal, by query photo.

    Attributes:
        scored: That were compared with it.
        cut: That might have been compared and were not in the shortlist, or fell behind in halving.
    """

    scored: Mapping[str, int]
    cut: Mapping[str, int]

    @staticmethod
    def of(pairs: pa.Table, grids: Iterable[PairGrid], cohort: Cohort) -> OwnPairs:
        """Of the pairs of a run for a cohort, whose labels may be fewer than the run's.

        Args:
            pairs: The table ``pairs`` of the run.
            grids: All its pairs.
            cohort: The queries with their truth, and the gallery with its labels.
        """
        scored = pc.equal(pairs["status"], PairStatus.SCORED.value)
        halved = pc.equal(pairs["status"], PairStatus.NOT_SHORTLISTED.value)
        identify = pairs.filter(pc.equal(pairs["purpose"], IDENTIFY))
        is_row = {(q, g) for q, g, _, _ in _own_rows(identify, cohort.truth, cohort.labels)}
        compared = pairs.filter(pc.and_(pc.equal(pairs["purpose"], IDENTIFY), pc.or_(scored, halved)))
        best: dict[tuple[str, str], bool] = {}
        for _, _, photos, status in _own_rows(compared, cohort.truth, cohort.labels):
            best[photos] = best.get(photos, False) or status == PairStatus.SCORED
        for q, g, photos in _own_open(
            (grid for grid in grids if grid.purpose == IDENTIFY), cohort.truth, cohort.labels
        ):
            if (q, g) not in is_row:
                best.setdefault(photos, False)
        return OwnPairs(
            Counter(query for (query, _), is_scored in best.items() if is_scored),
            Counter(query for (query, _), is_scored in best.items() if not is_scored),
        )


def with_cut_pairs(
    pairs: pa.Table, grids: Sequence[PairGrid], labels: Mapping[str, str], calibrating: Collection[str]
) -> pa.Table:
    """The pairs of gallery encounters that stand in for unknown animals, and those with their own animal that the shortlist left out.

    Args:
        pairs: The table ``pairs``.
        grids: All pairs of the run.
        labels: Individual of each gallery photo.
        calibrating: Photos of the encounters that stand in.

    Returns:
        ``query_photo_id, gallery_photo_id, purpose, status``; what was left out is ``not_shortlisted``.
    """
    rows = pairs.filter(pc.equal(pairs["purpose"], CALIBRATE))
    is_row = {(q, g) for q, g, _, _ in _own_rows(rows, labels, labels)}
    chosen = [grid for grid in grids if grid.purpose == CALIBRATE] or [g for g in grids if g.purpose == IDENTIFY]
    asking = {photo: labels[photo] for photo in calibrating if photo in labels}
    cut = [photos for q, g, photos in _own_open(chosen, asking, labels) if (q, g) not in is_row]
    names = ("query_photo_id", "gallery_photo_id", "purpose", "status")
    added = [*zip(*cut, strict=True)] if cut else [(), ()]
    constants = [[value] * len(cut) for value in (CALIBRATE, PairStatus.NOT_SHORTLISTED.value)]
    more = pa.table([pa.array(column, pa.string()) for column in (*added, *constants)], names=list(names))
    return pa.concat_tables([rows.select(list(names)).cast(more.schema), more])


def left_out(grids: Iterable[PairGrid], info: pa.Table, cohort: Cohort, candidates: pa.Table) -> dict[str, Animals]:
    """By query encounter, the animals that could have been compared with it and are no candidates: the shortlist left them out.

    Args:
        grids: All pairs of the run.
        info: From `cohort.crop_info`.
        cohort: Whose queries, and whose gallery.
        candidates: From `rank.stage.rank_all`.
    """
    encounter = dict(zip(*(info[name].to_pylist() for name in ("crop_id", "encounter_id")), strict=True))
    names = sorted({animal for animal in cohort.labels.values() if animal})
    number = {animal: row for row, animal in enumerate(names)}
    could: dict[str, np.ndarray] = {}
    for grid in (grid for grid in grids if grid.purpose == IDENTIFY):
        animals = np.array([number.get(cohort.labels.get(p, ""), -1) for p in grid.gallery_photos.to_pylist()], int)
        asks = np.array([photo in cohort.queries for photo in grid.query_photos.to_pylist()], bool)
        crops = grid.query_ids.to_pylist()
        for block in grid.blocks():
            queries = block[asks[block]]
            for query, ending in zip(queries.tolist(), grid.of_queries(queries), strict=True):
                of_encounter = could.setdefault(encounter[crops[query]], np.zeros(len(names), bool))
                of_encounter[animals[(ending == OPEN) & (animals >= 0)]] = True
    for e, animal in zip(*(candidates[name].to_pylist() for name in ("encounter_id", "individual_id")), strict=True):
        if e in could and animal in number:
            could[e][number[animal]] = False
    return {e: Animals.of(names, of_encounter) for e, of_encounter in could.items()}


def _own_rows(
    pairs: pa.Table, asking: Mapping[str, str], labels: Mapping[str, str]
) -> Iterator[tuple[str, str, tuple[str, str], str]]:
    """Crops, photos and status of the rows that show one animal twice."""
    own = pc.equal(_named(pairs["query_photo_id"], asking), _named(pairs["gallery_photo_id"], labels))
    rows = pairs.filter(pc.fill_null(own, False))
    columns = ("query_crop_id", "gallery_crop_id", "query_photo_id", "gallery_photo_id", "status")
    for q, g, query, gallery, status in zip(*(rows[name].to_pylist() for name in columns), strict=True):
        yield q, g, (query, gallery), status


def _named(photos: pa.ChunkedArray, names: Mapping[str, str]) -> pa.Array:
    """The individual of each photo; missing where nobody may know it."""
    at = pc.index_in(photos.combine_chunks().cast(pa.string()), pa.array(list(names), pa.string()))
    return pa.array(list(names.values()), pa.string()).take(at)


def _own_open(
    grids: Iterable[PairGrid], asking: Mapping[str, str], labels: Mapping[str, str]
) -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Crops and photos of the pairs of one animal that the policy lets be compared."""
    for grid in grids:
        gallery = grid.gallery_photos.to_pylist()
        of_animal: dict[str, list[int]] = {}
        for number, photo in enumerate(gallery):
            if photo in labels:
                of_animal.setdefault(labels[photo], []).append(number)
        for q, (crop, photo) in enumerate(zip(grid.query_ids.to_pylist(), grid.query_photos.to_pylist(), strict=True)):
            own = np.array(of_animal.get(asking.get(photo, ""), []), np.int64)
            for g in own[grid.at(np.full(len(own), q), own) == OPEN].tolist():
                yield crop, grid.gallery_ids[g].as_py(), (photo, gallery[g])
