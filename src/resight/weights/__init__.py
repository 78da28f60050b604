"""Weights: which files there are, where to get them, and the proof that they are the right ones.

Names are looked up when they are first used, so that reading the settings loads nothing heavy.
"""

from typing import TYPE_CHECKING

from resight.lazy import lazy

if TYPE_CHECKING:
    from resight.weights.listing import WeightRow, fetch, list_weights, verify
    from resight.weights.loading import strict_load
    from resight.weights.store import WeightFile, WeightStore

_HOME = {
    "WeightFile": "store",
    "WeightRow": "listing",
    "WeightStore": "store",
    "fetch": "listing",
    "list_weights": "listing",
    "strict_load": "loading",
    "verify": "listing",
}

__all__ = ["WeightFile", "WeightRow", "WeightStore", "fetch", "list_weights", "strict_load", "verify"]

__getattr__ = lazy(__name__, _HOME)
