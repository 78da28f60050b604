"""Outcomes written down by hand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from resight.evaluate.accuracy import Context
from resight.store.tables import conform

CONTEXT = Context("role", prior_new=0.2, draws=50)


def outcome(query: str, animal: str, rank: int | None = 1, **more: Any) -> dict[str, Any]:
    """A query; right where its rank is 1."""
    base = {"trial": "closed", "round": 0, "level": "encounter", "query_id": query, "encounter_id": query, "true_individual_id": animal,
            "known": True, "rank": rank, "correct": rank == 1, "individual_id": animal if rank == 1 else "Other", "viewpoint": "left",
            "n_gallery_photos": 2, "n_gallery_individuals": 3, "n_right_scored": 1, "n_right_cut": 0}  # fmt: skip
    return base | more


def photo(query: str, animal: str, rank: int | None = 1, **more: Any) -> dict[str, Any]:
    """The same for one photo."""
    base = {"level": "photo", "average_precision": 1.0 if rank == 1 else 0.5}
    return outcome(query, animal, rank, **(base | more))


def new(query: str, animal: str, **more: Any) -> dict[str, Any]:
    """The same query without its animal in the gallery."""
    base = {"trial": "without_own", "known": False, "individual_id": "Other", "correct": False}
    return outcome(query, animal, None) | base | more


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return conform("outcomes", rows, "r")


def values(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(r["metric"], r["stratum"]): r["value"] for r in rows}
