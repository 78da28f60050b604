"""The calibration pairs of a gallery, which are kept in the store: a night whose gallery is as before neither plans, scores nor writes them.

``store/calibration/<name>/`` holds ``about.json`` (how many there are, how they ended, and which files have their rows, see
`resight.run.calibration_parts`), ``pairs_left_out.parquet`` and the rows that no set before it has. The name stands for all that decides
them: the matcher, the plan, votes and vectors. What was learned from them lies in a folder below it, see `resight.run.learned`. A run that
uses them has no such rows in its own tables; its record names the folder (``fingerprints``, ``calibration``). A run without that name has
its calibration pairs itself. Earlier versions wrote all rows of a set into one ``pairs.parquet``, which is still read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.errors import DamagedError
from resight.pairs.cohort import CALIBRATE
from resight.pairs.plan import ending_counts
from resight.run.calibration_extended import VIEWS, VIEWS_SCHEMA, Planned, There, find, write_set
from resight.run.calibration_parts import Part, files_of, parts_of, read_rows, rows_of
from resight.score.distribution import read_distributions, scored_only
from resight.score.gallery import is_tried, voted_columns
from resight.status import PairStatus
from resight.store.columns import digest_of_table
from resight.store.damage import MISSING, set_aside
from resight.store.fingerprint import fingerprint
from resight.store.generations import current_generation
from resight.store.runs import read_run, run_exists, run_record
from resight.store.sealed import read_json, write_json
from resight.store.selective import opened, read_columns
from resight.store.tables import shaped, write_table
from resight.store.workspace import Workspace

STAGE, REVISION = "calibration", 1
ABOUT, LEFT_OUT = "about.json", "pairs_left_out"
GONE = "the next night with the same gallery makes it again"
T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """What a set of calibration pairs says of itself.

    Attributes:
        n_pairs: How many there are, those that were not matched included.
        ends: How many by status.
        tried: A geometry was fitted to all that were matched.
        voted: Columns of votes that any has.
        parts: Where their rows lie, see `calibration_parts.parts_of`.
        made_by: Names of matcher and vectors; empty in a set of before.
    """

    n_pairs: int
    ends: Mapping[str, int]
    tried: bool
    voted: frozenset[str]
    parts: tuple[Mapping[str, Any], ...]
    made_by: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> About:
        """Of a set's folder.

        Raises:
            DamagedError: It is not what was written.
            FileNotFoundError: It is not there.
        """
        file = folder / ABOUT
        values = read_json(file)
        try:
            ends = {str(status): int(n) for status, n in values["ends"].items()}
            parts = tuple(_told(one) for one in values["parts"]) if "parts" in values else _part_of_before(folder)
            voted, made_by = frozenset(map(str, values["voted"])), tuple(map(str, values.get("made_by", ())))
            return cls(int(values["n_pairs"]), ends, bool(values["tried"]), voted, parts, made_by)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(file, f"it does not say what it should ({type(error).__name__}: {error})") from None

    def write(self, folder: Path) -> None:
        """Into a set's folder."""
        write_json(folder / ABOUT, vars(self) | {"ends": dict(self.ends), "voted": sorted(self.voted)})


def _told(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"file": str(one["file"]), "rows": int(one["rows"]), "gone": int(one["gone"])}


