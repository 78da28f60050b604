"""What the stages of one run share: settings, workers, counts, and the tables written so far."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from resight.decisions.state import Decided
from resight.environment import Environment
from resight.errors import machine_errors_at
from resight.ingest.addresses import text_of
from resight.ingest.annotation import Annotation
from resight.ingest.past import Then
from resight.run.conditions import Conditions, Way, open_conditions
from resight.run.models import Model, weight_names
from resight.run.names import StageNames
from resight.score.accepted import replaced_fusions
from resight.score.base import FUSED
from resight.score.prior import shipped
from resight.settings import Settings
from resight.store.attempts import Attempt
from resight.store.damage import Record, fresh_records, watch
from resight.store.fingerprint import canonical_json, fingerprint
from resight.store.runs import Staging, run_record, staging
from resight.store.tables import conform, status_counts
from resight.store.workspace import Workspace, checked_night
from resight.version import __version__

log = logging.getLogger("resight")
MEASURING = ("accuracy", "evaluate")
PACKAGES = [
    "dask",
    "distributed",
    "kornia",
    "numpy",
    "opencv-python-headless",
    "prefect",
    "pyarrow",
    "scipy",
    "torch",
    "zarr",
]


@dataclass
class Run:
    """One run under way: its conditions and its record. What its stages hand on is in `state`.

    Tasks get it by reference: they are called in the flow's own process.

    Attributes:
        conditions: Under which its stages compute.
        written: Tables of the catalog by name, as they were written; for the pages, never for the next stage.
        counts: By stage, how many came in and how each ended.
        work: What was really computed.
        fingerprints: Names of what stages have made.
        notes: Sentences for people.
        seconds: Wall time by stage.
        damage: What was set aside because it was damaged.
        inputs: Stands for the photos, names, outlines and decisions that it saw, whatever its model.
        made_again: It replaces a run of the same name that was kept aside, or in which something had failed.
        not_read: Sources and label files that are there and could not be read.
        reason: Why it is kept aside, or what was overruled to publish it.
        decided: What people have decided, as far as this flow heeds it.
        then: The night of the past whose view it is; None where everything counts that is there now.
    """

    conditions: Conditions
    model: Model
    staging: Staging
    flow: str
    night: str
    sources: tuple[str, ...]
    run_id: str = ""
    inputs: str = ""
    made_again: bool = False
    not_read: tuple[str, ...] = ()
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    written: dict[str, pa.Table] = field(default_factory=dict)
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)
    work: dict[str, int] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    damage: list[Record] = field(default_factory=list)
    reason: str = ""
    decided: Decided = field(default_factory=lambda: Decided.of(()))
    then: Then | None = None

    @property
    def workspace(self) -> Workspace:
        """Where its tables go."""
        return self.env.workspace

    @property
    def settings(self) -> Settings:
        """All sections of its settings."""
        return self.conditions.settings

    @property
    def env(self) -> Environment:
        """Where its stages work."""
        return self.conditions.env

    @property
    def names(self) -> StageNames:
        """Names of what its stages compute."""
        return self.conditions.names

    def name_after_inputs(self, photos: pa.Table, annotations: Mapping[str, tuple[Annotation, ...]]) -> None:
        """Set `inputs` and `run_id`: equal inputs, settings and night give the same name, so a night that is run twice is there once."""
        left_out = ("run_id", "message", *(() if self.decided.entries else ("labelled_individual_id",)))
        rows = photos.drop_columns([c for c in left_out if c in photos.column_names]).to_pylist()
        inputs = canonical_json([_plain(row) for row in rows])
        outlines = {k: [vars(a) for a in v] for k, v in sorted(annotations.items())}
        self.inputs = fingerprint(inputs, outlines, self.decided.digest)
        digest = fingerprint(
            self.flow,
            __version__,
            self.model.fingerprint,
            self.settings.run_part(self.flow in MEASURING),
            inputs,
            outlines,
            *([shipped()] if self.settings.score.name == FUSED else []),
            *(replaced_fusions(self.workspace) if self.flow not in MEASURING else []),
            *([self.decided.digest] if self.decided.entries else []),
        )
        self.run_id = f"{self.night}-{self.flow}-{digest[:8]}"

    def add(self, name: str, rows: pa.Table | Sequence[Mapping[str, Any]]) -> pa.Table:
        """Conform a table to the catalog, write it into the run's folder, and give it back as it was written."""
        table = conform(name, rows, self.run_id)
        self.written[name] = table
        self.staging.write(name, table)
        return table

    def count(self, stage: str, came_in: int, table: pa.Table) -> None:
        """Record how many came in and how each ended; `counts.reconcile` has checked that they agree."""
        self.counts[stage] = {"in": came_in, "out": status_counts(table)}

    def note(self, *sentences: str) -> None:
        """Keep and show what people should know; once, and nothing of ''."""
        for sentence in sentences:
            if sentence and sentence not in self.notes:
                self.notes.append(sentence)
                log.warning("%s", sentence)

    def note_damage(self) -> None:
        """Note what was set aside since the last call, here or on a worker."""
        records = fresh_records(self.workspace.store)
        self.note(*(record.sentence() for record in records))
        self.damage += records

    def record_so_far(self) -> dict[str, Any]:
        """The record with JSON columns parsed, and ``notes``, as pages of a run under way need it."""
        return run_record(conform("runs", [self.record("under way")], self.run_id)) | {"notes": self.notes}

    def record(self, status: str) -> dict[str, Any]:
        """The run's row in the `runs` table."""
        return {
            "flow": self.flow,
            "night": date.fromisoformat(self.night),
            "status": status,
            "reason": self.reason,
            "started_at": self.started_at,
            "ended_at": datetime.now(UTC),
            "resight_version": __version__,
            "model_fingerprint": self.model.fingerprint,
            "fingerprints": canonical_json(self.fingerprints),
            "weights": canonical_json(self.model.weights),
            # without addresses and tokens: this table is handed on
            "settings": canonical_json(self.settings.model_dump(mode="json", exclude={"notify", "publish"})),
            "versions": canonical_json({"python": platform.python_version()} | {p: version(p) for p in PACKAGES}),
            "device": device_name(self.settings.device),
            "counts": canonical_json(self.counts),
            "work": canonical_json(self.work),
        }


