"""Which animals a weights file has learned from: named in its header, so that the file says it wherever it lies."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError, safe_open

from resight.errors import WeightsError

HEADER = "individuals"


def header_of(individuals: Collection[str]) -> dict[str, str]:
    """What a safetensors file is written with."""
    return {HEADER: json.dumps(sorted(individuals), ensure_ascii=False)}


def trained_on(path: Path) -> frozenset[str]:
    """Animals whose named photos the file was trained on; none where it does not say, as files of other makers do not.

    Raises:
        WeightsError: The file is damaged.
    """
    if path.suffix != ".safetensors":
        return frozenset()
    try:
        with safe_open(path, "np") as file:
            return frozenset(json.loads((file.metadata() or {}).get(HEADER, "[]")))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is no whole safetensors file ({error}); train it again.") from None