def _part_of_before(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """Earlier versions wrote all rows of a set into one file."""
    file = folder / "pairs.parquet"
    return (
        {
            "file": f"{folder.name}/{file.name}",
            "rows": opened(file).metadata.num_rows if file.exists() else 0,
            "gone": 0,
        },
    )


@dataclass(frozen=True)
class Calibrating:
    """Calibration pairs in the store, there or still to come.

    Attributes:
        workspace: Whose store it is.
        name: What decides them.
        votes: Columns of votes that pairs of the run have, calibration pairs or others.
        planned: By a run under way.
        there: What sets before this one have of them.
    """

    workspace: Workspace
    name: str
    votes: frozenset[str] = frozenset()
    planned: Planned | None = None
    there: There | None = None

    @property
    def folder(self) -> Path:
        """Where they lie, or what says where."""
        return self.workspace.store / STAGE / self.name

    @cached_property
    def about(self) -> About | None:
        """None where they are not there; damaged files are set aside."""
        try:
            found = About.read(self.folder)
        except FileNotFoundError:
            return None
        except DamagedError as damage:
            set_aside(damage, GONE)
            return None
        return found if all(file.exists() for file in self.needed) else None

    @property
    def needed(self) -> list[Path]:
        """All files that the set needs, its own and those of others; its own where it cannot be told."""
        try:
            parts = files_of(self.folder, About.read(self.folder).parts)
        except (DamagedError, FileNotFoundError):
            parts = []
        return [self.folder / ABOUT, self.folder / f"{LEFT_OUT}.parquet", *parts]

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the sets of which this one needs a file, itself first."""
        return tuple(dict.fromkeys(file.parent.name for file in self.needed))

    @cached_property
    def pairs(self) -> pa.Table:
        """The catalog's ``pairs`` without ``run_id``, sorted by query and gallery crop.

        Raises:
            DamagedError: They are not what was written.
            FileNotFoundError: They are not there.
        """
        fields = [field for field in catalog_table("pairs").schema if field.name != "run_id"]
        return self.columns([f.name for f in fields]).cast(pa.schema([pa.field(f.name, f.type) for f in fields]))

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of `pairs`; texts as dictionaries, which take little memory.

        Raises:
            DamagedError: They are not what was written.
            FileNotFoundError: They are not there.
        """
        return read_rows(self._parts(), names)

    def read(self, names: Sequence[str] = ()) -> pa.Table:
        """`pairs`, or some `columns`, for a run under way: damaged ones are set aside, so that they are made again.

        Raises:
            DamagedError: They are not what was written.
        """
        return self._or_aside(lambda: self.columns(names) if names else self.pairs)

    def read_of(self, asked: pa.Table, names: Sequence[str]) -> pa.Table:
        """As `read`, but of some of the pairs, see `calibration_parts.rows_of`.

        Raises:
            BrokenCountError: Some are not there.
            DamagedError: They are not what was written.
        """
        return self._or_aside(lambda: rows_of(self._parts(), asked, names))

    def _parts(self) -> tuple[Part, ...]:
        return parts_of(self.folder, About.read(self.folder).parts)

    def _or_aside(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except DamagedError as damage:
            set_aside(damage, "it was made again")
            raise

    def upon(self, before: Calibrating | None) -> Calibrating:
        """Pairs still to come, with what an earlier set has of them already."""
        if self.planned is None:
            raise ValueError("nobody has planned these pairs")
        there = There.nothing(self.planned)
        if before is not None and before.about is not None and before.about.made_by == self.planned.made_by:
            try:
                there = find(self.planned, parts_of(before.folder, before.about.parts), before.views)
            except DamagedError as damage:
                set_aside(damage, GONE)
        return replace(self, there=there)

    def read_there(self, schema: pa.Schema) -> pa.Table:
        """The rows that sets before this one have, in these columns; damaged ones are set aside, so that they are made again.

        Raises:
            DamagedError: They are not what was written.
        """
        parts = self.there.parts if self.there else ()
        return self._or_aside(lambda: read_rows(parts, schema.names).cast(schema))

    @property
    def views(self) -> pa.Table:
        """Of a set that is there, see `calibration_parts.Planned`.

        Raises:
            DamagedError: They are not what was written.
        """
        try:
            return read_columns(self.folder / f"{VIEWS}.parquet", VIEWS_SCHEMA)
        except FileNotFoundError:
            return VIEWS_SCHEMA.empty_table()

    def keep(self, pairs: pa.Table, left_out: pa.Table) -> Calibrating:
        """Write those that are not `there`, what names them last.

        Args:
            pairs: They, matched.
            left_out: `pairs.plan.LEFT_OUT` of all.

        Raises:
            BrokenCountError: A scored pair lacks values or contradicts itself.
            DamagedError: Rows of an earlier set that are to be written again are not what was written; that is set aside.
        """
        planned, there = self.planned, self.there
        if planned is None or there is None:
            raise ValueError("nobody has planned these pairs")
        scored = scored_only(pairs)
        read_distributions(scored)  # what is read again is not looked at again
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = self._or_aside(lambda: write_set(self.folder, there, pairs, planned.views))
        write_table(self.folder, LEFT_OUT, shaped(LEFT_OUT, left_out))
        ends = Counter(ending_counts(pairs, left_out)) + Counter(dict(there.ends))
        about = About(
            ends.total(),
            dict(sorted(ends.items())),
            is_tried(scored) and there.tried,
            voted_columns(pairs) | there.voted,
            tuple(parts),
            planned.made_by,
        )
        about.write(self.folder)
        return Calibrating(self.workspace, self.name, self.votes)


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


def alike_at_the_edges(own: pa.Table, about: About) -> bool:
    """Whether calibration pairs and the other pairs of a run can be scored one after the other with the same results as together.

    A score that needs a geometry counts for all pairs or for none.
    """
    scored = scored_only(own)
    return not scored.num_rows or is_tried(scored) == about.tried


def has_failed(pairs: pa.Table) -> bool:
    """Whether a pair has failed, which is tried again on the next night."""
    return bool(pc.any(pc.equal(pairs["status"], PairStatus.FAILED.value)).as_py())


def used_by(workspace: Workspace, record: Mapping[str, Any]) -> Calibrating | None:
    """The calibration pairs that a finished run has used; None where they are among its own pairs."""
    name = str(record["fingerprints"].get(STAGE) or "").partition("/")[0]
    return Calibrating(workspace, name) if name else None


def of_current_run(workspace: Workspace) -> Calibrating | None:
    """The calibration pairs of the run that is current: what the next ones are likeliest to have in common with; None where it has none."""
    record = _current_record(workspace)
    return used_by(workspace, record) if record else None


def learned_of_current(workspace: Workspace) -> Path | None:
    """Folder of what the current run has learned from its calibration pairs; None where it has none in the store."""
    record = _current_record(workspace)
    place = str(record["fingerprints"].get(STAGE) or "") if record else ""
    return workspace.store / STAGE / place if place else None


def _current_record(workspace: Workspace) -> dict[str, Any] | None:
    generation = current_generation(workspace)
    if generation is None or not generation.run_id or not run_exists(workspace, generation.run_id):
        return None
    try:
        return run_record(read_run(workspace, generation.run_id, "runs"))
    except DamagedError:  # `verify` tells; without it all is made anew
        return None


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
    except FileNotFoundError as missing:
        raise DamagedError(Path(missing.filename or kept.folder), MISSING, GONE) from None
