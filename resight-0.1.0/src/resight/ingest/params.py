"""Settings of stage ``ingest``, and of how photos become encounters."""

from typing import ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Affects, Params, expert_field


class IngestParams(Params):
    """Which files are photos and which of them are refused."""

    affects: ClassVar[Affects] = "execution"  # which photos came in is in table `photos`, and that names the run

    sources: tuple[str, ...] = Field(
        ("photos",), description="folders, file patterns or addresses with photos; relative to the workspace"
    )
    extensions: tuple[str, ...] = expert_field(
        (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".heic", ".heif"),
        description="endings of the files that are read as photos",
    )
    max_side_px: int = expert_field(16_000, ge=64, description="photos with a longer side (panoramas) are refused")
    max_megapixels: float = expert_field(150.0, gt=0, description="larger photos are refused before they are decoded")
    min_side_px: int = expert_field(64, ge=1, description="photos with a shorter side are refused")


class EncounterParams(Params):
    """How photos without an encounter_id are grouped. An encounter is one animal at one place on one day."""

    affects: ClassVar[Affects] = "run"
    revision: ClassVar[int] = 2  # the default was "photo"

    unlabelled: Literal["auto", "photo", "folder"] = Field(
        "auto",
        description="auto: photos of one folder taken shortly one after the other, or of a folder that stands for a dive, show one "
        "animal; photo: every photo is an encounter of its own; folder: all photos of one folder and day show one animal",
    )
    gap_minutes: float = Field(
        1.0,
        gt=0,
        description="auto: longest pause between two photos of one encounter (at least 5 in a folder that stands for a dive)",
    )
    vote_out: bool = Field(
        True, description="photos that speak against such an encounter get one of their own, and the report says so"
    )


class GateParams(Params):
    """When a night is kept aside instead of published."""

    affects: ClassVar[Affects] = "execution"

    max_vanished: float = Field(
        0.1, ge=0, le=1, description="share of the current photos that may be gone before a night is kept aside"
    )
    max_unreadable: float = Field(
        0.1, ge=0, le=1, description="share of the photos that may have become unreadable before a night is kept aside"
    )
    max_gallery_loss: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the photos of known animals that may be lost before a night is kept aside",
    )
    least_photos: int = expert_field(
        5, ge=1, description="fewer lost photos than this keep no night aside, unless all are lost"
    )


class RetentionParams(Params):
    """How long `resight prune` keeps what nothing refers to; no other command removes a run or a result."""

    affects: ClassVar[Affects] = "execution"

    runs_days: int = Field(
        400, ge=0, description="days that a run stays to which nothing refers; 0: all runs stay, and what they use"
    )
    runs_kept: int = Field(10, ge=1, description="newest runs of each kind that stay whatever their age")
    stores_days: int = Field(
        60,
        ge=0,
        description="days since the last writing that crops, features and pairs stay which no kept run or model uses",
    )
