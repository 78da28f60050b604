"""The fast exact LightGlue in the pipeline: crops are encoded once and kept, pairs are summarised tile by tile."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from resight.errors import SettingsError
from resight.extract.base import Features
from resight.match.base import Matches, PairMatch
from resight.match.engine.batch import Encoded, Scores
from resight.match.engine.engine import LightGlueEngine, matches_of
from resight.match.engine.summary import FIELDS, TileSummary, summarise
from resight.match.inputs import lightglue_inputs
from resight.match.params import GRADED
from resight.match.presets import NetworkShape, scale_ori_of
from resight.match.summary import SUMMARY_SCHEMA
from resight.match.verify import fit_of, verified_match
from resight.store.selective import conformed

if TYPE_CHECKING:
    from resight.match.kinds.lightglue import LightGlueParams

CPU_CACHE_BYTES = 512 << 20
GPU_CACHE_SHARE = 0.3


class EngineMatcher:
    """Scores of `LightGlueEngine`; on CPU in float32 a pair's scores are bitwise the same in any tile."""

    def __init__(
        self, engine: LightGlueEngine, architecture: NetworkShape, params: LightGlueParams, family: str
    ) -> None:
        self.engine, self.params = engine, params
        self.input_dim = architecture.input_dim
        self.scale_ori = scale_ori_of(family) if architecture.add_scale_ori else "none"
        self._encoded: OrderedDict[str, Encoded] = OrderedDict()
        self._held_bytes = 0
        self._limit_bytes = _cache_bytes(engine.device)
        if params.halving:
            self._check_rounds()

    @property
    def tiles(self) -> bool:
        """Whether pairs may be matched many at a time: not where each one stops at its own layer."""
        return not self.params.exits_early

    def match(self, a: Features, b: Features) -> PairMatch:
        """Match two crops and give back every mutual match."""
        return verified_match(a, b, _at_most_one(self._run(self.encode(a), self.encode(b))), self.params.verify)

    def match_tile(
        self, crops: Sequence[tuple[str, Features]], index_a: np.ndarray, index_b: np.ndarray, bins: int
    ) -> pa.Table:
        """`SUMMARY_SCHEMA` rows of many pairs of the same crops.

        Where geometry is tried, the matches of each batch are read back for it; otherwise they never leave the device.

        Args:
            crops: (crop_id, features); what was encoded is kept under its crop_id.
            index_a, index_b: (P,) int into ``crops``.
            bins: Bins of the histogram.
        """
        encoded = [self.kept(crop_id, lambda f=features: f) for crop_id, features in crops]  # type: ignore[misc]
        # One by one on CPU: in batches of small crops, which save little, a score's last digits depend on the other pairs.
        alone = 1 if self.engine.device.type == "cpu" else None
        n_inliers, agreement = np.zeros(len(index_a), np.int32), np.zeros(len(index_a))

        def look(places: np.ndarray, scores: Scores) -> None:
            for k, matches in zip(places, matches_of(scores), strict=True):
                pair = crops[index_a[k]][1], crops[index_b[k]][1]
                fit = fit_of(*pair, _at_most_one(matches), self.params.verify)
                n_inliers[k], agreement[k] = fit.inlier.sum(), fit.agreement or 0.0

        geometry = self.params.verify.model
        verified = geometry != "none"
        tile = self.engine.match_tile(
            encoded, encoded, np.stack([index_a, index_b], 1), bins, batch_size=alone, look=look if verified else None
        )
        counts = np.array([len(f) for _, f in crops], np.int32)
        fits: dict[str, np.ndarray] = {"n_inliers": n_inliers} if verified else {}
        fits |= {"agreement": agreement} if geometry == GRADED else {}
        return _summary_rows(tile, counts[index_a], counts[index_b], **fits)

    def halve(
        self, query: tuple[str, Encoded], gallery: Sequence[tuple[str, Encoded]], bins: int
    ) -> tuple[np.ndarray, pa.Table]:
        """Match a query with its candidates, of whom only the better go on after each round of ``halving``.

        Args:
            query, gallery: (crop_id, what `kept` gave). The crop with the smaller id is photo a, as in every stored pair, so
                that on CPU a row is bitwise what `match_tile` gives for that pair.
            bins: Bins of the histogram.

        Returns:
            (S,) int64, candidates that went through all layers, and their S rows of `SUMMARY_SCHEMA`.
        """
        first = [crop_id < query[0] for crop_id, _ in gallery]
        encoded = [candidate for _, candidate in gallery]
        halving = self.engine.match_halving(query[1], encoded, self.params.halving, gallery_first=first)
        through = np.flatnonzero(halving.layers == self.engine.arch.n_layers)
        rows = torch.zeros(len(through), len(FIELDS) + bins, dtype=torch.float64)
        for row, i in enumerate(through):
            rows[row] = summarise(torch.from_numpy(halving.confidences[i])[None], bins)[0]
        sides = np.array([(len(query[1]), len(encoded[i]))[:: -1 if first[i] else 1] for i in through], np.int32)
        n_a, n_b = sides.reshape(-1, 2).T
        return through, _summary_rows(TileSummary.from_rows(rows), n_a, n_b)

    def encode(self, features: Features) -> Encoded:
        """What depends on one crop only.

        Raises:
            SettingsError: The descriptors are not as wide as the network expects.
        """
        crop = lightglue_inputs(features, self.input_dim, self.scale_ori)
        size = (float(crop.size_wh[0]), float(crop.size_wh[1]))
        return self.engine.encode(crop.keypoints, crop.descriptors, size, crop.scales, crop.oris)

    def kept(self, crop_id: str, load: Callable[[], Features]) -> Encoded:
        """What depends on this crop only, from the cache where it is there; ``load`` is called where it is not."""
        encoded = self._encoded.pop(crop_id, None)
        if encoded is None:
            encoded = self.encode(load())
            self._held_bytes += encoded.nbytes
            while self._held_bytes > self._limit_bytes and self._encoded:
                self._held_bytes -= self._encoded.popitem(last=False)[1].nbytes
        self._encoded[crop_id] = encoded  # last in the order, so that the crops used longest ago go first
        return encoded

    def _check_rounds(self) -> None:
        """Refuse rounds that the checkpoint has no trained head for, before any pair is matched.

        Raises:
            SettingsError: A round comes after the last layer or later.
            WeightsError: The head of a layer is missing or was never trained.
        """
        layers, n_layers = [layer for layer, _ in self.params.halving], self.engine.arch.n_layers
        if layers[-1] >= n_layers:
            raise SettingsError(
                f"match.halving has a round after layer {layers[-1]}, and the LightGlue checkpoint has {n_layers} layers; "
                "rounds must come before the last one."
            )
        self.engine.require_heads([layer - 1 for layer in layers], "match.halving needs")

    def _run(self, a: Encoded, b: Encoded) -> Matches:
        if self.params.exits_early and len(a) and len(b):
            early = self.engine.match_adaptive(a, b, self.params.depth_confidence, self.params.width_confidence)
            return Matches(early.index_a, early.index_b, early.confidence)
        return self.engine.match_pair(a, b)


def _at_most_one(matches: Matches) -> Matches:
    """Rounding can lift exp(log p) a hair above 1."""
    return replace(matches, confidence=np.minimum(matches.confidence, np.float32(1)))


def _summary_rows(tile: TileSummary, n_a: np.ndarray, n_b: np.ndarray, **fits: np.ndarray) -> pa.Table:
    """`SUMMARY_SCHEMA` rows of a tile, the keypoint counts of its pairs, and ``fits``: columns of what was found where geometry was tried."""
    columns = {name: getattr(tile, name) for name in SUMMARY_SCHEMA.names if hasattr(tile, name)}
    columns |= {"n_keypoints_a": n_a, "n_keypoints_b": n_b, **fits}
    columns["confidence_max"] = np.minimum(columns["confidence_max"], 1.0)
    return conformed(
        pa.table({name: pa.array(list(v) if v.ndim == 2 else v) for name, v in columns.items()}), SUMMARY_SCHEMA
    )


def _cache_bytes(device: torch.device) -> int:
    if device.type != "cuda":
        return CPU_CACHE_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    return int(GPU_CACHE_SHARE * free)
