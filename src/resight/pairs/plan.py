"""Which pairs are compared, and how many others are not for which reason. Pure: no file, no device.

A gallery of 100,000 photos and 500 queries are 5 x 10^7 pairs, of which a few ten thousand are matched. So a `PairGrid` says of
any pair how it ends from a number or two per crop, a block of queries at a time; only pairs that are to be matched become rows, and
the others are counted by query and reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.pairs.params import PairsParams
from resight.pairs.policy import Rule, policy_rules, text_column
from resight.pairs.policy import comparable as comparable
from resight.status import PairStatus

PLANNED = "planned"
NO_PAIR, OPEN = -1, 0
CELLS_AT_ONCE = 1 << 23
NOT_SHORTLISTED = (PairStatus.NOT_SHORTLISTED.value, "")
LEFT_OUT = pa.schema(
    [
        ("query_crop_id", pa.string()),
        ("query_photo_id", pa.string()),
        ("purpose", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("n_left_out", pa.int64()),
    ]
)
PLAN = pa.schema(
    [
        (name, pa.string())
        for name in (
            "query_crop_id",
            "gallery_crop_id",
            "query_photo_id",
            "gallery_photo_id",
            "purpose",
            "status",
            "reason",
        )
    ]
)
Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Plan:
    """The pairs that are to be matched, and how many are not.

    Attributes:
        pairs: `PLAN`, one row per pair that is to be matched, query by query in the order of the grid.
        left_out: `LEFT_OUT`, one row per query crop, purpose, status and reason.
    """

    pairs: pa.Table
    left_out: pa.Table

    @staticmethod
    def of(plans: Sequence[Plan]) -> Plan:
        """Several as one."""
        return Plan(
            pa.concat_tables([PLAN.empty_table(), *(plan.pairs for plan in plans)]),
            pa.concat_tables([LEFT_OUT.empty_table(), *(plan.left_out for plan in plans)]),
        )


def ending_counts(pairs: pa.Table, left_out: pa.Table) -> dict[str, int]:
    """All pairs by status, in alphabetical order."""
    counts = Counter[str]()
    for status, n in zip(*(left_out[name].to_pylist() for name in ("status", "n_left_out")), strict=True):
        counts[status] += n
    for row in pc.value_counts(pairs["status"].combine_chunks()).to_pylist() if pairs.num_rows else []:
        counts[row["values"]] += row["counts"]
    return dict(sorted(counts.items()))


@dataclass(frozen=True, eq=False)
class PairGrid:
    """Every pair of some query crops and a gallery, and how it ends; nothing of it is written out.

    Attributes:
        query_ids, gallery_ids: (Q,) and (G,) crops.
        query_photos, gallery_photos: Their photos.
        purpose: ``identify``, ``calibrate`` or ``cluster``.
        rules: Why pairs are left out; a later rule is stronger than those before it.
        only: Of (N, M) numbers of queries and gallery crops, which are pairs at all; None: all.
        beside: Likewise, which take no place of a shortlist: they are compared beside it, where they may be; None: none.
        rows: The table that it was made from, if any.
    """

    query_ids: pa.Array
    gallery_ids: pa.Array
    query_photos: pa.Array
    gallery_photos: pa.Array
    purpose: str
    rules: tuple[Rule, ...] = ()
    only: Mask | None = None
    rows: pa.Table | None = None
    beside: Mask | None = None

    @staticmethod
    def between(
        queries: pa.Table,
        gallery: pa.Table,
        *,
        policy: PairsParams,
        purpose: str,
        forbid_same_encounter: bool,
        met_again: bool = False,
        only: Mask | None = None,
        beside: Mask | None = None,
    ) -> PairGrid:
        """All pairs under a policy.

        Args:
            queries: Columns ``crop_id``, ``photo_id``, ``encounter_id``, ``viewpoint``, ``feature_status``, and where
                ``policy.must_agree`` names columns, ``extra`` (JSON, as in table ``photos``).
            gallery: The same columns.
            policy: Which viewpoints are compared, and in which columns of the metadata two photos must agree. Under
                ``same``, unknown is compared with unknown.
            purpose: Copied into every row.
            forbid_same_encounter: Keep photos of one encounter apart; for evaluations, where they would be too easy.
            met_again: Compare photos of one animal only where both days are known and differ (columns ``individual_id`` and
                ``taken_on``).
            only, beside: See above.

        The policy comes before missing features, so that counts of excluded pairs do not depend on the extractor.
        """
        rules = policy_rules(queries, gallery, policy, forbid_same_encounter, met_again)
        crops, photos = ([text_column(table, name) for table in (queries, gallery)] for name in ("crop_id", "photo_id"))
        return PairGrid(crops[0], crops[1], photos[0], photos[1], purpose, rules, only, beside=beside)

    @staticmethod
    def listed(pairs: pa.Table, purpose: str) -> PairGrid:
        """The planned rows of a table of pairs, and no other."""
        rows = pairs.filter(pc.equal(pairs["status"], PLANNED))
        queries, gallery = (_crops(rows, side) for side in ("query", "gallery"))
        q, g = (
            np.asarray(pc.index_in(text_column(rows, f"{side}_crop_id"), ids[0])).astype(np.int64)
            for side, ids in (("query", queries), ("gallery", gallery))
        )
        n = len(gallery[0])
        numbers = np.unique(q * n + g)

        def only(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            wanted = a.astype(np.int64) * n + b
            at = np.searchsorted(numbers, wanted).clip(max=max(0, len(numbers) - 1))
            return numbers[at] == wanted if len(numbers) else np.zeros(wanted.shape, bool)

        return PairGrid(queries[0], gallery[0], queries[1], gallery[1], purpose, (), only, rows)

    def __len__(self) -> int:
        """Q."""
        return len(self.query_ids)

    @property
    def endings(self) -> tuple[tuple[str, str], ...]:
        """Status and reason of each ending but `OPEN`, from 1 on; the last is for whoever looks further than the rules."""
        return (*((rule.status, rule.reason) for rule in self.rules), NOT_SHORTLISTED)

    def at(self, q: np.ndarray, g: np.ndarray) -> np.ndarray:
        """How the pairs of these queries and gallery crops (numbers that broadcast) end: int8, `NO_PAIR`, `OPEN`, or from 1 on a rule."""
        out = np.full(np.broadcast_shapes(q.shape, g.shape), OPEN, np.int8)
        for number, rule in enumerate(self.rules, start=1):
            out[rule.forbids(q, g)] = number
        if self.only is not None:
            out[~self.only(q, g)] = NO_PAIR
        return out

    def of_queries(self, q: np.ndarray) -> np.ndarray:
        """(N, G) int8, how all pairs of the queries (N,) end."""
        return self.at(q[:, None], np.arange(len(self.gallery_ids))[None, :])

    def without_place(self, q: np.ndarray) -> np.ndarray:
        """Of all pairs of the queries (N,), which take no place of a shortlist: bool that broadcasts to (N, G)."""
        if self.beside is None:
            return np.zeros((1, 1), bool)
        return self.beside(q[:, None], np.arange(len(self.gallery_ids))[None, :])

    def blocks(self) -> Iterator[np.ndarray]:
        """Numbers of all queries, so many at a time that their pairs fit into little memory."""
        step = max(1, CELLS_AT_ONCE // max(1, len(self.gallery_ids)))
        for first in range(0, len(self), step):
            yield np.arange(first, min(first + step, len(self)))

    def n_pairs(self) -> pa.Table:
        """How many pairs each query has: ``query_crop_id, purpose, n_pairs``."""
        every, n = np.arange(len(self.gallery_ids))[None, :], np.full(len(self), len(self.gallery_ids))
        if self.only is not None:
            for q in self.blocks():
                n[q] = self.only(q[:, None], every).sum(axis=1)
        purpose = pa.repeat(pa.scalar(self.purpose, pa.string()), len(self))
        return pa.table({"query_crop_id": self.query_ids, "purpose": purpose, "n_pairs": pa.array(n, pa.int64())})

    def open_sides(self) -> tuple[np.ndarray, np.ndarray]:
        """(Q,) and (G,) bool, which query and gallery crops have a pair that may be compared."""
        queries, gallery = np.zeros(len(self), bool), np.zeros(len(self.gallery_ids), bool)
        for q in self.blocks():
            opened = self.of_queries(q) == OPEN
            queries[q] = opened.any(axis=1)
            gallery |= opened.any(axis=0)
        return queries, gallery

    def plan(self, keep: Callable[[np.ndarray], np.ndarray] | None = None) -> Plan:
        """Rows for the pairs that may be compared, counts for the others.

        Args:
            keep: Of queries (N,), which pairs (N, G) bool are worth it; what may be compared and is not is ``not_shortlisted``.
        """
        chosen: list[tuple[np.ndarray, np.ndarray]] = []
        counts = np.zeros((len(self), len(self.endings) + 1), np.int64)
        for q in self.blocks():
            out = self.of_queries(q)
            if keep is not None:
                out[(out == OPEN) & ~keep(q)] = len(self.endings)
            row, column = np.nonzero(out == OPEN)
            chosen.append((q[row], column))
            for number in range(1, len(self.endings) + 1):
                counts[q, number] = (out == number).sum(axis=1)
        q, g = (np.concatenate([np.zeros(0, np.int64), *(part[k] for part in chosen)]) for k in (0, 1))
        return Plan(self._rows(q, g), self._left_out(counts))

    def _rows(self, q: np.ndarray, g: np.ndarray) -> pa.Table:
        of_query, of_gallery = pa.array(q), pa.array(g)
        constants = [pa.repeat(pa.scalar(value, pa.string()), len(q)) for value in (self.purpose, PLANNED, "")]
        columns = [
            self.query_ids.take(of_query),
            self.gallery_ids.take(of_gallery),
            self.query_photos.take(of_query),
            self.gallery_photos.take(of_gallery),
        ]
        return pa.table([*columns, *constants], schema=PLAN)

    def _left_out(self, counts: np.ndarray) -> pa.Table:
        q, ending = np.nonzero(counts)
        rows, of_ending = pa.array(q), pa.array(np.maximum(ending - 1, 0))
        status, reason = (pa.array([one[k] for one in self.endings], pa.string()).take(of_ending) for k in (0, 1))
        purpose = pa.repeat(pa.scalar(self.purpose, pa.string()), len(q))
        ids = [self.query_ids.take(rows), self.query_photos.take(rows)]
        return pa.table([*ids, purpose, status, reason, pa.array(counts[q, ending], pa.int64())], schema=LEFT_OUT)


def _crops(rows: pa.Table, side: str) -> tuple[pa.Array, pa.Array]:
    """Crops of one side of a table of pairs, each once in the order of their ids, and their photos."""
    crops = (
        rows.select([f"{side}_crop_id", f"{side}_photo_id"])
        .group_by(f"{side}_crop_id")
        .aggregate([(f"{side}_photo_id", "min")])
    )
    crops = crops.sort_by(f"{side}_crop_id")
    return text_column(crops, f"{side}_crop_id"), text_column(crops, f"{side}_photo_id_min")
