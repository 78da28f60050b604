"""From a method's scores to its row, by the same metrics as everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from resight.compare.base import Method, MethodStatus, Scored, Trial
from resight.evaluate import Measured, accuracy_rows
from resight.fingerprint import canonical_json, digest_ids, fingerprint
from resight.novelty import calibrate, decide, fit
from resight.rank import rank_all

REVISION = 1
METRICS = (
    "top1_photo",
    "top3_photo",
    "top5_photo",
    "top1_encounter",
    "top3_encounter",
    "top5_encounter",
    "map_photo",
    "novelty_auroc",
)


def method_fingerprint(trial: Trial, method: Method, digests: Mapping[str, str]) -> str:
    """Name of a row: photos, crops, split, what all methods share, the method, its weights."""
    photos = trial.photos.select(["photo_id", "encounter_id", "viewpoint", "taken_on"]).to_pylist()
    facts = sorted(canonical_json([str(v) for v in row.values()]) for row in photos)
    crops = sorted(f"{c} {p}" for c, p in trial.paths.items())
    split = [sorted(trial.cohort.labels.items()), sorted(trial.cohort.truth.items()), trial.cohort.protocol]
    shared = trial.settings.model_dump(mode="json", include={"rank", "novelty", "device"})
    policy = trial.settings.pairs.model_dump(mode="json", include={"viewpoint", "exclude_same_encounter"})
    parts = (digest_ids(facts), digest_ids(crops), split, shared, policy)
    return fingerprint("comparison", REVISION, *parts, method.name, method.describe(trial), dict(digests))


def blank_row(method: Method, status: MethodStatus, reason: str = "") -> dict[str, Any]:
    """A row without figures."""
    return {
        "method": method.name,
        "title": method.title,
        "family": str(method.family),
        "status": str(status),
        "reason": reason,
    }


def measured_row(trial: Trial, method: Method, scored: Scored, digests: Mapping[str, str], name: str) -> dict[str, Any]:
    """The row of a method that ended well."""
    found = {r["metric"]: r for r in accuracy_rows(_measured(trial, scored)) if r["stratum"] == "all"}
    row = blank_row(method, MethodStatus.OK) | {"note": scored.note, "fingerprint": name}
    for metric in METRICS:
        one = found[metric]
        row |= {metric: one["value"], f"{metric}_low": one["ci_low"], f"{metric}_high": one["ci_high"]}
    time = scored.timing
    return row | {
        "n_photos": found["top1_photo"]["n"],
        "n_encounters": found["top1_encounter"]["n"],
        "n_gallery_photos": len(trial.cohort.gallery),
        "n_gallery_individuals": len(set(trial.cohort.labels.values())),
        "seconds_per_query": time.query_s if time else None,
        "seconds_extract": time.extract_s if time else None,
        "seconds_match": time.match_s if time else None,
        "pairs_per_query": time.pairs_per_query if time else None,
        "n_timed": time.n_queries if time else 0,
        "device": trial.settings.device,
        "protocol": trial.cohort.protocol,
        "weights": canonical_json(dict(digests) | dict(scored.weights)),
    }


def _measured(trial: Trial, scored: Scored) -> Measured:
    cohort, settings = trial.cohort, trial.settings
    ranked = rank_all(scored.scores, scored.info, settings.rank, cohort.truth)
    model = fit(calibrate(scored.scores, scored.info, settings.rank))
    judged = decide(ranked, _queries(trial), set(cohort.labels.values()), model, settings.novelty)
    return Measured(
        photos=trial.photos, gallery=cohort.labels, truth=cohort.truth, ranked=judged.ranked, scores=scored.scores,
        crops_info=scored.info, model=model, novelty=settings.novelty, protocol=cohort.protocol,
    )  # fmt: skip


def _queries(trial: Trial) -> pa.Table:
    photos = trial.photos.select(["photo_id", "encounter_id"])
    return photos.filter(pa.array([p in trial.cohort.queries for p in photos["photo_id"].to_pylist()], pa.bool_()))
