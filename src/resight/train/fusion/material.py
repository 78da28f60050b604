"""Scored pairs of labelled folders, from the tables that `resight evaluate` has written."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import SettingsError
from resight.score.choose import LabelledPairs
from resight.score.distribution import GRADES, scored_only
from resight.score.fusion import LARGEST, available, read_features
from resight.score.gallery import is_tried
from resight.score.learn import MIN_IMPOSTOR_PAIRS, TrainingPairs
from resight.score.null import CALIBRATE, Null, learn_null
from resight.store.fingerprint import digest_ids
from resight.store.tables import read_table

NULL_PAIRS = 2000
TABLES = ("photos", "crops", "pairs", "runs")
CURE = "give the folder of a run of `resight evaluate` on a labelled folder whose animals were met again"


@dataclass(frozen=True)
class LabelledRun:
    """A run of `resight evaluate` with all labels.

    Attributes:
        labels: Individual by photo_id, those of the queries too; of photos that stand in a pair.
        gallery: Individual by gallery photo_id, as the run saw it.
        info: What ranking needs of each crop, with the labels of the gallery alone.
        matcher: Its kind, ``match.kind``.
    """

    name: str
    photos: pa.Table
    pairs: pa.Table
    labels: Mapping[str, str]
    gallery: Mapping[str, str]
    info: pa.Table
    null: Null
    matcher: str = ""

    @property
    def truth(self) -> dict[str, str]:
        """Individual by query photo_id."""
        queries = set(self.pairs.filter(pc.equal(self.pairs["purpose"], "identify"))["query_photo_id"].to_pylist())
        return {p: self.labels[p] for p in sorted(queries) if p in self.labels}

    @cached_property
    def everything(self) -> TrainingPairs:
        """Pairs of different encounters, those of the queries too."""
        return self._training()

    @cached_property
    def of_gallery(self) -> TrainingPairs:
        """The same of the gallery alone."""
        return self._training(CALIBRATE)

    def _training(self, *purposes: str) -> TrainingPairs:
        pairs = LabelledPairs(self.pairs, self.info, self.labels, self.null, self.matcher)
        return pairs.training(purposes, visible=self.gallery)


def read_run_folder(folder: Path, animals: Collection[str] | None = None) -> LabelledRun:
    """Read a run's tables.

    Args:
        folder: The run's.
        animals: Only pairs of two photos of these count; those of others are not even strangers. All do if not given.

    Raises:
        SettingsError: There is no run, or none that shows what pairs of the same and of different animals look like.
    """
    missing = [name for name in TABLES if not (folder / f"{name}.parquet").exists()]
    if missing:
        raise SettingsError(f"{folder} has no {missing[0]}.parquet; {CURE}.")
    photos, crops, pairs, run = (read_table(folder / f"{name}.parquet", name) for name in TABLES)
    pairs = pairs.filter(pc.is_in(pairs["purpose"], pa.array(["identify", CALIBRATE])))
    names = zip(photos["photo_id"].to_pylist(), photos["individual_id"].to_pylist(), strict=True)
    labels = {photo: name for photo, name in names if name and (animals is None or name in animals)}
    pairs = pairs if animals is None else among(pairs, labels)
    calibrating = pairs.filter(pc.equal(pairs["purpose"], CALIBRATE))  # photos of the gallery on both sides
    gallery_photos = {*pairs["gallery_photo_id"].to_pylist(), *calibrating["query_photo_id"].to_pylist()}
    gallery = {p: labels[p] for p in sorted(gallery_photos)}
    compared = gallery_photos.union(pairs["query_photo_id"].to_pylist())
    null = learn_null(pairs, gallery, NULL_PAIRS, None)
    info, matcher = _info(photos, crops, gallery), json.loads(run["settings"][0].as_py())["match"]["kind"]
    labels = {photo: name for photo, name in labels.items() if photo in compared}
    labelled = LabelledRun(folder.name, photos, pairs, labels, gallery, info, null, matcher)
    _check(labelled, folder, of="" if animals is None else " of the animals to train on")
    return labelled


def _check(run: LabelledRun, folder: Path, of: str) -> None:
    """Whether a prior can be learned and judged.

    Raises:
        SettingsError: It cannot; says what is missing.
    """
    if not {*run.truth.values()} & {*run.gallery.values()}:
        raise SettingsError(f"{folder}: no photo{of} asks who it is and shows an animal of the gallery; {CURE}.")
    counted = {
        "pairs of one animal": (int(run.everything.genuine.sum()), 1),
        "pairs of different animals of the gallery": (int((~run.of_gallery.genuine).sum()), MIN_IMPOSTOR_PAIRS),
    }
    for what, (n, least) in counted.items():
        if n < least:
            raise SettingsError(f"{folder} has {n} {what}{of}, fewer than {least}; {CURE}.")


def among(pairs: pa.Table, photos: Collection[str]) -> pa.Table:
    """Rows of ``pairs`` of which both photos are among these."""
    some = pa.array(sorted(photos), pa.string())
    return pairs.filter(
        pc.and_(*(pc.is_in(pairs[f"{side}_photo_id"].cast(pa.string()), some) for side in ("query", "gallery")))
    )


def training(run: LabelledRun, *, gallery_alone: bool) -> TrainingPairs:
    """Pairs of different encounters: those of the gallery alone, or the queries' too."""
    return run.of_gallery if gallery_alone else run.everything


