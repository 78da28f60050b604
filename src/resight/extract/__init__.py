"""Stage ``extract``: from a crop to keypoints and descriptors, kept in Zarr.

Names are looked up when they are first used, so that reading the settings loads neither OpenCV nor a network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
