"""One vector per crop, compared by its cosine: global embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.compare.base import Method, MethodScores, Timing, Trial, planned_pairs, scores_of
from resight.compare.timing import take_time
from resight.embed.picture import canvas
from resight.match.blocks import single_thread
from resight.runner.progress import track
from resight.store.fingerprint import digest_ids
from resight.store.parts import read_parts, write_part

STAGE = "vectors"
CROPS_PER_PART = 64
VECTOR_SCHEMA = pa.schema([("crop_id", pa.string()), ("vector", pa.list_(pa.float32()))])


class Embedder:
    """Turns square pictures into vectors of unit length.

    Attributes:
        name: Fingerprint of settings and weights.
        side_px: Side of the pictures.
    """

    name: str
    side_px: int

    def picture(self, rgb: np.ndarray, mask: np.ndarray, viewpoint: str) -> np.ndarray:
        """A crop as a square picture, (S, S, 3) uint8: by default in the middle of grey."""
        return canvas(rgb, mask, self.side_px)

    def vectors(self, rgb: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 to (B, D) float32 of unit length."""
        raise NotImplementedError


@dataclass(frozen=True)
class VectorMethod(Method):
    """A global embedding; the subclass says which network."""

    @abstractmethod
    def embedder(self, trial: Trial) -> Embedder:
        """The network, trained or loaded.

        Raises:
            WeightsError: Its weights are missing or wrong.
        """

    def about(self, trial: Trial) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Note and own weights of the row."""
        return "", ()

    def run(self, trial: Trial) -> MethodScores:
        network = self.embedder(trial)
        vectors = embed(trial, network)
        planned = trial.planned(trial.usable)
        scores = scores_of(planned, cosines(planned, vectors))
        note, weights = self.about(trial)
        return MethodScores(trial.usable, scores, _timing(trial, network, vectors, planned), note, weights)


def cosines(planned: pa.Table, vectors: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """``(1 + cosine) / 2`` of the planned pairs: 1 for equal directions, 0 for opposite ones."""
    pairs = planned_pairs(planned)
    if not pairs:
        return {}
    place = {crop_id: i for i, crop_id in enumerate(vectors)}
    every = np.stack(list(vectors.values())).astype(np.float64)
    a, b = np.array([(place[query], place[gallery]) for query, gallery in pairs]).T
    values = (1 + np.einsum("nd,nd->n", every[a], every[b])) / 2
    return dict(zip(pairs, np.clip(values, 0, 1).tolist(), strict=True))


def embed(trial: Trial, network: Embedder) -> dict[str, np.ndarray]:
    """Vector of every crop that takes part; only missing ones are computed, part by part."""
    single_thread()
    folder = trial.env.workspace.stage_dir(STAGE, network.name)
    vectors = _read(folder)
    todo = sorted(trial.paths.keys() - vectors.keys())
    with track("embed", "crops", len(todo), trial.quiet) as tracker:
        for start in range(0, len(todo), CROPS_PER_PART):
            ids = todo[start : start + CROPS_PER_PART]
            computed = {c: _vector(trial, network, c) for c in ids}
            rows = [{"crop_id": c, "vector": v.tolist()} for c, v in computed.items()]
            write_part(folder, digest_ids(ids), pa.Table.from_pylist(rows, schema=VECTOR_SCHEMA))
            vectors |= computed
            tracker.advance(len(ids))
    return {c: vectors[c] for c in trial.paths}


def _read(folder: Path) -> dict[str, np.ndarray]:
    rows = read_parts(folder, VECTOR_SCHEMA).to_pylist()
    return {r["crop_id"]: np.array(r["vector"], np.float32) for r in rows}


def _vector(trial: Trial, network: Embedder, crop_id: str) -> np.ndarray:
    return network.vectors(network.picture(*trial.read(crop_id), trial.viewpoints[crop_id])[None])[0]


def _timing(trial: Trial, network: Embedder, vectors: Mapping[str, np.ndarray], planned: pa.Table) -> Timing | None:
    galleries = trial.galleries(planned)

    def extract(query: str) -> np.ndarray:
        return _vector(trial, network, query)

    def gallery(query: str) -> np.ndarray:
        return np.stack([vectors[g] for g in galleries[query]])

    return take_time(
        galleries, trial.n_comparable(galleries), trial.env.device, extract, gallery, lambda q, many: many @ q
    )