def standardised(pairs: TrainingPairs, like: TrainingPairs) -> tuple[tuple[str, ...], np.ndarray]:
    """Features, and (N, F) of them in standard deviations above the impostor pairs of ``like``."""
    names = available(pairs.d)
    null = read_features(like.d, names)[~like.genuine]
    spread = np.where(null.std(axis=0) > 1e-9, null.std(axis=0), 1.0)
    return names, ((read_features(pairs.d, names) - null.mean(axis=0)) / spread).clip(-LARGEST, None)


def with_less_evidence(runs: Sequence[LabelledRun]) -> list[LabelledRun]:
    """The runs, and those whose matches were verified once more as if they had not been: a matcher without geometry has a prior too."""
    return [*runs, *(without_geometry(run) for run in runs if is_tried(scored_only(run.pairs)))]


def without_geometry(run: LabelledRun) -> LabelledRun:
    """The run as if no geometry had been fitted to any pair; confidences and votes stay."""
    pairs = run.pairs
    for name in GRADES:
        if name in pairs.column_names:
            nothing = pa.nulls(pairs.num_rows, pairs[name].type)
            pairs = pairs.set_column(pairs.column_names.index(name), name, nothing)
    return replace(run, pairs=pairs, null=learn_null(pairs, run.gallery, NULL_PAIRS, None))


def by_evidence(runs: Sequence[LabelledRun]) -> dict[tuple[str, tuple[str, ...]], list[LabelledRun]]:
    """Runs with the same kind of matcher and the same features together."""
    groups: dict[tuple[str, tuple[str, ...]], list[LabelledRun]] = {}
    for run in runs:
        groups.setdefault((run.matcher, available(training(run, gallery_alone=False).d)), []).append(run)
    return groups


def digest(run: LabelledRun) -> str:
    """Digest of the photos and pairs behind it."""
    ids = zip(run.pairs["query_crop_id"].to_pylist(), run.pairs["gallery_crop_id"].to_pylist(), strict=True)
    return digest_ids([*sorted(run.labels), *(f"{q} {g}" for q, g in ids)])


def _info(photos: pa.Table, crops: pa.Table, gallery: Mapping[str, str]) -> pa.Table:
    of_photo = {
        r["photo_id"]: r for r in photos.select(["photo_id", "encounter_id", "taken_at", "taken_on"]).to_pylist()
    }
    ids = crops["photo_id"].to_pylist()
    return pa.table(
        {
            "crop_id": crops["crop_id"],
            "photo_id": crops["photo_id"],
            "encounter_id": pa.array([of_photo[p]["encounter_id"] for p in ids], pa.string()),
            "taken_at": pa.array([of_photo[p]["taken_at"] for p in ids], pa.timestamp("us")),
            "taken_on": pa.array([of_photo[p]["taken_on"] for p in ids], photos["taken_on"].type),
            "individual_id": pa.array([gallery.get(p) for p in ids], pa.string()),
            "viewpoint": crops["viewpoint"],
        }
    )
