"""A gate before publishing: a night on which photos, their readability or names are lost does not replace what is current.

A disk that is not mounted looks like a survey whose photos were all deleted. Which of the two it is, only a person knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import pyarrow as pa

from resight.ingest.params import GateParams
from resight.pairs.cohort import nightly_cohort
from resight.status import PhotoReason, PhotoStatus
from resight.store.runs import read_current
from resight.store.workspace import Workspace

COLUMNS = ["run_id", "photo_id", "uri", "uris", "status", "reason"]


@dataclass(frozen=True)
class _Loss:
    """``lost`` of ``total`` photos; ``what`` says in words how. All is too much wherever there were ``few`` or more."""

    lost: Sequence[str]
    total: int
    most: float
    what: str
    few: float

    def too_many(self, least: int) -> bool:
        n = len(self.lost)
        return n > 0 and ((n == self.total and n >= self.few) or (n >= least and n > self.most * self.total))

    def __str__(self) -> str:
        return f"{len(self.lost)} of {self.total} {self.what} (such as {self.lost[0]})"


def reason_to_keep_aside(
    workspace: Workspace, photos: pa.Table, sources: Sequence[str], params: GateParams, not_read: Sequence[str] = ()
) -> str:
    """One sentence on what has been lost since the run that is current, how much, and the cure; '' if nothing much has.

    Args:
        workspace: Holds the current run, if there is one.
        photos: The table ``photos`` of the run under way.
        sources: Where its photos were looked for.
        params: How much is too much.
        not_read: Sources and label files that are there and could not be read, so that nobody knows what was lost.
    """
    current = read_current(workspace, "photos")
    if current is None:
        current = photos.slice(0, 0)
    losses = [f"{place} cannot be read" for place in not_read]
    losses += [str(loss) for loss in _losses(current, photos, params) if loss.too_many(params.least_photos)]
    if not losses:
        return ""
    since = f" since run {current['run_id'][0]}" if current.num_rows else ""
    return (
        f"Kept aside, nothing is published{since}: {', and '.join(losses)}; check that every folder of "
        f"{', '.join(sources)} is mounted, readable and whole, metadata included, and run again, or run with --accept if this "
        "is as it should be."
    )


def _losses(current: pa.Table, photos: pa.Table, params: GateParams) -> list[_Loss]:
    """Photos are the same if their content is, or if they lie where they did."""
    before, now = current.select(COLUMNS).to_pylist(), photos.select(COLUMNS).to_pylist()
    ids, places = {row["photo_id"] for row in now}, {uri for row in now for uri in row["uris"]}
    usable = {row["photo_id"] for row in now if row["status"] == PhotoStatus.OK}
    rejected = {
        uri
        for row in now
        if row["status"] != PhotoStatus.OK and row["reason"] != PhotoReason.TAKEN_OUT
        for uri in row["uris"]
    }
    places_before = {uri for row in before for uri in row["uris"]}
    readable = [row for row in before if row["status"] == PhotoStatus.OK]
    fresh = [row for row in now if places_before.isdisjoint(row["uris"])]
    gone = [row["uri"] for row in before if row["photo_id"] not in ids and places.isdisjoint(row["uris"])]
    damaged = [r["uri"] for r in readable if r["photo_id"] not in usable and not rejected.isdisjoint(r["uris"])]
    not_opened = [row["uri"] for row in fresh if row["reason"] == PhotoReason.UNREADABLE]
    gallery, gallery_now = nightly_cohort(current).gallery, nightly_cohort(photos).gallery
    lost = gallery - gallery_now
    nameless = [row["uri"] for row in before if row["photo_id"] in lost]
    shrunk = nameless[: max(0, len(gallery) - len(gallery_now))]
    return [
        _Loss(gone, len(before), params.max_vanished, "photos are gone", 1),
        _Loss(damaged, len(readable), params.max_unreadable, "photos that were readable are not any more", 2),
        _Loss(not_opened, len(fresh), params.max_unreadable, "new photos cannot be opened", inf),
        _Loss(shrunk, len(gallery), params.max_gallery_loss, "photos of known animals are lost to the gallery", 2),
    ]
