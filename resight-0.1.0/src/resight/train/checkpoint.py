"""A training under way as one file: its tensors as safetensors, everything else as JSON in the header; nothing is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from resight.errors import WeightsError
from resight.store.fingerprint import fingerprint
from resight.store.parts import write_bytes

HEADER = "resight.training"
FORMAT = 1


def write_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any], recipe: Mapping[str, Any]
) -> None:
    """Replace ``path`` in one rename.

    Args:
        path: The file.
        tensors: By name.
        values: Whatever JSON can say.
        recipe: What decides the training's result; the file carries its fingerprint.
    """
    header = {"format": FORMAT, "fingerprint": fingerprint(recipe), "recipe": recipe, "values": values}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(contiguous, {HEADER: json.dumps(header)}))


def read_checkpoint(path: Path, recipe: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and values as `write_checkpoint` was given them.

    Raises:
        WeightsError: It is no checkpoint of this version, or was written under another recipe, so that going on would be
            another training.
    """
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError:
        header, tensors = {}, {}
    if header.get("format") != FORMAT:
        raise older_version(path)
    if header["fingerprint"] != fingerprint(recipe):
        now = json.loads(json.dumps(recipe))
        changed = sorted(key for key in now.keys() | header["recipe"] if now.get(key) != header["recipe"].get(key))
        raise WeightsError(
            f"{path} belongs to a training with another {' and '.join(changed)}; give the same options as then, or delete "
            "it to train anew."
        )
    return tensors, header["values"]


def older_version(path: Path) -> WeightsError:
    """The error for a checkpoint that this version does not read."""
    return WeightsError(
        f"{path} is the checkpoint of a training by another version of Resight, which this version cannot go on with; delete it "
        "to train anew."
    )
