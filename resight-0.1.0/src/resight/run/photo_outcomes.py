"""How each photo ended: one word per photo, so that photos in equal photos out."""

from collections import Counter

from resight.errors import BrokenCountError
from resight.run.state import Extracted, Judged
from resight.status import CropStatus, FeatureStatus, PhotoStatus


def photo_counts(judged: Judged, came_in: int) -> dict[str, int]:
    """Photos by how they ended.

    Raises:
        BrokenCountError: A photo has no outcome, or there is an outcome without a photo.
    """
    counts = dict(sorted(Counter(photo_outcomes(judged).values()).items()))
    if sum(counts.values()) != came_in:
        raise BrokenCountError(f"{came_in} photos came in, but {sum(counts.values())} have an end: {counts}")
    return counts


def photo_outcomes(judged: Judged) -> dict[str, str]:
    """The outcome of each photo.

    ``gallery`` (a known animal's), ``identified`` (has ranked candidates), ``not_compared`` (nothing comparable in the
    gallery), ``left_out`` (neither part of an evaluation's split), otherwise the first status or reason that stopped it.
    """
    cohort, ranked = judged.cohort, _ranked(judged)
    photos = judged.photos.select(["photo_id", "status", "reason"]).to_pylist()
    stopped = {p["photo_id"]: p["reason"] or p["status"] for p in photos if p["status"] != PhotoStatus.OK}
    stopped = _unusable(judged) | stopped

    def part(photo_id: str) -> str:
        if photo_id in cohort.queries:
            return "identified" if photo_id in ranked else "not_compared"
        return "gallery" if photo_id in cohort.gallery else "left_out"

    return {p["photo_id"]: stopped.get(p["photo_id"]) or part(p["photo_id"]) for p in photos}


def _ranked(judged: Judged) -> frozenset[str]:
    """Query photos with a candidate."""
    table = judged.identifications
    rows = zip(table["query_id"].to_pylist(), table["level"].to_pylist(), strict=True)
    return frozenset(query for query, level in rows if level == "photo")


def _unusable(extracted: Extracted) -> dict[str, str]:
    """The first status that stopped a crop, of photos without a usable one."""
    features = extracted.features.select(["photo_id", "status"]).to_pylist()
    usable = {row["photo_id"] for row in features if row["status"] == FeatureStatus.OK}
    reasons: dict[str, str] = {}
    for row in extracted.crops.select(["photo_id", "status"]).to_pylist():
        if row["status"] != CropStatus.OK:
            reasons.setdefault(row["photo_id"], row["status"])
    for row in features:
        if row["status"] not in (FeatureStatus.OK, FeatureStatus.NO_CROP):
            reasons.setdefault(row["photo_id"], row["status"])
    return {photo_id: reason for photo_id, reason in reasons.items() if photo_id not in usable}
