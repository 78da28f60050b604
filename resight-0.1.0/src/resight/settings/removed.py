"""Settings that are gone. What stands in old files and stores stops nobody."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from resight.settings.explain import dotted

log = logging.getLogger("resight")

_FROM_FILE = "the shape of the network is read from its file"

# What each held unless somebody changed it, and how it is now.
REMOVED: dict[str, tuple[Any, str]] = {
    "ingest.photos_per_task": (32, "32 photos are read at a time"),
    "segment.work_side_px": (320, "GrabCut works on a copy of 320 px"),
    "segment.iterations": (3, "GrabCut makes 3 rounds"),
    "segment.border_fraction": (0.06, "GrabCut takes 6 % of the frame for background"),
    "segment.min_area_fraction": (0.01, "GrabCut leaves out what covers less than 1 % of the photo"),
    "segment.wide_sides_px": ([96, 192, 384], "the head finder first looks at copies of 96, 192 and 384 px"),
    "segment.look_again_deg": (60, "heads turned by more than 60 degrees are looked at again upright"),
    "segment.turn_from_deg": (60, "heads turned by less than 60 degrees stay as they lie in the photo"),
    "segment.max_overlap": (0.5, "of two boxes that share more than half, the weaker one is dropped"),
    "segment.max_regions": (4, "a photo has four regions at most"),
    "extract.edge_threshold": (10.0, "SIFT's edge threshold is 10"),
    "extract.nms_radius_px": (4, "SuperPoint keeps one keypoint within 4 px"),
    "match.verify.iterations": (2000, "at most 2000 samples are tried"),
    "match.verify.confidence": (0.999, "sampling stops when the best geometry is found with 99.9 % certainty"),
    "match.input_dim": (0, _FROM_FILE),
    "match.descriptor_dim": (0, _FROM_FILE),
    "match.n_layers": (0, _FROM_FILE),
    "match.num_heads": (0, _FROM_FILE),
    "match.add_scale_ori": (None, _FROM_FILE),
    "shortlist.retrain_growth": (4.0, "the index is trained anew when the gallery has grown fourfold"),
    "report.thumbnail_px": (360, "pictures on the page are 360 px long"),
    "novelty.without_guarantee": (
        "unsure", "a name without the guarantee of novelty.alpha is called likely"
    ),
    "dask.window_per_worker": (2, "each worker has two blocks at a time"),
}  # fmt: skip


def without_removed(
    data: Mapping[str, Any], error: ValidationError, where: str, stored: bool
) -> tuple[dict[str, Any], list[str]]:
    """The settings without those that ``error`` refuses because they are gone, and what to say about it."""
    refused = [dotted(p["loc"]) for p in error.errors() if p["type"] == "extra_forbidden"]
    kept, sentences = dict(data), []
    for name in [n for n in refused if n in REMOVED]:
        kept, value = _without(kept, name.split("."))
        usual, now = REMOVED[name]
        if value != usual and str(value) != str(usual):
            sentences.append(f"{where}: '{name}' is not a setting any more; {value!r} is ignored: {now}.")
        elif not stored:
            sentences.append(
                f"{where}: '{name}' is not a setting any more; it had its usual value, so nothing changes. "
                "You can remove it there."
            )
    return kept, sentences


@cache
def say_once(sentence: str) -> None:
    """Show a sentence; settings are read several times in one command."""
    log.warning("%s", sentence)


def _without(data: Mapping[str, Any], path: list[str]) -> tuple[dict[str, Any], Any]:
    rest = dict(data)
    if len(path) == 1:
        return rest, rest.pop(path[0])
    rest[path[0]], value = _without(rest[path[0]], path[1:])
    return rest, value
