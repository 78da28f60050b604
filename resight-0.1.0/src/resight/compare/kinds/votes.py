"""LNBNN votes alone: the shortlist's own ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from resight.compare.base import Family, Method, MethodScores, Timing, Trial, planned_pairs, scores_of
from resight.compare.timing import take_time
from resight.extract.block import built
from resight.extract.kinds.sift import SiftParams
from resight.extract.params import ExtractorBase
from resight.extract.stage import extract
from resight.pairs.plan import PairGrid
from resight.run.names import StageNames, stage_names
from resight.run.setups import voting
from resight.settings import Settings
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Stored
from resight.shortlist.plan import allowed_by_grids
from resight.shortlist.stage import shortlist
from resight.shortlist.store import ShortlistIndex, build_index
from resight.shortlist.votes import search

ALL_DESCRIPTORS_VOTE = ShortlistParams(enabled="on", k=1, descriptors="own")


@dataclass(frozen=True)
class VotesMethod(Method):
    """Single descriptors vote for the gallery crops that hold their nearest neighbours (`shortlist.votes`)."""

    extract: ExtractorBase
    votes: ShortlistParams = ALL_DESCRIPTORS_VOTE

    def settings(self, trial: Trial) -> Settings:
        """The trial's settings with the shortlist on, whatever the size of the gallery."""
        return trial.settings.model_copy(update={"extract": self.extract, "shortlist": self.votes})

    def describe(self, trial: Trial) -> Any:
        revisions = [self.extract.revision, self.votes.revision]
        return [self.settings(trial).model_dump(mode="json", include={"extract", "shortlist"}), revisions]

    def weight_names(self) -> list[str]:
        return self.extract.weight_names()

    def run(self, trial: Trial) -> MethodScores:
        used, env = self.settings(trial), trial.env
        names = stage_names(used, env.weights)
        features = extract(env, used.extract, names.extract, trial.shown_crops).features
        info = trial.info(features)
        grids = (trial.grid(info),)
        planned = grids[0].plan().pairs
        table = shortlist(env, voting(used, names.voting), grids, trial.shown_crops, features, every_vote=True).votes
        ids = zip(table["query_crop_id"].to_pylist(), table["gallery_crop_id"].to_pylist(), strict=True)
        votes = dict(zip(ids, table["lnbnn"].to_pylist(), strict=True))
        scores = scores_of(planned, {pair: votes.get(pair, 0.0) for pair in planned_pairs(planned)})
        return MethodScores(info, scores, self._timing(trial, names, features, grids))

    def _timing(
        self, trial: Trial, names: StageNames, features: pa.Table, grids: tuple[PairGrid, ...]
    ) -> Timing | None:
        planned = grids[0].plan().pairs
        index = self._index(trial, names, features, planned)
        extractor = built(self.extract, trial.env.weights, trial.env.device)
        galleries = trial.galleries(planned)
        allowed_of = allowed_by_grids(grids, index.crop_ids)

        def rows_of(query: str) -> np.ndarray:
            mask: np.ndarray = allowed_of([query])[0]
            return mask

        def extract_query(query: str) -> tuple[str, np.ndarray]:
            return query, extractor.extract(*trial.read(query)).descriptors

        def vote(query: tuple[str, np.ndarray], allowed: np.ndarray) -> None:
            search(index, [query], self.votes, allowed=lambda _: allowed)

        return take_time(galleries, trial.n_comparable(galleries), trial.env.device, extract_query, rows_of, vote)

    def _index(self, trial: Trial, names: StageNames, features: pa.Table, planned: pa.Table) -> ShortlistIndex:
        """The index that the stage has just made."""
        folder = trial.env.workspace.stage_dir("shortlist", names.voting.index)
        stored = Stored.of(trial.env.runner, trial.env.workspace, features)
        gallery = sorted({crop_id for _, crop_id in planned_pairs(planned)} & stored.places.keys())
        return build_index(folder, gallery, stored, self.votes, names.voting.features)


METHODS = (VotesMethod("sift-lnbnn", "SIFT, LNBNN votes alone", Family.VOTES, True, SiftParams()),)
