"""Keypoints and a matcher: the pipeline's own stages with other settings, so that they share its caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.compare.base import SCORE_SCHEMA, Method, MethodScores, Timing, Trial
from resight.compare.timing import take_time
from resight.errors import BrokenCountError
from resight.extract.base import Features
from resight.extract.params import ExtractorBase
from resight.extract.reader import FeatureReader
from resight.extract.stage import extract
from resight.match.engine_matcher import EngineMatcher
from resight.match.params import MatcherBase
from resight.match.stage import match
from resight.run.names import stage_names
from resight.run.setups import match_setup
from resight.score.params import ScoreParams
from resight.score.stage import score
from resight.settings import Settings
from resight.shortlist.params import ShortlistParams
from resight.status import PairStatus

Place = tuple[str, int]


@dataclass(frozen=True)
class LocalMethod(Method):
    """An extractor, a matcher, and the score that ranks."""

    extract: ExtractorBase
    match: MatcherBase
    score: str

    def settings(self, trial: Trial) -> Settings:
        """The trial's settings with this method's in their place."""
        own: dict[str, Any] = {"max_keypoints": trial.max_keypoints} if trial.max_keypoints else {}
        return trial.settings.model_copy(
            update={
                "extract": self.extract.model_copy(update=own),
                "match": self.match,
                "score": ScoreParams(name=self.score, bins=trial.settings.score.bins),
                "shortlist": ShortlistParams(enabled="off"),
            }
        )

    def describe(self, trial: Trial) -> Any:
        used = self.settings(trial)
        revisions = [used.extract.revision, used.match.revision]
        groups = {"extract": used.extract, "match": used.match, "score": used.score}
        return [{name: group.in_names() for name, group in groups.items()}, revisions]

    def weight_names(self) -> list[str]:
        return self.extract.weight_names() + self.match.weight_names_for(self.extract.family)

    def run(self, trial: Trial) -> MethodScores:
        used, env = self.settings(trial), trial.env
        names = stage_names(used, env.weights)
        features = extract(env, used.extract, names.extract, trial.shown_crops).features
        info = trial.info(features)
        planned = trial.planned(info)
        pairs = match(env, match_setup(used), names.match, planned, features).pairs
        refuse_failed(pairs)
        views = dict(zip(info["crop_id"].to_pylist(), info["viewpoint"].to_pylist(), strict=True))
        scores = score(pairs, trial.cohort.labels, used.score, views).scores.select(SCORE_SCHEMA.names)
        return MethodScores(info, scores, local_timing(trial, used, features, trial.galleries(planned)))


def refuse_failed(pairs: pa.Table) -> None:
    """Raise where a pair failed: a row that leaves pairs out cannot be compared with those that do not."""
    failed = pairs.filter(pc.equal(pairs["status"], PairStatus.FAILED.value))
    if failed.num_rows:
        raise BrokenCountError(
            f"{failed.num_rows} of {pairs.num_rows} pairs failed (first: {failed['reason'][0].as_py()}); "
            "run the same command again, only they are tried once more."
        )


def places_of(features: pa.Table) -> dict[str, Place]:
    """Store and row by crop_id, where there are keypoints."""
    rows = features.select(["crop_id", "store", "store_row", "n_keypoints"]).to_pylist()
    return {r["crop_id"]: (r["store"], r["store_row"]) for r in rows if r["store"] is not None and r["n_keypoints"] > 0}


def local_timing(
    trial: Trial, used: Settings, features: pa.Table, galleries: dict[str, list[str]]
) -> Timing | None:  # fmt: skip
    """Extract and match some queries; gallery crops that the engine keeps encoded are encoded before."""
    device = used.device
    places, reader = places_of(features), FeatureReader(trial.env.workspace)
    extractor = used.extract.build(trial.env.weights, device)
    matcher = used.match.build(trial.env.weights, used.extract.family, device)
    bins = used.score.bins

    def gallery(query: str) -> list[tuple[str, Features]]:
        ids = [g for g in galleries[query] if g in places]
        loaded = list(zip(ids, reader.load_many([places[g] for g in ids]), strict=True))
        if isinstance(matcher, EngineMatcher):
            for crop_id, crop in loaded:
                matcher.kept(crop_id, lambda crop=crop: crop)  # type: ignore[misc]
        return loaded

    def extract_query(query: str) -> tuple[str, Features]:
        return query, extractor.extract(*trial.read(query))

    def compare(query: tuple[str, Features], crops: list[tuple[str, Features]]) -> None:
        if isinstance(matcher, EngineMatcher) and matcher.tiles:
            index_b = np.arange(1, len(crops) + 1)
            matcher.match_tile([query, *crops], np.zeros(len(crops), np.int64), index_b, bins)
        else:
            for _, features in crops:
                matcher.match(query[1], features)

    return take_time(galleries, trial.n_comparable(galleries), device, extract_query, gallery, compare)
