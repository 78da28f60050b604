"""Any network of the ``timm`` package by name, not trained further; its weights must lie on this machine."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from resight.compare.base import Family, Trial
from resight.compare.vectors import Embedder, VectorMethod
from resight.errors import MissingWeightsError, SettingsError
from resight.store.fingerprint import fingerprint
from resight.train.pixels import to_tensor
from resight.weights.digests import sha256_of
from resight.weights.loading import load_tensors, strict_load

PREFIX = "timm:"
DEFAULT_MODEL = "convnext_nano.in12k_ft_in1k"
FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class TimmMethod(VectorMethod):
    """Features of a network without its classifier.

    Attributes:
        model: What timm calls it, e.g. ``convnext_nano.in12k_ft_in1k``.
        path: File with its weights; empty looks into the local Hugging Face cache, and never further.
    """

    model: str
    path: str = ""

    def describe(self, trial: Trial) -> Any:
        return ["timm", self.model]

    def digests(self, trial: Trial) -> dict[str, str]:
        return {self.model: sha256_of(self.file(trial))}

    def embedder(self, trial: Trial) -> Embedder:
        return TimmEmbedder(self.model, self.file(trial), trial.env.device)

    def file(self, trial: Trial) -> Path:
        """Where the weights lie.

        Raises:
            MissingWeightsError: They are not on this machine.
            SettingsError: timm is not installed, or knows no such model.
        """
        if self.path:
            return trial.env.weights.find(self.path).path
        hub = _hub_id(self.model)
        lookup = importlib.import_module("huggingface_hub").try_to_load_from_cache if hub else lambda *_: None
        files = [file for name in FILES if isinstance(file := lookup(hub, name), str)]
        if not files:
            get = f"run `hf download {hub}` on a machine with internet and copy its cache, or " if hub else ""
            raise MissingWeightsError(
                f"The weights of the timm model '{self.model}' are not on this machine; {get}give a file with "
                f"--methods {PREFIX}{self.model}=FILE."
            )
        return Path(files[0])


class TimmEmbedder(Embedder):
    """A timm network with weights from a file."""

    def __init__(self, model: str, file: Path, device: str) -> None:
        self._net = load_timm(model, load_tensors(file)).eval().to(device)
        cfg: Mapping[str, Any] = self._net.pretrained_cfg  # type: ignore[assignment]
        self.side_px = int(cfg["input_size"][-1])
        self.name = fingerprint("TimmEmbedder", model, sha256_of(file), self.side_px, device)
        self._device = device
        self._mean, self._std = (
            torch.tensor(cfg[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std")
        )  # fmt: skip

    @torch.inference_mode()
    def vectors(self, rgb: np.ndarray) -> np.ndarray:
        features: Tensor = self._net((to_tensor(rgb, self._device) - self._mean) / self._std)
        return np.asarray(F.normalize(features.float(), dim=1).cpu())


def load_timm(model: str, state: Mapping[str, Tensor]) -> torch.nn.Module:
    """The network without its classifier, filled strictly but for the classifier's own tensors.

    Raises:
        SettingsError: timm is not installed, or knows no such model.
        WeightsError: The tensors belong to another network.
    """
    timm = _timm()
    whole = _create(timm, model)
    classifier = whole.pretrained_cfg.get("classifier") or "head"
    prefixes = tuple(f"{c}." for c in ([classifier] if isinstance(classifier, str) else classifier))
    net: torch.nn.Module = timm.create_model(model, pretrained=False, num_classes=0)
    kept = {k: v for k, v in state.items() if not k.startswith(prefixes)}
    strict_load(net, kept, name=f"the file of {model}")
    return net


def _hub_id(model: str) -> str:
    cfg = _create(_timm(), model).pretrained_cfg
    return str(cfg.get("hf_hub_id") or "")


def _create(timm: Any, model: str) -> Any:
    try:
        with torch.device("meta"):  # only its description is wanted
            return timm.create_model(model, pretrained=False)
    except RuntimeError as error:
        raise SettingsError(f"timm knows no model '{model}' ({error}); `timm.list_models()` shows the names.") from None


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise SettingsError("timm is not installed; run `pip install 'resight[timm]'`.") from None
    except RuntimeError as error:  # a torchvision that was built for another torch
        raise SettingsError(
            f"timm cannot be imported ({str(error).splitlines()[0]}); install the torchvision that belongs to your torch."
        ) from None


def timm_method(name: str) -> TimmMethod:
    """From ``timm:MODEL`` or ``timm:MODEL=FILE``."""
    match = re.fullmatch(rf"{PREFIX}([^=]+)(?:=(.+))?", name)
    if match is None:
        raise SettingsError(f"'{name}' names no timm model; write it as {PREFIX}MODEL or {PREFIX}MODEL=FILE.")
    model, path = match[1], match[2] or ""
    return TimmMethod(f"{PREFIX}{model}", f"{model} (timm), as it comes", Family.GLOBAL, False, model, path)


METHODS = (timm_method(f"{PREFIX}{DEFAULT_MODEL}"),)
