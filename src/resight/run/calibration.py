"""The calibration pairs of a gallery, which are kept in the store: a night whose gallery is as before neither plans, scores nor writes them.

``store/calibration/<name>/`` holds ``pairs.parquet``, ``pairs_left_out.parquet`` and ``about.json`` (how many there are and how they
ended). The name stands for all that decides them: the matcher, the plan, votes and vectors. What was learned from them lies in a
folder below it, see `resight.run.learned`. A run that uses them has no such rows in its own tables; its record names the folder
(``fingerprints``, ``calibration``). A run without that name has its calibration pairs itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.errors import DamagedError
from resight.pairs.cohort import CALIBRATE
from resight.pairs.plan import ending_counts
from resight.score.distribution import scored_only
from resight.score.gallery import is_tried, voted_columns
from resight.status import PairStatus
from resight.store.damage import set_aside
from resight.store.fingerprint import fingerprint
from resight.store.sealed import read_json, write_json
from resight.store.selective import read_columns
from resight.store.tables import write_table
from resight.store.workspace import Workspace

STAGE, REVISION = "calibration", 1
ABOUT = "about.json"
TABLES = ("pairs", "pairs_left_out")
GONE = "the next night with the same gallery makes it again"


@dataclass(frozen=True)
class Calibrating:
    """Calibration pairs in the store, there or still to come.

    Attributes:
        workspace: Whose store it is.
        name: What decides them.
        plan: Of a run under way, its rows that are calibration pairs.
        votes: Columns of votes that pairs of the run have, calibration pairs or others.
    """

    workspace: Workspace
    name: str
    plan: pa.Table | None = None
    votes: frozenset[str] = frozenset()

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.workspace.store / STAGE / self.name

    @cached_property
    def about(self) -> dict[str, Any] | None:
        """``n_pairs`` in all, ``ends`` by status, whether a geometry was ``tried`` in all that were matched, and columns of votes
        that any has (``voted``); None where they are not there."""
        try:
            found = read_json(self.folder / ABOUT)
            whole = all((self.folder / f"{name}.parquet").exists() for name in TABLES)
        except FileNotFoundError:
            return None
        except DamagedError as damage:
            set_aside(damage, GONE)
            return None
        return found if whole else None

    @cached_property
    def pairs(self) -> pa.Table:
        """The catalog's ``pairs`` without ``run_id``.

        Raises:
            DamagedError: They are not what was written.
            FileNotFoundError: They are not there.
        """
        schema = catalog_table("pairs").schema
        return read_columns(self.folder / "pairs.parquet", schema).drop_columns("run_id")

    def read(self) -> pa.Table:
        """`pairs` for a run under way: damaged ones are set aside, so that they are made again.

        Raises:
            DamagedError: They are not what was written.
        """
        try:
            return self.pairs
        except DamagedError as damage:
            set_aside(damage, "it was made again")
            raise

    def keep(self, pairs: pa.Table, left_out: pa.Table) -> Calibrating:
        """Write them, what names them last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, rows in (("pairs", pairs), ("pairs_left_out", left_out)):
            spec = catalog_table(name)
            columns = [
                rows[f.name].cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type)
                for f in spec.schema
            ]
            free = pa.schema([f.with_nullable(True) for f in spec.schema], metadata=spec.schema.metadata)
            table = pa.table(columns, schema=free).sort_by([(key, "ascending") for key in spec.key])
            write_table(self.folder, name, table)
        ends = ending_counts(pairs, left_out)
        about = {
            "n_pairs": sum(ends.values()),
            "ends": ends,
            "tried": is_tried(scored_only(pairs)),
            "voted": sorted(voted_columns(pairs)),
        }
        write_json(self.folder / ABOUT, about)
        return Calibrating(self.workspace, self.name, self.plan, self.votes)


def of_calibration(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows with a purpose: those of calibration pairs, and the others."""
    mine = pc.equal(rows["purpose"], CALIBRATE)
    return rows.filter(mine), rows.filter(pc.invert(mine))


def calibration_name(matcher: str, vectors: str, views: pa.Table, *tables: pa.Table) -> str:
    """A name for calibration pairs.

    Args:
        matcher: Name of the results of pairs.
        vectors: Name of the vectors; '' where there are none.
        views: Crops of the pairs and the side that each shows.
        tables: The plan, what it leaves out, and the votes.
    """
    return fingerprint(STAGE, REVISION, matcher, vectors, *(digest_of_table(table) for table in (views, *tables)))


def digest_of_table(table: pa.Table) -> str:
    """SHA-256 of names and values in their order; texts, numbers, days and times."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(f"{name}\0{len(column)}\0".encode())
        values = column.combine_chunks()
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_string(values.type):
            encoded = values.dictionary_encode()
            digest.update("".join(f"{text}\0" for text in encoded.dictionary.to_pylist()).encode())
            values = encoded.indices
        elif pa.types.is_temporal(values.type):
            values = values.cast(pa.int32() if pa.types.is_date32(values.type) else pa.int64())
        digest.update(np.asarray(pc.is_valid(values)).tobytes())
        digest.update(np.ascontiguousarray(pc.fill_null(values, 0)).tobytes())
    return digest.hexdigest()


def alike_at_the_edges(own: pa.Table, calibrating: Calibrating) -> bool:
    """Whether calibration pairs and the other pairs of a run can be scored one after the other with the same results as together.

    A score that needs a geometry counts for all pairs or for none.
    """
    scored, about = scored_only(own), calibrating.about
    return about is not None and (not scored.num_rows or is_tried(scored) == about["tried"])


def has_failed(pairs: pa.Table) -> bool:
    """Whether a pair has failed, which is tried again on the next night."""
    return bool(pc.any(pc.equal(pairs["status"], PairStatus.FAILED.value)).as_py())


def used_by(workspace: Workspace, record: Mapping[str, Any]) -> Calibrating | None:
    """The calibration pairs that a finished run has used; None where they are among its own pairs."""
    name = str(record["fingerprints"].get(STAGE) or "").partition("/")[0]
    return Calibrating(workspace, name) if name else None


def calibration_pairs(workspace: Workspace, record: Mapping[str, Any], pairs: Callable[[], pa.Table]) -> pa.Table:
    """The calibration pairs of a finished run, wherever they lie.

    Args:
        workspace: Whose run it is.
        record: `store.runs.run_record`.
        pairs: Reads the run's own table ``pairs``.

    Returns:
        The catalog's ``pairs`` without ``run_id``.

    Raises:
        DamagedError: They are not what was written, or not there any more.
    """
    kept = used_by(workspace, record)
    if kept is None:
        return of_calibration(pairs())[0].drop_columns("run_id")
    try:
        return kept.pairs
    except FileNotFoundError:
        raise DamagedError(kept.folder / "pairs.parquet", "it is not there", GONE) from None
