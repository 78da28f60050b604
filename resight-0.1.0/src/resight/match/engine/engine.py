"""LightGlue as a whole: encode photos, match pairs, tiles of pairs and shortlists."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from resight.errors import WeightsError
from resight.match.base import Matches
from resight.match.engine.adaptive import AdaptiveMatch, run_adaptive
from resight.match.engine.attention import Kernel
from resight.match.engine.batch import Encoded, PairBatch, Scores, Stack, batch_of, batch_of_one
from resight.match.engine.checkpoint import Architecture, read_checkpoint
from resight.match.engine.compiled import compile_layers, few_sizes, power_of_two_down
from resight.match.engine.fold import fold
from resight.match.engine.halving import Halving, run_halving
from resight.match.engine.memory import keep_freed_memory
from resight.match.engine.network import Network
from resight.match.engine.plan import Chunk, bucket_of, plan_tile
from resight.match.engine.summary import FIELDS, TileSummary, summarise

Array = np.ndarray | Tensor
CUDA_BATCH_BYTES = 4 << 30
CUDA_MAX_BATCH = 256
CPU_BATCHED_KEYPOINTS = 256
CPU_BATCH = 8
OUTSIDE = 1 + 1e-6
Look = Callable[[np.ndarray, Scores], None]


class LightGlueEngine:
    """LightGlue (Lindenberger et al., ICCV 2023) with scores that no other pair and no padding can change.

    Threads may share an engine.
    """

    def __init__(self, network: Network, device: torch.device, compiled: bool = False) -> None:
        self.network, self.device = network, device
        self._compiled = compile_layers(network, device) if compiled else None

    @classmethod
    def from_state_dict(
        cls,
        state: dict[str, Tensor],
        *,
        num_heads: int | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        kernel: Kernel | None = None,
        compiled: bool = False,
    ) -> LightGlueEngine:
        """Build from a checkpoint as kornia and cvg/LightGlue use it.

        Args:
            state: Tensors by name.
            num_heads: Checked against that of the file.
            device: Where to run.
            dtype: Of products and attention: float32 and float64 are exact; float16 and bfloat16 move scores by percents.
            kernel: ``blocked`` (CPU only) or ``sdpa``; None takes the faster one that is exact there.
            compiled: Compile the layers once per batch shape, on CUDA into a CUDA graph each; seconds to minutes per shape, and
                on CPU a C++ compiler is needed.

        Raises:
            WeightsError: The checkpoint is not a LightGlue model, or has other heads than ``num_heads``.
        """
        arch, named = read_checkpoint(state, num_heads)
        where = torch.device(device)
        if where.type == "cpu":
            keep_freed_memory()
        fits_blocked = where.type == "cpu" and dtype in (torch.float32, torch.float64) and not compiled
        chosen = kernel or ("blocked" if fits_blocked else "sdpa")
        if chosen == "blocked" and not fits_blocked:
            raise ValueError(
                f"kernel 'blocked' runs on CPU in float32 or float64 and is not compiled (given: {where.type}, {dtype}); leave kernel out"
            )
        return cls(Network(arch, fold(arch, named, dtype, where), chosen, dtype), where, compiled)

    @property
    def arch(self) -> Architecture:
        return self.network.arch

    @property
    def precision(self) -> str:
        """Type of products and attention, for the record: scores of ``float16`` and ``bfloat16`` differ by percents."""
        return str(self.network.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def encode(
        self,
        keypoints_px: Array,
        descriptors: Array,
        size_wh: tuple[float, float],
        scales: Array | None = None,
        oris: Array | None = None,
    ) -> Encoded:
        """What depends on one photo only: do it once per photo.

        Args:
            keypoints_px: (N, 2), x right, y down, N from 0 on.
            descriptors: (N, input_dim).
            size_wh: Width and height of the picture that the keypoints lie in.
            scales: (N,), as the checkpoint was trained with; only for checkpoints with scale and orientation.
            oris: (N,), radians, likewise.

        Raises:
            ValueError: Shapes do not fit, keypoints lie outside the picture, or scales are missing.
        """
        state = torch.promote_types(self.network.dtype, torch.float32)
        xy, inputs = (torch.as_tensor(t).to(self.device, state) for t in (keypoints_px, descriptors))
        if xy.ndim != 2 or xy.shape[1] != 2 or inputs.shape != (xy.shape[0], self.arch.input_dim):
            raise ValueError(
                f"keypoints are {tuple(xy.shape)} and descriptors {tuple(inputs.shape)}, expected (N, 2) and (N, {self.arch.input_dim})"
            )
        positions = self._positions(xy, size_wh, scales, oris)
        return self.network.encode(positions, inputs)

    def _positions(self, xy: Tensor, size_wh: tuple[float, float], scales: Array | None, oris: Array | None) -> Tensor:
        size = torch.tensor([float(s) for s in size_wh], dtype=xy.dtype, device=xy.device)
        xy = (xy - size / 2) / (max(float(s) for s in size_wh) / 2)
        if len(xy) and not float(xy.abs().max()) <= OUTSIDE:
            raise ValueError(
                f"keypoints lie outside the picture of {size_wh[0]} x {size_wh[1]} px; size_wh is (width, height)"
            )
        if not self.arch.scale_ori:
            return xy
        if scales is None or oris is None:
            raise ValueError("this LightGlue checkpoint reads scales and orientations; the extractor must give both")
        return torch.cat([xy, *(torch.as_tensor(t).to(xy).reshape(-1, 1) for t in (scales, oris))], 1)

    @torch.inference_mode()
    def match(self, a: Sequence[Encoded], b: Sequence[Encoded], fill: float = 0.0) -> Scores:
        """Match ``a[i]`` with ``b[i]`` in one batch.

        Args:
            a, b: As many of one as of the other; any keypoint counts, 0 too.
            fill: What padding holds; no result depends on it.
        """
        if len(a) != len(b) or not a:
            raise ValueError(f"match takes pairs: {len(a)} photos on one side, {len(b)} on the other")
        if len(a) == 1:
            return self._finish(batch_of_one(a[0], b[0]))
        everyone = torch.arange(len(a), device=self.device)
        sides = []
        for photos in (a, b):
            length = max(1, *map(len, photos))
            sides.append(Stack.of(photos, length, fill).take(range(len(photos)), everyone, length))
        return self._finish(batch_of(*sides))

    def _finish(self, batch: PairBatch) -> Scores:
        last = self.arch.n_layers
        if self._compiled is None:
            return self.network.assign(self.network.run(batch, 0, last), last - 1)
        x = self._compiled(batch.without_counts(), 0, last)
        return self.network.assign(batch.with_x(x), last - 1)

    def match_pair(self, a: Encoded, b: Encoded) -> Matches:
        """All mutual matches of a pair: the evidence for people to look at."""
        return matches_of(self.match([a], [b]))[0]

    @torch.inference_mode()
    def match_tile(
        self,
        queries: Sequence[Encoded],
        gallery: Sequence[Encoded],
        pairs: np.ndarray,
        bins: int,
        batch_size: int | None = None,
        look: Look | None = None,
    ) -> TileSummary:
        """Match many pairs of a block of queries with a block of the gallery, and keep what table ``pairs`` stores.

        On CUDA nothing is read back before the tile is done, unless ``look`` does so.

        Args:
            queries, gallery: Encoded photos.
            pairs: (P, 2) int, which query with which gallery photo.
            bins: Bins of the histogram over (0, 1].
            batch_size: Pairs at once; None fits it to the device.
            look: Called with the places in ``pairs`` of each batch and its matches.
        """
        pairs = np.ascontiguousarray(pairs, np.int64).reshape(-1, 2)
        rows = torch.zeros(len(pairs), len(FIELDS) + bins, dtype=torch.float64, device=self.device)
        counts_a, counts_b = ([len(p) for p in photos] for photos in (queries, gallery))
        fits = (lambda *_: batch_size) if batch_size else self._batch_size
        if self.network.kernel == "blocked":
            for chunk in plan_tile(counts_a, counts_b, pairs, fits, step=1):
                chosen = pairs[chunk.rows]
                scores = self.match([queries[i] for i in chosen[:, 0]], [gallery[j] for j in chosen[:, 1]])
                rows[torch.from_numpy(chunk.rows)] = summarise(scores.confidence, bins)
                if look is not None:
                    look(chunk.rows, scores)
        elif chunks := plan_tile(counts_a, counts_b, pairs, fits):
            self._stacked(queries, gallery, pairs, chunks, rows, bins, look)
        return TileSummary.from_rows(rows)

    def _stacked(
        self,
        queries: Sequence[Encoded],
        gallery: Sequence[Encoded],
        pairs: np.ndarray,
        chunks: list[Chunk],
        rows: Tensor,
        bins: int,
        look: Look | None,
    ) -> None:
        """Photos lie on the device once; a batch is a gather there."""
        stacks = [Stack.of(queries, bucket_of(max(map(len, queries))))]
        stacks.append(stacks[0] if gallery is queries else Stack.of(gallery, bucket_of(max(map(len, gallery)))))
        on_device = torch.as_tensor(pairs).to(self.device)
        for chunk in chunks:
            together = few_sizes(chunk.rows) if self._compiled else chunk.rows
            where = torch.from_numpy(together).to(self.device, non_blocking=True)
            index, lengths = on_device[where], (chunk.length_a, chunk.length_b)
            sides = [stacks[s].take(pairs[together, s].tolist(), index[:, s], lengths[s]) for s in range(2)]
            scores, n = self._finish(batch_of(*sides)), len(chunk.rows)
            rows[where[:n]] = summarise(scores.confidence, bins)[:n]
            if look is not None:
                look(chunk.rows, Scores(scores.confidence[:n], scores.partner[:n]))

    def _batch_size(self, length_a: int, length_b: int) -> int:
        """Pairs of these padded lengths that fit into `CUDA_BATCH_BYTES`.

        On CPU a batch only saves calls: a third of the time at 128 keypoints, a tenth at 256, nothing from 512 on.
        """
        if self.device.type == "cpu":
            return 1 if max(length_a, length_b) > CPU_BATCHED_KEYPOINTS else CPU_BATCH
        pair_bytes = 4 * (3 * length_a * length_b + 16 * (length_a + length_b) * self.arch.width)
        size = max(1, min(CUDA_MAX_BATCH, CUDA_BATCH_BYTES // pair_bytes))
        return power_of_two_down(size) if self._compiled else size

    @torch.inference_mode()
    def match_adaptive(
        self, a: Encoded, b: Encoded, depth_confidence: float, width_confidence: float, min_keypoints: int = -1
    ) -> AdaptiveMatch:
        """One pair with early exit and point pruning, as the original runs them.

        Faster, but scores then depend on the layer that a pair stopped at; do not mix them with full scores.

        Args:
            a, b: Photos.
            depth_confidence: Stop when this share of keypoints is settled; -1 is off.
            width_confidence: Drop keypoints that are this surely unmatchable; -1 is off.
            min_keypoints: Prune photos with more keypoints than this.

        Raises:
            WeightsError: The checkpoint lacks the heads of inner layers.
        """
        inner = range(self.arch.n_layers - 1)
        if depth_confidence > 0 and not all(self.arch.token_heads):
            raise WeightsError(
                "Early exit needs token confidences at every layer, and this LightGlue checkpoint has none; set depth_confidence = -1."
            )
        self.require_heads(inner, "Early exit and point pruning need")
        return run_adaptive(self.network, batch_of_one(a, b), depth_confidence, width_confidence, min_keypoints)

    @torch.inference_mode()
    def match_halving(
        self,
        query: Encoded,
        gallery: Sequence[Encoded],
        keep: Sequence[tuple[int, float]],
        batch_size: int | None = None,
        gallery_first: Sequence[bool] = (),
    ) -> Halving:
        """Match a query with a shortlist, dropping the weaker candidates on the way through the layers.

        Args:
            query: Encoded photo.
            gallery: Candidates.
            keep: Rounds ``(layers, fraction)``: after so many layers keep that fraction of the candidates still there.
            batch_size: Candidates at once; None fits it to the device.
            gallery_first: Per candidate, whether it is photo a and the query photo b; empty: none is.
                Scores then are bitwise those of matching in that order, and ``confidences`` are of the candidate's keypoints.

        Raises:
            WeightsError: The checkpoint lacks a head at one of the layers.
        """
        self.require_heads([layers - 1 for layers, _ in keep], "Successive halving needs")
        size = batch_size or (
            1
            if self.network.kernel == "blocked"
            else self._batch_size(bucket_of(len(query)), bucket_of(max(map(len, gallery), default=0)))
        )
        return run_halving(self.network, query, gallery, keep, size, gallery_first)

    def require_heads(self, layers: Sequence[int], what: str) -> None:
        """Refuse ``layers`` (from 0) without a trained assignment head; ``what`` begins the sentence.

        Raises:
            ValueError: There is no such layer.
            WeightsError: The checkpoint lacks a head there, or holds an untrained one.
        """
        for layer in layers:
            if not 0 <= layer < self.arch.n_layers:
                raise ValueError(f"there is no layer {layer + 1}; this checkpoint has {self.arch.n_layers}")
            if not self.arch.assignment_heads[layer]:
                raise WeightsError(
                    f"{what} a trained assignment head at layer {layer + 1}, which this LightGlue checkpoint lacks; use full matching."
                )
            if not self.arch.trained_heads[layer]:
                raise WeightsError(
                    f"{what} a trained assignment head at layer {layer + 1}, and this LightGlue checkpoint holds a fresh initialisation there; use full matching."
                )


def matches_of(scores: Scores) -> list[Matches]:
    """All mutual matches of each pair of a batch by ``index_a``, read back at once."""
    partner, confidence = scores.partner.cpu().numpy(), scores.confidence.float().cpu().numpy()
    index = [np.flatnonzero(row > 0) for row in confidence]
    return [
        Matches(of_a.astype(np.int32), of_b[of_a].astype(np.int32), sure[of_a])
        for of_a, of_b, sure in zip(index, partner, confidence, strict=True)
    ]