@contextmanager
def open_run(
    workspace: Workspace,
    settings: Settings,
    model: Model,
    *,
    flow: str,
    night: str | None = None,
    sources: Sequence[str] = (),
    tried: Attempt | None = None,
    then: Then | None = None,
    quiet: bool = False,
    way: Way | None = None,
) -> Iterator[Run]:
    """Everything a run needs, closed and cleaned up whatever happens.

    ``tried`` writes down how far it came, also if it fails; with ``way`` it makes way for others.

    Raises:
        SettingsError: The night is no date.
        WorkspaceError: Another run is at work in the workspace.
        MachineError: Disk, memory or permissions fail.
    """
    night = checked_night(night or date.today().isoformat())
    sources = tuple(sources) or settings.ingest.sources
    watch(workspace.store)
    opened = open_conditions(workspace, settings, weight_names=weight_names(settings), quiet=quiet, way=way)
    with machine_errors_at(workspace.root), opened as conditions, staging(workspace) as folder:
        run = Run(conditions, model, folder, flow, night, sources, then=then)
        if tried is not None:
            tried.follow(counts=run.counts, seconds=run.seconds, notes=run.notes)
        yield run


def device_name(device: str) -> str:
    """The device in words."""
    if device != "cuda":
        return f"{device} ({platform.machine()})"
    import torch

    return f"cuda ({torch.cuda.get_device_name(0)})" if torch.cuda.is_available() else "cuda (on the workers)"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Values that JSON knows; without the offset of a clock that says none, so that runs of before keep their names."""
    kept = {k: v for k, v in row.items() if k != "utc_offset" or v}
    return {k: v.isoformat() if isinstance(v, date | datetime) else v for k, v in kept.items()}


def absolute_sources(sources: Sequence[str]) -> tuple[str, ...]:
    """Local paths made absolute against the current folder; addresses stay."""
    return tuple(s if "://" in s else text_of(str(Path(s).expanduser().absolute())) for s in sources)
