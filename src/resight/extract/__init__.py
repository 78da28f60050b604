"""Stage ``extract``: from a crop to keypoints and descriptors, kept in Zarr.

Names are looked up when they are first used, so that reading the settings loads neither OpenCV nor a network.
"""

from typing import TYPE_CHECKING

from resight.lazy import lazy

if TYPE_CHECKING:
    from resight.extract.base import Features
    from resight.extract.reader import FeatureReader
    from resight.extract.stage import ExtractResult, extract, extract_fingerprint

_HOME = {
    "ExtractResult": "stage",
    "FeatureReader": "reader",
    "Features": "base",
    "extract": "stage",
    "extract_fingerprint": "stage",
}

__all__ = ["ExtractResult", "FeatureReader", "Features", "extract", "extract_fingerprint"]

__getattr__ = lazy(__name__, _HOME)
