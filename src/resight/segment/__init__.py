"""Stage ``segment``: from a photo to upright, padded crops of the animal, each with a mask.

Names are looked up when they are first used, so that reading the settings loads neither OpenCV nor a network.
"""

from typing import TYPE_CHECKING

from resight.lazy import lazy

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

__getattr__ = lazy(__name__, _HOME)
