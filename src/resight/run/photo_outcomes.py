"""How each photo ended: one word per photo, so that photos in equal photos out."""

from __future__ import annotations

from collections import Counter

from resight.errors import BrokenCountError
from resight.run.run import Run
from resight.status import CropStatus, FeatureStatus


def photo_fates(run: Run) -> dict[str, int]:
    """Photos by how they ended.

    ``gallery`` (a known animal's), ``identified`` (has ranked candidates), ``not_compared`` (nothing comparable in the
    gallery), ``left_out`` (neither part of an evaluation's split), otherwise the first status or reason that stopped it.
    """
    return dict(sorted(Counter(fate_by_photo(run).values()).items()))


def count_photos(run: Run) -> None:
    """Put the photos' ends among the run's counts.

    Raises:
        BrokenCountError: A photo has no end, or there is an end without a photo.
    """
    fates, came_in = photo_fates(run), run.counts["ingest"]["in"]
    if sum(fates.values()) != came_in:
        raise BrokenCountError(f"{came_in} photos came in, but {sum(fates.values())} have an end: {fates}")
    run.counts["photos"] = {"in": came_in, "out": fates}


def fate_by_photo(run: Run) -> dict[str, str]:
    """The fate of each photo."""
    photos = run.tables["photos"].select(["photo_id", "status", "reason"]).to_pylist()
    stopped = {p["photo_id"]: p["reason"] or p["status"] for p in photos if p["status"] != "ok"}
    usable = _usable(run)
    for photo_id, reason in _crop_reasons(run).items():
        if photo_id not in usable:
            stopped.setdefault(photo_id, reason)
    return {p["photo_id"]: stopped.get(p["photo_id"]) or _part(run, p["photo_id"]) for p in photos}


def _part(run: Run, photo_id: str) -> str:
    cohort = run.cohort
    if cohort and photo_id in cohort.gallery - cohort.queries:
        return "gallery"
    if not cohort or photo_id not in cohort.queries:
        return "left_out"
    ranked = run.extras.setdefault("ranked_photos", _ranked(run))
    return "identified" if photo_id in ranked else "not_compared"


def _ranked(run: Run) -> set[str]:
    table = run.tables.get("identifications")
    if table is None:
        return set()
    return {
        q
        for q, level in zip(table["query_id"].to_pylist(), table["level"].to_pylist(), strict=True)
        if level == "photo"
    }


def _usable(run: Run) -> set[str]:
    rows = run.tables["features"].select(["photo_id", "status"]).to_pylist()
    return {r["photo_id"] for r in rows if r["status"] == FeatureStatus.OK}


def _crop_reasons(run: Run) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for row in run.tables["crops"].select(["photo_id", "status"]).to_pylist():
        if row["status"] != CropStatus.OK:
            reasons.setdefault(row["photo_id"], row["status"])
    for row in run.tables["features"].select(["photo_id", "status"]).to_pylist():
        if row["status"] not in (FeatureStatus.OK, FeatureStatus.NO_CROP):
            reasons.setdefault(row["photo_id"], row["status"])
    return reasons
