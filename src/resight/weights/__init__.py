"""Weights: which files there are, where to get them, and the proof that they are the right ones.

Names are looked up when they are first used, so that reading the settings loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
