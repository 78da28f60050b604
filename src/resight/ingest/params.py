"""Settings of stage ``ingest``, and of how photos become encounters."""

from typing import Literal

from pydantic import Field

from resight.plugins.params import Params


class IngestParams(Params):
    """Which files are photos and which of them are refused."""

    sources: tuple[str, ...] = Field(
        ("photos",), description="folders, globs or fsspec addresses; relative to the workspace"
    )
    extensions: tuple[str, ...] = Field(
        (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif"),
        description="file endings taken for photos",
    )
    max_side_px: int = Field(16_000, ge=64, description="longer photos (panoramas) are refused")
    max_megapixels: float = Field(150.0, gt=0, description="larger photos are refused before they are decoded")
    min_side_px: int = Field(64, ge=1, description="smaller photos are refused")
    photos_per_task: int = Field(32, ge=1, description="photos in one Dask task")


class EncounterParams(Params):
    """How photos without an ``encounter_id`` are put together. An encounter is one animal, one place, one day."""

    unlabelled: Literal["photo", "folder"] = Field(
        "photo",
        description="photo: each photo is its own encounter; folder: all photos of one folder and day are one animal",
    )
