"""What the matcher learns from: crops as the pipeline cuts them, with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.errors import NothingToMeasure
from resight.ingest.annotation import Annotation
from resight.ingest.stage import ingest
from resight.run.names import ingest_name, segment_name
from resight.run.setups import ingest_setup, segment_setup
from resight.segment.kinds.auto import AutoParams
from resight.segment.kinds.whole import WholeParams
from resight.segment.stage import segment
from resight.segment.store import read_crop
from resight.settings import Settings
from resight.status import CropStatus
from resight.store.workspace import Workspace

WHOLE_SIDE_PX = 1024


@dataclass(frozen=True)
class SourceCrop:
    """A crop to learn from; its pixels are read when they are needed.

    Attributes:
        name: The crop's id.
        path: As in the table ``crops``.
        head: Whether it is a head (or body) with a mask, or a whole photo.
        individual_id: Animal, '' if unlabelled.
        encounter_id: Animal and day.
        viewpoint: Side that is seen.
        workspace: Where it lies.
    """

    name: str
    path: str
    head: bool
    individual_id: str
    encounter_id: str
    viewpoint: str
    workspace: Workspace

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 and the (H, W) bool mask, at most `WHOLE_SIDE_PX` on the longer side."""
        rgb, mask = read_crop(self.workspace, self.path)
        scale = min(1.0, WHOLE_SIDE_PX / max(mask.shape))
        if scale == 1.0:
            return rgb, mask
        size = (round(mask.shape[1] * scale), round(mask.shape[0] * scale))
        small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), small > 0


def gather(
    env: Environment,
    settings: Settings,
    sources: Sequence[str],
    night: str,
    leave_out: Collection[str] = (),
    only: Collection[str] | None = None,
) -> list[SourceCrop]:
    """Find the photos of ``sources`` and cut them; ``metadata.csv`` beside the photos names the animals. See `cut`.

    Args:
        env: Where crops are kept and segmenters find their weights.
        settings: As for a nightly run.
        sources: Folders or addresses.
        night: ISO date of the run.
        leave_out, only: As in `cut`.

    Raises:
        NothingToMeasure: No photo is left.
    """
    ingested = ingest(env, ingest_setup(settings), ingest_name(settings), sources, night)
    return cut(env, settings, ingested.photos, ingested.annotations, ", ".join(sources), leave_out, only)


def cut(
    env: Environment,
    settings: Settings,
    photos: pa.Table,
    annotations: Mapping[str, tuple[Annotation, ...]],
    where: str,
    leave_out: Collection[str] = (),
    only: Collection[str] | None = None,
) -> list[SourceCrop]:
    """Heads, from outlines or as found by a segmenter, and every photo as a whole.

    Where the settings take photos as they are (``segment.kind = "whole"``), the photos are crops of heads already: each is a head, once.

    Args:
        env: Where crops are kept and segmenters find their weights.
        settings: As for a nightly run.
        photos, annotations: As `resight.ingest` finds them.
        where: For messages.
        leave_out: Animals whose photos must not be used.
        only: The named animals whose photos may be used, beside those of unnamed ones; None for all.

    Raises:
        NothingToMeasure: No photo is left.
    """
    photos = _without(photos, leave_out, only)
    heads = settings.model_copy(update={"segment": AutoParams(otherwise="head-finder")})
    heads = settings if settings.segment != AutoParams() else heads
    uncut = settings.model_copy(update={"segment": WholeParams()})
    rows = {row["photo_id"]: row for row in photos.to_pylist()}
    pictures = []
    cropped = settings.segment == WholeParams()
    for cutting in (uncut,) if cropped else (heads, uncut):
        name = segment_name(cutting, env.weights)
        crops = segment(env, segment_setup(cutting), name, photos, annotations).crops
        usable = [c for c in crops.to_pylist() if c["status"] == CropStatus.OK]
        pictures += [_picture(env.workspace, c, rows[c["photo_id"]], cropped) for c in usable]
    if not pictures:
        raise NothingToMeasure(f"There is no usable photo to learn from in {where}; check the path.")
    return sorted(pictures, key=lambda p: (not p.head, p.name))


def digest_of(pictures: Sequence[SourceCrop]) -> str:
    """SHA-256 over names and labels; a crop's name is a digest of its photo's content and of its outline."""
    lines = sorted(f"{p.name} {p.head} {p.individual_id} {p.encounter_id} {p.viewpoint}" for p in pictures)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def crop_counts(pictures: Sequence[SourceCrop]) -> dict[str, Any]:
    """Counts for the recipe."""
    heads = [p for p in pictures if p.head]
    return {
        "heads": len(heads),
        "whole_photos": len(pictures) - len(heads),
        "individuals": sorted({p.individual_id for p in pictures if p.individual_id}),
    }


def _without(photos: pa.Table, leave_out: Collection[str], only: Collection[str] | None) -> pa.Table:
    names = photos["individual_id"].to_pylist()
    keep = [not name or (name not in leave_out and (only is None or name in only)) for name in names]
    return photos.filter(pa.array(keep))


def _picture(workspace: Workspace, crop: dict[str, Any], photo: dict[str, Any], cropped: bool) -> SourceCrop:
    side = crop.get("viewpoint") or photo.get("viewpoint") or ""
    names = photo["individual_id"] or "", photo["encounter_id"] or ""
    return SourceCrop(crop["crop_id"], crop["path"], cropped or crop["part"] != "whole", *names, str(side), workspace)
