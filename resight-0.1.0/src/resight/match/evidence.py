"""Which points of two crops correspond, for people to look at. Kept on disk, like the results of the pairs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.extract.base import Features
from resight.match.base import PairMatch
from resight.match.blocks import BlockResult, PairBlock, match_pair_by_pair
from resight.match.cache import KEYS, CropCodes, look_up
from resight.match.setup import MatchSetup
from resight.match.work import CropTable, block_maker
from resight.store.parts import compact, part_files

log = logging.getLogger("resight")

SHOWN_MATCHES = 80
PAIRS_PER_BLOCK = 32

EVIDENCE_SCHEMA = pa.schema(
    [(key, pa.string()) for key in KEYS]
    + [(name, pa.list_(pa.float32())) for name in ("x_a_px", "y_a_px", "x_b_px", "y_b_px", "confidence")]
    + [("inlier", pa.list_(pa.bool_())), ("verified", pa.bool_())]
)


@dataclass(frozen=True)
class Evidence:
    """The strongest matches of two crops, strongest first.

    Attributes:
        xy_a_px: (N, 2) float32, pixels of crop a.
        xy_b_px: (N, 2) float32, pixels of crop b.
        confidence: (N,) float32 in (0, 1].
        inlier: (N,) bool, agrees with the common geometry.
        verified: Whether geometry was tried at all; ``inlier`` means nothing otherwise.
    """

    xy_a_px: np.ndarray
    xy_b_px: np.ndarray
    confidence: np.ndarray
    inlier: np.ndarray
    verified: bool


def evidence(
    env: Environment,
    setup: MatchSetup,
    name: str,
    pairs: Sequence[tuple[str, str]],
    features: pa.Table,
    *,
    kept_only: bool = False,
) -> dict[tuple[str, str], Evidence]:
    """Corresponding points of ``pairs``, at most 80 each, by confidence.

    Args:
        env: Where features are and results go.
        setup: The matcher.
        name: From `match_fingerprint`.
        pairs: (crop_id, crop_id) in any order and direction.
        features: The catalog's ``features`` table.
        kept_only: Match nothing; give those that were kept before.

    Returns:
        By the pairs as they were given. A pair that cannot be matched is missing; the log says why.
    """
    if not pairs:
        return {}
    folder = env.workspace.stage_dir("evidence", name)
    first, second = (pa.array([pair[side] for pair in pairs], pa.string()) for side in (0, 1))
    codes = CropCodes.of(first, second)
    numbers = codes.pairs(codes.encode(first), codes.encode(second))
    wanted = np.unique(numbers)
    kept, _ = look_up(part_files(folder), codes, wanted, pa.schema([EVIDENCE_SCHEMA.field(key) for key in KEYS]))
    missing = np.setdiff1d(wanted, kept, assume_unique=True)
    if missing.size and not kept_only:
        table = CropTable.of(codes, features, missing)
        groups = np.array_split(table.by_tile(missing), -(-len(missing) // PAIRS_PER_BLOCK))
        blocks = list(map(block_maker(env, setup, folder, table), groups))
        done, _ = env.runner.run("evidence", evidence_block, blocks, size=len, unit="pairs", gpu=True)
        for failed in (pair for _, result in done for pair in result.failed):
            log.warning("evidence: %s and %s cannot be matched: %s", *failed)
        compact(folder, EVIDENCE_SCHEMA, KEYS)
    kept, rows = look_up(part_files(folder), codes, wanted, EVIDENCE_SCHEMA)
    row_of = dict(zip(kept.tolist(), rows.to_pylist(), strict=True))
    return {pair: _evidence(row_of[n], pair) for pair, n in zip(pairs, numbers.tolist(), strict=True) if n in row_of}


def evidence_block(block: PairBlock) -> BlockResult:
    """Match the pairs of ``block`` and write where their strongest matches are."""
    return match_pair_by_pair(block, _strongest, EVIDENCE_SCHEMA)


def _strongest(match: PairMatch, a: Features, b: Features) -> dict[str, Any]:
    order = np.lexsort((match.index_a, -match.confidence))[:SHOWN_MATCHES]
    xy_a, xy_b = a.xy_px[match.index_a[order]], b.xy_px[match.index_b[order]]
    columns = {"x_a_px": xy_a[:, 0], "y_a_px": xy_a[:, 1], "x_b_px": xy_b[:, 0], "y_b_px": xy_b[:, 1]}
    columns |= {"confidence": match.confidence[order], "inlier": match.inlier[order]}
    return {name: values.tolist() for name, values in columns.items()} | {"verified": match.verified}


def _evidence(row: dict[str, Any], pair: tuple[str, str]) -> Evidence:
    a, b = (np.array([row[f"x_{s}_px"], row[f"y_{s}_px"]], np.float32).T.reshape(-1, 2) for s in ("a", "b"))
    if pair[0] != row["crop_id_a"]:
        a, b = b, a
    return Evidence(a, b, np.array(row["confidence"], np.float32), np.array(row["inlier"], bool), bool(row["verified"]))
