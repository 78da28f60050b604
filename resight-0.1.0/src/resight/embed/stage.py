"""The stage as a whole: which crops have a vector already, the others in blocks, and a status for every crop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from resight.embed.block import EmbedBlock, embed_block
from resight.embed.params import EmbedParams
from resight.embed.vectors import PARTS, SCHEMA, Key, Vectors, missing
from resight.environment import Environment
from resight.status import CropStatus, FeatureStatus
from resight.store.counts import reconcile
from resight.store.parts import compact

STAGE = "embed"
CROPS_PER_BLOCK = 128
BLOCKS_PER_WORKER = 2  # small nights get smaller blocks, so that all workers have work


@dataclass(frozen=True)
class EmbedResult:
    """Vectors of all crops.

    Attributes:
        vectors: Of every crop that could be embedded, now or earlier.
        statuses: By crop_id, how each ended.
        failed: Reason by crop_id of those that failed; the next run tries again.
        n_embedded: Crops really embedded in this call; 0 where nothing is new.
    """

    vectors: Vectors
    statuses: Mapping[str, FeatureStatus]
    failed: Mapping[str, str]
    n_embedded: int


def embed(env: Environment, params: EmbedParams, name: str, crops: pa.Table) -> EmbedResult:
    """Give every crop its vector; only what is missing is computed.

    Args:
        env: Where crops and vectors lie, and the workers.
        params: Which network.
        name: From `EmbedParams.vectors_name`.
        crops: Table ``crops``.

    Raises:
        WeightsError: The network's weights are missing or wrong.
        BrokenCountError: A crop has no status at the end.
    """
    folder = env.workspace.stage_dir(STAGE, name)
    rows = crops.select(["crop_id", "path", "viewpoint", "status"]).to_pylist()
    usable = {row["crop_id"]: row for row in rows if row["status"] == CropStatus.OK}
    views = [(crop_id, row["viewpoint"]) for crop_id, row in usable.items()]
    vectors = Vectors.read(folder)
    todo = sorted(missing(vectors, views))
    failed: dict[str, str] = {}
    if todo:
        failed = _compute(env, params, name, [(c, usable[c]["path"], ways) for c, ways in todo])
        compact(folder / PARTS, SCHEMA, [SCHEMA.names[0], SCHEMA.names[1]])
        vectors = Vectors.read(folder)
    lacking = {crop_id for crop_id, _ in missing(vectors, views)}
    statuses = {row["crop_id"]: _status(row["crop_id"] in usable, row["crop_id"] in lacking) for row in rows}
    reconcile(STAGE, [row["crop_id"] for row in rows], list(statuses))
    reasons = {crop_id: failed.get(crop_id, "its part is damaged") for crop_id in sorted(lacking)}
    return EmbedResult(_of(vectors, views), statuses, reasons, len(todo) - len(lacking))


def _compute(
    env: Environment, params: EmbedParams, name: str, todo: Sequence[tuple[str, str, tuple[bool, ...]]]
) -> dict[str, str]:
    """Embed what is missing; gives the reason by crop_id of those that failed."""
    env.weights.find(params.weights)  # a missing file stops the run before any work
    size = max(1, min(CROPS_PER_BLOCK, -(-len(todo) // (BLOCKS_PER_WORKER * env.runner.n_workers))))
    folder = env.workspace.stage_dir(STAGE, name)
    blocks = [
        EmbedBlock(env.workspace, folder, tuple(todo[i : i + size]), params.weights, env.weights, env.device)
        for i in range(0, len(todo), size)
    ]
    done, lost = env.runner.run(STAGE, embed_block, blocks, size=len, unit="crops", gpu=env.device == "cuda")
    failed = {crop_id: reason for _, of_block in done for crop_id, reason in of_block.items()}
    return failed | {crop_id: failure.reason for failure in lost for crop_id, _, _ in failure.block.crops}


def _status(usable: bool, lacking: bool) -> FeatureStatus:
    if not usable:
        return FeatureStatus.NO_CROP
    return FeatureStatus.FAILED if lacking else FeatureStatus.OK


def _of(vectors: Vectors, crops: Sequence[tuple[str, str | None]]) -> Vectors:
    """The vectors of these crops alone: a workspace keeps those of crops that are gone."""
    wanted = {crop_id for crop_id, _ in crops}
    keys: list[Key] = [key for key in vectors.keys if key[0] in wanted]
    if len(keys) == len(vectors.keys):
        return vectors
    return Vectors(keys, vectors.values[[vectors.places[key] for key in keys]])
