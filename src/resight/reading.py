"""Read what runs have left in a workspace: tables, features, crops, matching points."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.catalog import ATTEMPTS
from resight.catalog import table as catalog_table
from resight.environment import Environment
from resight.errors import WorkspaceError
from resight.extract.base import Features
from resight.extract.reader import FeatureReader
from resight.match.evidence import Evidence, evidence
from resight.run.calibration import calibration_pairs
from resight.run.conditions import Conditions
from resight.run.models import weights_of
from resight.run.setups import match_setup
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.segment.store import read_crop
from resight.settings import Settings, settings_from
from resight.status import CropStatus, FeatureStatus
from resight.store import attempts
from resight.store.generations import Generation, current_generation
from resight.store.runs import read_run, read_run_where, run_record, run_tables
from resight.store.workspace import Workspace, open_workspace


@dataclass(frozen=True)
class EncounterRows:
    """What a run says about one encounter; `RunResults.of_encounter` gives it.

    Attributes:
        run: The run.
        encounter_id: The encounter.

    Examples:
        >>> run = resight.open_run("my season")
        >>> encounter = run.of_encounter(run.table("novelty")["encounter_id"][0].as_py())
        >>> pairs, (verdict,) = encounter.table("pairs"), encounter.table("novelty").to_pylist()
        >>> set(pairs["query_photo_id"].to_pylist()) <= set(encounter.photo_ids)
        True
    """

    run: RunResults
    encounter_id: str

    @cached_property
    def photo_ids(self) -> list[str]:
        """Its photos."""
        rows = self._where("photos", "encounter_id", [self.encounter_id], ["photo_id"])
        return [str(photo_id) for photo_id in rows["photo_id"].to_pylist()]

    @cached_property
    def crop_ids(self) -> list[str]:
        """Crops of these photos."""
        rows = self._where("crops", "photo_id", self.photo_ids, ["crop_id"])
        return [str(crop_id) for crop_id in rows["crop_id"].to_pylist()]

    def table(self, name: str) -> pa.Table:
        """Rows of one of the run's tables, with all columns: of pairs and scores those that have one of its crops as the query.

        Raises:
            WorkspaceError: The run has no such table, or its rows are not about encounters.
        """
        names = catalog_table(name).schema.names if name in self.run.tables else []
        if "encounter_id" in names:
            return self._where(name, "encounter_id", [self.encounter_id])
        if "query_crop_id" in names:
            return self._where(name, "query_crop_id", self.crop_ids)
        if "photo_id" in names:
            return self._where(name, "photo_id", self.photo_ids)
        raise WorkspaceError(f"Run {self.run.run_id} has no table '{name}' with rows about encounters.")

    def _where(self, name: str, column: str, values: list[str], columns: list[str] | None = None) -> pa.Table:
        return read_run_where(self.run.workspace, self.run.run_id, name, column, values, columns)


@dataclass(frozen=True)
class RunResults:
    """A finished run; `open_run` gives one. Nothing that it does changes the run.

    Attributes:
        workspace: Where the run lies.
        run_id: Its name.

    Examples:
        >>> run = resight.open_run("my season")
        >>> verdicts = run.table("novelty").to_pylist()
        >>> best = run.table("identifications").to_pylist()[0]
        >>> points = run.pair(best["best_query_crop_id"], best["best_gallery_crop_id"])
        >>> points.xy_a_px.shape == points.xy_b_px.shape == (len(points.confidence), 2)
        True
    """

    workspace: Workspace
    run_id: str

    @property
    def folder(self) -> Path:
        """Where its tables and pages lie."""
        return self.workspace.runs / self.run_id

    @property
    def tables(self) -> list[str]:
        """Names of its tables."""
        return run_tables(self.workspace, self.run_id)

    def table(self, name: str) -> pa.Table:
        """One of its tables, with the columns that the catalog describes; ``.to_pandas()`` gives a data frame.

        Raises:
            WorkspaceError: The run has no such table.
        """
        if name not in self.tables:
            raise WorkspaceError(f"Run {self.run_id} has no table '{name}'; it has {', '.join(self.tables)}.")
        return read_run(self.workspace, self.run_id, name)

    def calibration_pairs(self) -> pa.Table:
        """Pairs of gallery photos from which the run has learned what different animals score: rows of ``pairs`` without ``run_id``.

        Nights with the same gallery share them, so they lie in the store; those of an evaluation are among its own pairs.

        Raises:
            WorkspaceError: The run has compared nothing.
            DamagedError: They are not what was written, or not there any more.
        """
        return calibration_pairs(self.workspace, self.record, lambda: self.table("pairs"))

    def of_encounter(self, encounter_id: str) -> EncounterRows:
        """The rows of its tables that are about one encounter; of a large table little more than these is read.

        Raises:
            WorkspaceError: The run has no such encounter.
        """
        rows = EncounterRows(self, encounter_id)
        if not rows.photo_ids:
            raise WorkspaceError(
                f"Run {self.run_id} has no encounter '{encounter_id}'; the column encounter_id of its table 'photos' lists them."
            )
        return rows

    @cached_property
    def record(self) -> dict[str, Any]:
        """What is known about the run itself: night, flow, versions, model, counts, what was computed."""
        return run_record(self.table("runs"))

    @cached_property
    def settings(self) -> Settings:
        """The settings that it ran with."""
        return settings_from(self.record["settings"], f"run {self.run_id}", stored=True)

    def features(self, crop_id: str) -> Features:
        """Keypoints and descriptors of a crop.

        Raises:
            WorkspaceError: The run has no such crop, or the crop has no features.
        """
        row = self._row("features", self._features, crop_id)
        if row["status"] != FeatureStatus.OK:
            raise WorkspaceError(f"Crop {crop_id} has no features: {row['reason'] or row['status']}.")
        return self._reader.load(row["store"], row["store_row"])

    def crop(self, crop_id: str) -> tuple[np.ndarray, np.ndarray]:
        """The picture of a crop: RGB (H, W, 3) uint8, and the mask of the animal (H, W) bool.

        Raises:
            WorkspaceError: The run has no such crop, or its picture is gone.
        """
        row = self._row("crops", self._crops, crop_id)
        if row["status"] != CropStatus.OK:
            raise WorkspaceError(f"Crop {crop_id} has no picture: {row['reason'] or row['status']}.")
        return read_crop(self.workspace, row["path"])

    def pair(self, query_crop_id: str, gallery_crop_id: str) -> Evidence:
        """Matching points of two crops, the strongest 80; computed in this process if the report has not drawn the pair.

        Returns:
            Points ``a`` lie in the query crop, points ``b`` in the gallery crop.

        Raises:
            WorkspaceError: The run has no such crops, or they cannot be matched.
            WeightsError: The matcher's weights are gone.
        """
        for crop_id in (query_crop_id, gallery_crop_id):
            self._row("features", self._features, crop_id)
        pair, settings = (query_crop_id, gallery_crop_id), self.settings
        with Runner(DaskParams(mode="inline"), settings.device, quiet=True) as runner:
            env = Environment(self.workspace, weights_of(self.workspace, settings), runner, settings.device)
            name = Conditions(env, settings).names.match
            points = evidence(env, match_setup(settings), name, [pair], self.table("features"))
        if pair not in points:
            raise WorkspaceError(f"Crops {query_crop_id} and {gallery_crop_id} cannot be matched; the log says why.")
        return points[pair]

    @cached_property
    def _reader(self) -> FeatureReader:
        return FeatureReader(self.workspace)

    @cached_property
    def _features(self) -> dict[str, dict[str, Any]]:
        return {row["crop_id"]: row for row in self.table("features").to_pylist()}

    @cached_property
    def _crops(self) -> dict[str, dict[str, Any]]:
        columns = ["crop_id", "path", "status", "reason"]
        return {row["crop_id"]: row for row in self.table("crops").select(columns).to_pylist()}

    def _row(self, name: str, rows: dict[str, dict[str, Any]], crop_id: str) -> dict[str, Any]:
        if crop_id not in rows:
            raise WorkspaceError(f"Run {self.run_id} has no crop '{crop_id}'; its table '{name}' lists them.")
        return rows[crop_id]


def open_run(workspace: str | Path | Workspace, run_id: str | None = None) -> RunResults:
    """A finished run of a workspace.

    Args:
        workspace: The folder with ``resight.toml``.
        run_id: Name of the run, which is its folder's name below ``runs``; the newest accepted one if not given.

    Raises:
        WorkspaceError: There is no such workspace or run.

    Examples:
        >>> run = resight.open_run("my season")
        >>> run.record["flow"]
        'nightly'
        >>> "identifications" in run.tables
        True
    """
    place = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    if run_id is None:
        run_id = open_generation(place).run_id
        if run_id is None:
            raise WorkspaceError(f"{place.root} has no run yet; start with `resight nightly`.")
    read_run(place, run_id, "runs")
    return RunResults(place, run_id)


def open_generation(workspace: str | Path | Workspace) -> Generation:
    """What is current now: tables that became current together, whatever is published while you read them.

    It stays for at least an hour after it was replaced.

    Args:
        workspace: The folder with ``resight.toml``.

    Raises:
        WorkspaceError: There is no such workspace, or nothing is current yet.

    Examples:
        >>> current = resight.open_generation("my season")
        >>> photos, verdicts = current.table("photos"), current.table("novelty")
        >>> {*photos["run_id"].to_pylist(), *verdicts["run_id"].to_pylist()} == {current.run_id}
        True
    """
    place = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    generation = current_generation(place)
    if generation is None:
        raise WorkspaceError(f"{place.root} has no run yet; start with `resight nightly`.")
    return generation


def read_features(workspace: str | Path | Workspace, crop_id: str, run_id: str | None = None) -> Features:
    """Keypoints and descriptors of one crop; for many crops of one run, `RunResults.features` is faster.

    Raises:
        WorkspaceError: There is no such workspace, run or crop, or the crop has no features.

    Examples:
        >>> crop_id = resight.read_pairs("my season")["query_crop_id"][0].as_py()
        >>> features = resight.read_features("my season", crop_id)
        >>> features.xy_px.shape == (len(features), 2)
        True
    """
    return open_run(workspace, run_id).features(crop_id)


def read_pairs(workspace: str | Path | Workspace, run_id: str | None = None) -> pa.Table:
    """All pairs of a query crop and a gallery crop that a run has looked at: the catalog's table ``pairs``.

    Pairs of the gallery among itself: `RunResults.calibration_pairs`.

    Raises:
        WorkspaceError: There is no such workspace or run, or the run has compared nothing.

    Examples:
        >>> pairs = resight.read_pairs("my season")
        >>> strongest = pairs.sort_by([("n_inliers", "descending")]).slice(0, 1).to_pylist()
    """
    return open_run(workspace, run_id).table("pairs")


def read_attempts(workspace: str | Path | Workspace) -> pa.Table:
    """What was tried, the oldest first, also what failed or was killed: the catalog's table ``attempts``.

    Raises:
        WorkspaceError: There is no such workspace.

    Examples:
        >>> attempts = resight.read_attempts("my season")
        >>> attempts.select(["command", "outcome"]).to_pylist()[0]
        {'command': 'nightly', 'outcome': 'done'}
    """
    place = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    rows = [{c.name: _cell(c.type, row.get(c.name)) for c in ATTEMPTS.columns} for row in attempts.read_attempts(place)]
    return pa.Table.from_pylist(rows, schema=ATTEMPTS.schema)


def _cell(kind: pa.DataType, value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value)
    if value and pa.types.is_date(kind):
        return date.fromisoformat(value)
    return datetime.fromisoformat(value) if value and pa.types.is_timestamp(kind) else value
