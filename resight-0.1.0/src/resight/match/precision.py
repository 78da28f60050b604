"""How half precision changes scores, measured on pairs of the run itself and written into its record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from resight.environment import Environment
from resight.errors import DamagedError, ResightError
from resight.match.base import PairMatch
from resight.match.blocks import PairBlock, crop_loader, load_matcher, single_thread
from resight.match.kinds.lightglue import LightGlueParams
from resight.match.setup import MatchSetup
from resight.match.work import CropTable, NumberedPlan, block_maker
from resight.store.damage import set_aside
from resight.store.sealed import read_json, write_json

EFFECT_FILE = "precision.json"
SAMPLE = 64


def precision_effect(
    env: Environment, setup: MatchSetup, name: str, plan: pa.Table, features: pa.Table
) -> dict[str, Any] | None:
    """Compare the matcher with itself in float32, once per matcher; None where it runs in float32 anyway.

    Args:
        env: Keeps the effect beside the pair results, so that a run with nothing new needs no device; its runner measures on
            the device that matches.
        setup: The matcher.
        name: From `match_fingerprint`.
        plan: From `PairGrid.plan`; up to `SAMPLE` of its planned pairs are compared, evenly spread.
        features: The catalog's ``features`` table of the run.

    Returns:
        ``precision``, ``pairs``, and of the sum of confidences ``sum_difference_median`` and ``sum_difference_largest``
        (relative), ``rank_correlation`` (Spearman, over the pairs), and ``matches_kept``, the share of the float32 matches
        that are found again. None too where no pair is planned.

    Raises:
        ResightError: The comparison failed.
    """
    params = setup.params
    if not isinstance(params, LightGlueParams) or params.precision == "float32":
        return None
    folder = env.workspace.stage_dir("match", name)
    measured = _measured(folder)
    if measured:
        return measured
    numbered = NumberedPlan.of(plan)
    planned = np.unique(numbered.pair[numbered.planned])
    if not planned.size:
        return None
    chosen = planned[np.linspace(0, len(planned) - 1, min(SAMPLE, len(planned))).astype(np.int64)]
    block = block_maker(env, setup, folder, CropTable.of(numbered.codes, features, chosen))(chosen)
    done, failed = env.runner.run("precision", compare, [block], unit="comparison", gpu=True)
    if failed:
        raise ResightError(
            f"The effect of match.precision = '{params.precision}' could not be measured ({failed[0].reason}); "
            "set match.precision = 'float32', or run again."
        )
    effect: dict[str, Any] = done[0][1]
    write_json(folder / EFFECT_FILE, effect)
    return effect


def _measured(folder: Path) -> dict[str, Any]:
    """What was measured before; empty where nothing was, or it is damaged."""
    try:
        return read_json(folder / EFFECT_FILE)
    except FileNotFoundError:
        return {}
    except DamagedError as damage:
        set_aside(damage, "the effect is measured again")
        return {}


def compare(block: PairBlock) -> dict[str, Any]:
    """Match the block's pairs in both precisions, on the device of the block."""
    params = block.spec.params
    full = replace(block.spec, params=params.model_copy(update={"precision": "float32"}))
    matchers, load = (load_matcher(block.spec), load_matcher(full)), crop_loader(block)
    single_thread()
    sums, n_kept, n_whole = [], 0, 0
    for i, j in zip(block.index_a.tolist(), block.index_b.tolist(), strict=True):
        half, whole = (matcher.match(load(i), load(j)) for matcher in matchers)
        sums.append([float(match.confidence.astype(np.float64).sum()) for match in (half, whole)])
        n_kept, n_whole = n_kept + len(_matches(half) & _matches(whole)), n_whole + whole.n_matches
    half_sums, whole_sums = np.array(sums).T
    matched = whole_sums > 0
    difference = np.abs(half_sums - whole_sums)[matched] / whole_sums[matched]
    return {
        "precision": params.model_dump()["precision"],
        "pairs": len(block),
        "sum_difference_median": float(np.median(difference)) if matched.any() else 0.0,
        "sum_difference_largest": float(difference.max(initial=0.0)),
        "rank_correlation": _spearman(half_sums, whole_sums),
        "matches_kept": n_kept / n_whole if n_whole else 1.0,
    }


def sentence(effect: dict[str, Any]) -> str:
    """For the notes of a run."""
    return (
        f"Matched in {effect['precision']}: on {effect['pairs']} pairs the sum of confidences differs from float32 by "
        f"{100 * effect['sum_difference_median']:.2g} % in the middle and {100 * effect['sum_difference_largest']:.2g} % at most, "
        f"{100 * effect['matches_kept']:.1f} % of the matches are the same, rank correlation {effect['rank_correlation']:.4f}."
    )


def _matches(match: PairMatch) -> set[tuple[int, int]]:
    return {*zip(match.index_a.tolist(), match.index_b.tolist(), strict=True)}


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 1.0
