"""Weights with what they were made of beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from resight.store.parts import write_bytes


def write_with_record(target: Path, content: bytes, record: Mapping[str, Any]) -> None:
    """Write ``target``, and ``record`` as JSON under the same name."""
    write_bytes(target, content)
    write_bytes(target.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())


def machine(device: str) -> dict[str, Any]:
    """What the last digits of a training hang on."""
    return {"device": device, "threads": torch.get_num_threads(), "torch": torch.__version__}
