"""Draws of who is who, with the names of animals: the table ``identity_draws``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from resight.catalog import table as catalog_table
from resight.decisions.names import provisional_id
from resight.novelty.joint import Joint

DRAWS_SCHEMA = pa.schema(
    [pa.field(f.name, f.type) for f in catalog_table("identity_draws").schema if f.name != "run_id"]
)


def drawn_names(joint: Joint, names: Mapping[str, str]) -> pa.Table:
    """`DRAWS_SCHEMA`, a row per draw and node.

    An animal that is not in the gallery has the provisional name of its group in a draw where it has the first node of that group,
    and otherwise a name of its own, made from its first node.

    Args:
        joint: The posterior.
        names: Provisional name by node.
    """
    n_draws, n = joint.draws.shape
    k = len(joint.animals)
    first = _first_nodes(joint.draws, k)
    called = pa.array([*joint.animals, *_names(joint, names)], pa.string())
    animal = pa.array(np.where(joint.draws < k, joint.draws, k + first).ravel())
    columns = {
        "draw": pa.array(np.repeat(np.arange(1, n_draws + 1), n), pa.int32()),
        "encounter_id": pa.array(list(joint.nodes), pa.string()).take(pa.array(np.tile(np.arange(n), n_draws))),
        "individual_id": called.take(animal),
    }
    return pa.table(columns).cast(DRAWS_SCHEMA)


def _first_nodes(draws: np.ndarray, k: int) -> np.ndarray:
    """(D, N) the first node that is the same animal; 0 for animals of the gallery."""
    n_draws, n = draws.shape
    first = np.full((n_draws, n), n)
    rows = np.arange(n_draws)
    root = np.maximum(draws - k, 0)
    for node in reversed(range(n)):
        first[rows, root[:, node]] = np.where(draws[:, node] >= k, node, first[rows, root[:, node]])
    return np.where(draws >= k, np.take_along_axis(first, root, axis=1), 0)


def _names(joint: Joint, names: Mapping[str, str]) -> list[str]:
    """What an unknown animal is called of which each node is the first."""
    taken = set(names.values())
    leads = {group[0] for group in joint.groups}

    def own(node: str) -> str:
        name = provisional_id(node)
        return provisional_id(f"{node}, an animal of its own") if name in taken else name

    return [names[node] if node in leads and node in names else own(node) for node in joint.nodes]
