"""The rows of the table ``accuracy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from resight.evaluate.bootstrap import DRAWS, Interval, interval
from resight.evaluate.outcomes import CLOSED, PHOTO
from resight.evaluate.shares import share_interval
from resight.evaluate.specs import ALL, NO_PROBABILITY, OutcomeRows, Spec, all_specs, by_chance

HEADLINE = (
    "top1_photo", "top3_photo", "top5_photo", "top1_encounter", "map_photo", "novelty_auroc", "novelty_accuracy",
    "baks", "baus", "baks_baus_gm", "false_known_rate", "open_baks_baus_gm", "ece_mixed", "brier_mixed",
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """What the rows need to know besides the outcomes.

    Attributes:
        protocol: How gallery and queries were chosen.
        prior_new: Share of encounters with new animals that the probabilities assume.
        same_day_share: From the leak gate.
        seconds_per_query: Time per query photo; None where it was not measured.
        draws, seed: Of the bootstrap.
    """

    protocol: str
    prior_new: float
    same_day_share: float = 0.0
    seconds_per_query: float | None = None
    draws: int = DRAWS
    seed: int = 0


def accuracy_rows(outcomes: pa.Table, c: Context) -> list[dict[str, Any]]:
    """All metrics with 95 % intervals over individuals, the catalog's ``accuracy`` without ``run_id``.

    *Closed set*, per photo and per encounter: ``top1_photo``, ``top3_photo``, ``top5_photo``, ``map_photo``,
    ``top1_encounter``, …: over queries whose animal is in the gallery. One whose animal has no comparable gallery photo
    counts as wrong, and is counted in ``n_queries_without_comparable_gallery``. ``map_photo`` is the mean average
    precision of the retrieval of the animal's gallery photos that could be compared. Also by viewpoint, visibility, days
    to the nearest gallery photo, gallery photos of the animal, and gallery size (exact mean over all smaller galleries).
    ``shortlist_recall_photo``: queries of which at least one gallery photo of their animal survived the shortlist.

    *New or known*, per encounter, each judged with its animal in the gallery (known) and again without it (new):
    ``novelty_auroc``; ``novelty_accuracy`` (``p_new`` at least 0.5 for new ones and below for known ones); ``baks`` (known
    animals called by the right name) and ``baus`` (new ones called new), both averaged over individuals and with
    ``unsure`` as wrong, ``likely`` as a name, and ``baks_baus_gm``; ``false_known_rate`` (new ones called known, which ``novelty.alpha``
    bounds) and ``false_name_rate`` (known or likely); ``named`` (known animals that are called known or likely) and
    ``named_wrongly`` (such names that are wrong). ``open_…``: the same with whole animals left out of gallery and calibration (`folds.open_rounds`).

    *Probabilities* of the best candidate: ``ece_encounter`` and ``brier_encounter`` over known animals; ``ece_mixed`` and
    ``brier_mixed`` over known and new ones in the proportion that ``novelty.prior_new`` states, which is what the
    probabilities claim; ``ece_stated`` over everything that is stated (every candidate, and that the animal is new) in the
    same proportion; ``ece_…_by_chance`` is what exact probabilities would show on so few queries.
    ``candidate_set_coverage`` and ``candidate_set_size``, against ``candidate_set_stated``.

    *Clusters* of encounters of left-out animals by their provisional names: ``cluster_ari``, ``abundance_error``.

    *Control*: ``background_top1_…``, with the animals painted over, beside ``background_animal_top1_…`` on the same queries.
    """
    by_trial = OutcomeRows(outcomes)
    return (
        [_row(spec, c) for spec in all_specs(by_trial, c.prior_new)]
        + _chance_rows(by_trial, c)
        + _plain_rows(by_trial, c)
    )


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The headline figures of `accuracy_rows`; None where one could not be computed, all of them None where the leak gate
    found a share above 0, which then stands in ``leak``."""
    overall = {r["metric"]: r["value"] for r in rows if r["stratum"] == ALL}
    n = {r["metric"]: r["n"] for r in rows if r["stratum"] == ALL}
    leak = overall.get("same_day_share") or 0.0
    figures: dict[str, Any] = {name: None if leak else overall.get(name) for name in HEADLINE}
    return figures | {
        "leak": leak,
        "n_queries": n.get("top1_photo", 0),
        "n_query_encounters": n.get("top1_encounter", 0),
        "seconds_per_query": overall.get("seconds_per_query"),
    }


def _row(spec: Spec, c: Context) -> dict[str, Any]:
    n, n_animals = len(spec.individuals), len(set(spec.individuals))
    value = spec.value if n else None
    low, high = spec_interval(spec, c) if n else (None, None)
    row = _plain(spec.metric, value, n, spec.unit, c, n_animals, spec.missing_because)
    return row | {"stratum": spec.stratum, "ci_low": low, "ci_high": high, "p_worse": spec.p_worse}


def spec_interval(spec: Spec, c: Context) -> Interval:
    """95 % interval over individuals: exact for shares, from the bootstrap for everything else."""
    if spec.shares is not None:
        values, weight = spec.shares
        return share_interval(values, spec.individuals, weight)
    return interval(spec.statistic, spec.individuals, c.draws, c.seed)


def _chance_rows(outcomes: OutcomeRows, c: Context) -> list[dict[str, Any]]:
    return [
        _plain(name, value, n, "score", c, animals, NO_PROBABILITY)
        for name, (value, n, animals) in by_chance(outcomes, c.prior_new).items()
    ]


def _plain_rows(outcomes: OutcomeRows, c: Context) -> list[dict[str, Any]]:
    queries = outcomes.of(CLOSED, PHOTO)
    known = [r for r in queries if r["known"]]
    n, animals = len(known), len({r["true_individual_id"] for r in known})
    alone, unknown = sum(r["rank"] is None for r in known), len(queries) - n
    gallery = max((r["n_gallery_individuals"] for r in queries), default=0)
    rows = [
        ("seconds_per_query", c.seconds_per_query, n, "second"),
        ("n_queries_without_comparable_gallery", float(alone), n, "count"),
        ("n_queries_without_gallery_animal", float(unknown), len(queries), "count"),
        ("n_gallery_individuals", float(gallery), n, "count"),
        ("same_day_share", c.same_day_share, len(queries), "share"),
    ]
    cached = "most of it came from the cache"
    return [_plain(name, value, count, unit, c, animals, cached) for name, value, count, unit in rows]


def _plain(
    metric: str, value: float | None, n: int, unit: str, c: Context, animals: int, because: str
) -> dict[str, Any]:
    """A row without an interval."""
    return {
        "metric": metric, "stratum": ALL, "value": value, "ci_low": None, "ci_high": None, "n": n, "unit": unit, "protocol": c.protocol,
        "n_individuals": animals, "p_worse": None, "missing_because": "" if value is not None else because,
    }  # fmt: skip
