"""From a method's scores to its row, by the same metrics as in every evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resight.compare.base import Method, MethodScores, MethodStatus, Trial
from resight.compare.outcomes import figures, method_outcomes
from resight.rank.params import RankParams
from resight.store.fingerprint import canonical_json, digest_ids, fingerprint

REVISION = 2


def method_fingerprint(trial: Trial, method: Method, digests: Mapping[str, str]) -> str:
    """Name of a row: photos, crops, split, what all methods share, the method, its weights."""
    photos = trial.photos.select(["photo_id", "encounter_id", "viewpoint", "taken_on", "taken_at"]).to_pylist()
    facts = sorted(canonical_json([str(v) for v in row.values()]) for row in photos)
    crops = sorted(f"{c} {p} {trial.viewpoints[c]}" for c, p in trial.paths.items())
    split = [sorted(trial.cohort.labels.items()), sorted(trial.cohort.truth.items()), trial.cohort.protocol]
    shared = {"rank": trial.settings.rank.in_names(), "device": trial.settings.device}
    policy = trial.settings.pairs.model_dump(mode="json")
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


def rank_rule(trial: Trial) -> RankParams:
    """The rule by which photos vote: the same for every method, so ``auto`` is the best pair."""
    rank = trial.settings.rank
    return rank.model_copy(update={"rule": "max"}) if rank.rule == "auto" else rank


def measured_row(
    trial: Trial, method: Method, scored: MethodScores, digests: Mapping[str, str], name: str
) -> dict[str, Any]:
    """The row of a method that ended well."""
    row = blank_row(method, MethodStatus.OK) | {"note": scored.note, "fingerprint": name}
    outcomes = method_outcomes(scored, trial.cohort, trial.photos, rank_rule(trial))
    for metric, value in figures(outcomes).items():
        row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), value, strict=True))
    time = scored.timing
    return row | {
        "n_photos": len(outcomes.photos),
        "n_encounters": len(outcomes.encounters),
        "n_gallery_photos": len(trial.cohort.gallery),
        "n_gallery_individuals": len(set(trial.cohort.labels.values())),
        "seconds_per_query": time.query_s if time else None,
        "seconds_extract": time.extract_s if time else None,
        "seconds_match": time.match_s if time else None,
        "pairs_per_query": time.pairs_per_query if time else None,
        "n_timed": time.n_queries if time else 0,
        "device": trial.env.device,
        "protocol": trial.cohort.protocol,
        "weights": canonical_json(dict(digests) | dict(scored.weights)),
    }
