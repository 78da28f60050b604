"""One vector per crop, compared by its cosine: global embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from resight.compare.base import Method, Scored, Timing, Trial, scores_of
from resight.compare.local import n_comparable
from resight.compare.timing import take_time
from resight.match.blocks import single_thread
from resight.pairs.plan import PLANNED
from resight.runner.progress import track
from resight.segment.store import read_crop
from resight.store.fingerprint import digest_ids
from resight.store.parts import read_parts, write_part
from resight.train.embedding.samples import canvas

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

    def vectors(self, rgb: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 to (B, D) float32 of unit length."""
        raise NotImplementedError


@dataclass(frozen=True)
class VectorMethod(Method):
    """A global embedding; how it comes about is the subclass's."""

    @abstractmethod
    def embedder(self, trial: Trial) -> Embedder:
        """The network, trained or loaded.

        Raises:
            WeightsError: Its weights are missing or wrong.
        """

    def about(self, trial: Trial) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Note and own weights of the row."""
        return "", ()

    def run(self, trial: Trial) -> Scored:
        network = self.embedder(trial)
        vectors = embed(trial, network)
        planned = trial.planned(trial.usable)
        scores = scores_of(planned, cosines(planned, vectors))
        note, weights = self.about(trial)
        return Scored(trial.usable, scores, _timing(trial, network, vectors, planned), note, weights)


def cosines(planned: pa.Table, vectors: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """``(1 + cosine) / 2`` of the planned pairs: 1 for equal directions, 0 for opposite ones."""
    ids = [planned[c].to_pylist() for c in ("query_crop_id", "gallery_crop_id", "status")]
    pairs = [(q, g) for q, g, status in zip(*ids, strict=True) if status == PLANNED]
    if not pairs:
        return {}
    place = {crop_id: i for i, crop_id in enumerate(sorted(vectors))}
    every = np.stack([vectors[c] for c in sorted(vectors)]).astype(np.float64)
    a, b = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
    values = (1 + np.einsum("nd,nd->n", every[a], every[b])) / 2
    return dict(zip(pairs, np.clip(values, 0, 1).tolist(), strict=True))


def embed(trial: Trial, network: Embedder) -> dict[str, np.ndarray]:
    """Vector of every crop that takes part; only missing ones are computed, part by part."""
    single_thread()
    folder = trial.env.workspace.stage_dir(STAGE, network.name)
    known = _read(folder)
    todo = sorted(trial.paths.keys() - known.keys())
    with track("embed", "crops", len(todo), trial.quiet) as tracker:
        for some in _chunks(todo, CROPS_PER_PART):
            found = {c: network.vectors(_picture(trial, c, network.side_px)[None])[0] for c in some}
            rows = [{"crop_id": c, "vector": v.tolist()} for c, v in found.items()]
            write_part(folder, digest_ids(some), pa.Table.from_pylist(rows, schema=VECTOR_SCHEMA))
            known |= found
            tracker.advance(len(some))
    return {c: known[c] for c in trial.paths}


def _read(folder: Path) -> dict[str, np.ndarray]:
    rows = read_parts(folder, VECTOR_SCHEMA).to_pylist()
    return {r["crop_id"]: np.array(r["vector"], np.float32) for r in rows}


def _chunks(ids: Sequence[str], n: int) -> Iterator[Sequence[str]]:
    return (ids[i : i + n] for i in range(0, len(ids), n))


def _picture(trial: Trial, crop_id: str, side_px: int) -> np.ndarray:
    return canvas(*read_crop(trial.env.workspace, trial.paths[crop_id]), side_px=side_px)


def _timing(trial: Trial, network: Embedder, vectors: Mapping[str, np.ndarray], planned: pa.Table) -> Timing | None:
    galleries = trial.galleries(planned)

    def one(query: str) -> np.ndarray:
        return network.vectors(_picture(trial, query, network.side_px)[None])[0]

    def gallery(query: str) -> np.ndarray:
        return np.stack([vectors[g] for g in galleries[query]])

    return take_time(
        galleries, n_comparable(trial, galleries), trial.env.device, one, gallery, lambda q, many: many @ q
    )
