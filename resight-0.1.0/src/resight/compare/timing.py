"""What a query costs, measured by computing some of them without the cache."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resight.compare.base import Timing
from resight.match.blocks import single_thread

TIMED_QUERIES = 5
BUDGET_S = 20.0


def take_time(
    galleries: Mapping[str, Sequence[str]],
    n_photos: int,
    device: str,
    extract: Callable[[str], Any],
    ready: Callable[[str], Any],
    match: Callable[[Any, Any], Any],
) -> Timing | None:
    """Compute a few queries on one thread and measure the time of each part.

    The queries are the same for every method: the first ones in the order of a digest of their ids. A first one
    warms caches up and does not count. Once the budget is spent no further query is begun. Matching is measured per
    pair and given for the mean number of pairs of a query photo.

    Args:
        galleries: By query crop, what it is compared with.
        n_photos: Query photos that can be compared at all.
        device: Where the method runs.
        extract: From a query's crop_id to whatever the method compares; timed.
        ready: From a query's crop_id to its gallery, extracted; not timed.
        match: Compares the two; timed.
    """
    single_thread()
    queries = sorted(galleries, key=lambda q: hashlib.sha256(q.encode()).digest())[: TIMED_QUERIES + 1]
    if not queries or not n_photos:
        return None
    clock = _clock(device)
    spent = {"extract": 0.0, "match": 0.0}
    n_pairs = n = 0
    for number, query in enumerate(queries):
        gallery = ready(query)
        start = clock()
        features = extract(query)
        middle = clock()
        match(features, gallery)
        end = clock()
        if number == 0 and len(queries) > 1:
            continue
        spent["extract"] += middle - start
        spent["match"] += end - middle
        n, n_pairs = n + 1, n_pairs + len(galleries[query])
        if sum(spent.values()) > BUDGET_S:
            break
    pairs_per_query = sum(map(len, galleries.values())) / n_photos
    crops_per_query = len(galleries) / n_photos
    return Timing(
        spent["extract"] / n * crops_per_query, spent["match"] / n_pairs * pairs_per_query, pairs_per_query, n
    )


def _clock(device: str) -> Callable[[], float]:
    if device != "cuda":
        return time.thread_time
    import torch

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now
