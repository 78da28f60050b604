"""LightGlue (Lindenberger et al., ICCV 2023), pair by pair, from any checkpoint that kornia's class can hold."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from resight.errors import SettingsError, WeightsError
from resight.extract.base import Features
from resight.extract.torch_base import torch_device
from resight.match.base import Matcher, Matches, PairMatch
from resight.match.engine.checkpoint import kornia_names
from resight.match.inputs import lightglue_inputs
from resight.match.presets import NetworkShape, ScaleOri, read_architecture, scale_ori_of
from resight.match.verify import verified_match
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    from resight.match.kinds.lightglue import LightGlueParams

SHOWN = 4


class LightGlueMatcher:
    """The confidence of a match is LightGlue's matching score, in float32, before any threshold.

    kornia zeroes the score of keypoints that are not mutual and leaves all others as they are, whatever
    ``filter_threshold`` is, which only removes indices. It is 0 here, so every mutual match comes back.
    Attention runs in the model's own float32: the flash variant would cast to float16 on CUDA without saying so.
    """

    def __init__(
        self, model: torch.nn.Module, architecture: NetworkShape, params: LightGlueParams, family: str, device: str
    ) -> None:
        self.model = model.eval().to(device)
        self.architecture, self.params, self.device = architecture, params, device
        self.scale_ori: ScaleOri = scale_ori_of(family) if architecture.add_scale_ori else "none"

    def match(self, a: Features, b: Features) -> PairMatch:
        """Match two crops.

        Raises:
            SettingsError: The descriptors are not as wide as the network expects.
        """
        matches = self._run(a, b) if len(a) and len(b) else Matches.none()
        return verified_match(a, b, matches, self.params.verify)

    @torch.inference_mode()
    def _run(self, a: Features, b: Features) -> Matches:
        out = self.model({"image0": self._inputs(a), "image1": self._inputs(b)})
        partner = out["matches0"][0].cpu().numpy()
        score = out["matching_scores0"][0].float().cpu().numpy()
        index_a = np.flatnonzero((partner >= 0) & (score > 0))
        # Rounding can lift exp(log p) a hair above 1.
        return Matches(index_a, partner[index_a], np.minimum(score[index_a], np.float32(1)))

    def _inputs(self, features: Features) -> dict[str, torch.Tensor]:
        """Keypoints in pixels with image size (width, height); the model normalises by the longer side."""
        crop = lightglue_inputs(features, self.architecture.input_dim, self.scale_ori)
        inputs = {"keypoints": crop.keypoints, "descriptors": crop.descriptors, "image_size": crop.size_wh}
        if crop.scales is not None and crop.oris is not None:
            inputs |= {"scales": crop.scales, "oris": crop.oris}
        return {key: torch.tensor(value, device=self.device)[None] for key, value in inputs.items()}


def build_lightglue(params: LightGlueParams, weights: WeightStore, family: str, device: str) -> Matcher:
    """Load the checkpoint of ``params`` for ``family`` into the engine or the library that they name.

    Raises:
        WeightsError: The file is missing or is no whole LightGlue checkpoint.
        SettingsError: A setting contradicts the file, or the backend is not installed.
        DeviceError: The device is not there.
    """
    torch_device(device)
    name = params.weight_names_for(family)[0]
    state = kornia_names(weights.state_dict(name))
    architecture = read_architecture({key: tuple(value.shape) for key, value in state.items()}, name)
    if params.backend == "resight":
        return _engine(state, architecture, params, family, device)
    model = _empty_model(architecture, params)
    load_strictly(model, state, architecture, params.exits_early, name)
    return LightGlueMatcher(model, architecture, params, family, device)


def _engine(
    state: dict[str, torch.Tensor], architecture: NetworkShape, params: LightGlueParams, family: str, device: str
) -> Matcher:
    from resight.match.engine.engine import LightGlueEngine
    from resight.match.engine_matcher import EngineMatcher

    dtype = getattr(torch, params.precision)
    engine = LightGlueEngine.from_state_dict(
        state, num_heads=architecture.num_heads, device=device, dtype=dtype, compiled=params.compiled
    )
    return EngineMatcher(engine, architecture, params, family)


def load_strictly(
    model: torch.nn.Module, state: dict[str, torch.Tensor], architecture: NetworkShape, early_exit: bool, name: str
) -> None:
    """Fill ``model``; every tensor must be there and fit.

    Only the heads of inner layers may be missing, and only while no layer but the last is used: some published files were
    cut. Files that were saved again after such a load hold these heads, but they were never trained.

    Raises:
        WeightsError: Tensors are missing, unknown, of another shape, or needed and never trained.
    """
    own = model.state_dict()
    may_lack = {"confidence_thresholds"} | (set() if early_exit else _inner_heads(own, architecture.n_layers))
    problems = {
        "lacks": sorted(own.keys() - state.keys() - may_lack),
        "has unknown tensors": sorted(state.keys() - own.keys()),
        "has another shape of": sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape),
        "has untrained heads": _untrained(state, architecture) if early_exit else [],
    }
    for problem, keys in problems.items():
        if keys:
            cure = "set match.depth_confidence = match.width_confidence = -1, or " if early_exit else ""
            shown = ", ".join(keys[:SHOWN]) + (" …" if len(keys) > SHOWN else "")
            raise WeightsError(
                f"The LightGlue checkpoint '{name}' {problem}: {shown} ({len(keys)} in all); {cure}"
                "set match.weights to a whole file."
            )
    model.load_state_dict(state, strict=False)


def _inner_heads(own: dict[str, torch.Tensor], n_layers: int) -> set[str]:
    last = f"log_assignment.{n_layers - 1}."
    return {key for key in own if key.startswith(("log_assignment.", "token_confidence.")) and not key.startswith(last)}


def _untrained(state: dict[str, torch.Tensor], architecture: NetworkShape) -> list[str]:
    """Heads whose thousands of weights all lie within 1/sqrt(width), where torch starts them and no training ends."""
    bound = architecture.descriptor_dim**-0.5 * 1.0001
    keys = [f"log_assignment.{i}.final_proj.weight" for i in range(architecture.n_layers)]
    return [key for key in keys if key in state and float(state[key].abs().max()) <= bound]


def _empty_model(architecture: NetworkShape, params: LightGlueParams) -> torch.nn.Module:
    # A named preset would overrule these arguments in both libraries, so none is named.
    conf: dict[str, Any] = asdict(architecture) | {
        "depth_confidence": params.depth_confidence,
        "width_confidence": params.width_confidence,
        "filter_threshold": 0.0,
        "flash": False,
        "mp": False,
    }
    model: torch.nn.Module = _light_glue_class(params.backend)(None, **conf)
    return model


def _light_glue_class(backend: str) -> Any:
    if backend == "kornia":
        from kornia.feature import LightGlue

        return LightGlue
    try:
        return importlib.import_module("lightglue").LightGlue
    except ImportError:
        raise SettingsError(
            "match.backend = 'lightglue' needs the lightglue package: run "
            "`pip install git+https://github.com/cvg/LightGlue`, or set match.backend = 'kornia'."
        ) from None
