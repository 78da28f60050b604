"""From a weights file to tensors, and from tensors into a network. Nothing is ever unpickled."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resight.errors import WeightsError

if TYPE_CHECKING:
    import torch

INNER = ("state_dict", "extractor", "model", "matcher", "net")
SHOWN = 4
# Counts training steps; older files lack it and inference never reads it.
NEVER_NEEDED = ("*num_batches_tracked",)


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file, or a torch file with ``weights_only=True``.

    Raises:
        WeightsError: It is damaged, holds no tensors, or could only be read by running code that it contains.
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return _inner(content, path)


def without_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors under ``prefix``, without it; all of them where no name begins so."""
    part = {key.removeprefix(prefix): value for key, value in state.items() if prefix and key.startswith(prefix)}
    return part or dict(state)


def strict_load(
    module: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    allowed_missing: Iterable[str] = (),
    name: str = "the weights file",
) -> None:
    """Fill ``module``; every tensor of it must be there with its shape, and none may be left over.

    Args:
        module: Network to fill.
        state: Tensors by name.
        allowed_missing: Patterns (``fine_matcher.*``) of tensors that the file need not have.
        name: What the message calls the file.

    Raises:
        WeightsError: Something does not fit; names the first few tensors.
    """
    own = module.state_dict()
    patterns = (*allowed_missing, *NEVER_NEEDED)
    problems = {
        "lacks": sorted(k for k in own.keys() - state.keys() if not any(fnmatch(k, p) for p in patterns)),
        "has unknown tensors": sorted(state.keys() - own.keys()),
        "has another shape of": [
            f"{k} ({_shape(state[k])} instead of {_shape(own[k])})"
            for k in sorted(own.keys() & state.keys())
            if own[k].shape != state[k].shape
        ],
    }
    mismatches = [_sentence(problem, keys) for problem, keys in problems.items() if keys]
    if mismatches:
        raise WeightsError(
            f"{name} does not fit {type(module).__name__}: it {', '.join(mismatches)}; choose the file that "
            "belongs to this network (`resight weights list`)."
        )
    module.load_state_dict(dict(state), strict=False)


def _sentence(problem: str, keys: list[str]) -> str:
    return f"{problem} {', '.join(keys[:SHOWN])}{f' and {len(keys) - SHOWN} more' if len(keys) > SHOWN else ''}"


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}); fetch it again.") from None


def _read_torch(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} holds more than tensors, and reading it could run code from the file, so it is refused "
            f"({reason}); save its state_dict as .safetensors and use that."
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path} is not a whole torch file ({str(error).splitlines()[0]}); fetch it again."
        ) from None


def _inner(content: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for _ in range(len(INNER)):
        if not isinstance(content, Mapping) or any(isinstance(v, torch.Tensor) for v in content.values()):
            break
        key = next((k for k in INNER if isinstance(content.get(k), Mapping)), None)
        if key is None:
            break
        content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(v, torch.Tensor) for v in content.values()):
        raise WeightsError(f"{path} holds no tensors by name; choose a file with the network's state_dict.")
    return {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
