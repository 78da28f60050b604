"""Stage ``segment``: from a photo to upright, padded crops of the animal, each with a mask.

Names are looked up when they are first used, so that reading the settings loads neither OpenCV nor a network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resight.segment.geometry import crop_to_photo, photo_to_crop
    from resight.segment.stage import SegmentResult, segment
    from resight.segment.store import read_crop

_HOME = {
    "SegmentResult": "stage",
    "crop_to_photo": "geometry",
    "photo_to_crop": "geometry",
    "read_crop": "store",
    "segment": "stage",
}

__all__ = ["SegmentResult", "crop_to_photo", "photo_to_crop", "read_crop", "segment"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
