"""The pipeline as `resight evaluate` runs it: scores that learn from the gallery, and the rule that its animals choose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.compare.base import SCORE_SCHEMA, Family, MethodScores, Timing, Trial
from resight.compare.local import LocalMethod, local_timing, refuse_failed
from resight.compare.timing import take_time
from resight.embed.params import EmbedParams
from resight.evaluate.folds import leave_encounters_out
from resight.extract.block import built
from resight.extract.kinds.sift import SiftParams
from resight.extract.stage import extract
from resight.match.kinds.lightglue import BUNDLED_KEYPOINTS, BUNDLED_LIGHTGLUE, VERIFIED_SCORE
from resight.pairs.cohort import CALIBRATE, IDENTIFY
from resight.run import learning
from resight.run.conditions import Conditions
from resight.run.judging import rank_candidates, score_pairs, seen_by
from resight.run.measuring import candidates_without_own
from resight.run.pairing import match_pairs, plan_pairs
from resight.run.setups import voting
from resight.run.state import Extracted, Matched, Planned, Ranked
from resight.score.base import FUSED
from resight.score.prior import shipped
from resight.settings import Settings
from resight.shortlist.block import VoteBlock, vote_block
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Stored
from resight.shortlist.plan import allowed_by_grids
from resight.shortlist.stage import indexed

REVISION = 2


@dataclass(frozen=True)
class PipelineMethod(LocalMethod):
    """Every pair is compared, without a shortlist. Pairs of the gallery among itself are compared too, which the scores learn from: once for
    all queries, so that the seconds of a query do not hold them.
    """

    def settings(self, trial: Trial) -> Settings:
        enabled = "votes" if self.score == FUSED else "off"
        own = {"shortlist": ShortlistParams(enabled=enabled), "embed": EmbedParams(enabled=False)}
        own |= {
            "score": trial.settings.score.model_copy(update={"name": self.score})
        }  # with all that is set beside the name
        return super().settings(trial).model_copy(update=own)

    def describe(self, trial: Trial) -> Any:
        used = self.settings(trial)
        votes = [used.shortlist.in_names(), used.shortlist.revision]
        prior = [shipped()] if self.score == FUSED else []
        learned = [learning.REVISION, used.novelty.calibration_encounters]
        return [REVISION, super().describe(trial), votes, learned, *prior]

    def run(self, trial: Trial) -> MethodScores:
        used, cohort = self.settings(trial), trial.cohort
        conditions = Conditions(trial.env, used)
        features = extract(trial.env, used.extract, conditions.names.extract, trial.shown_crops).features
        extracted = Extracted(photos=trial.photos, crops=trial.shown_crops, features=features)
        planned = plan_pairs(conditions, extracted, cohort)
        matched = match_pairs(conditions, planned)
        refuse_failed(matched.pairs)
        folds = [matched]
        if cohort.leave_one_out:
            folds = [seen_by(used, matched, fold) for fold in leave_encounters_out(cohort, trial.photos)]
        ranked = [rank_candidates(used, score_pairs(conditions, fold)) for fold in folds]
        own = [of.scores.filter(pc.equal(of.scores["purpose"], IDENTIFY)).select(SCORE_SCHEMA.names) for of in ranked]
        return MethodScores(
            matched.info,
            pa.concat_tables(own),
            self._timing(trial, conditions, planned),
            note_of(ranked, matched),
            ranked=pa.concat_tables([of.candidates for of in ranked]),
            without_own=pa.concat_tables([candidates_without_own(used, of)[0] for of in ranked]),
        )

    def _timing(self, trial: Trial, conditions: Conditions, planned: Planned) -> Timing | None:
        plan = planned.plan
        galleries = trial.galleries(plan.filter(pc.equal(plan["purpose"], IDENTIFY)))
        matching = local_timing(trial, conditions.settings, planned.features, galleries)
        if matching is None or not planned.votes.num_rows:
            return matching
        votes = votes_timing(trial, conditions, planned, galleries)
        if votes is None:
            return matching
        return replace(
            matching,
            extract_s=matching.extract_s + votes.extract_s,
            match_s=matching.match_s + votes.match_s,
            n_queries=min(matching.n_queries, votes.n_queries),
        )


def votes_timing(
    trial: Trial, conditions: Conditions, planned: Planned, galleries: dict[str, list[str]]
) -> Timing | None:
    """What the votes of a query cost that are evidence: its search in the index, and the verification of every candidate."""
    env, how = trial.env, voting(conditions.settings, conditions.names.voting)
    features = planned.features
    if not how.own:
        features = extract(env, how.extractor, how.names.features, planned.crops).features
    stored = Stored.of(env.runner, env.workspace, features)
    gallery = pc.unique(planned.plan["gallery_crop_id"].combine_chunks()).to_pylist()
    index, block = indexed(env, how, stored, sorted(galleries), sorted(gallery), cut=False)
    places, allowed_of = stored.places, allowed_by_grids(planned.grids, index.crop_ids)
    extractor = built(how.extractor, env.weights, env.device)

    def ready(query: str) -> VoteBlock:
        allowed: np.ndarray = allowed_of([query])
        return replace(block, queries=((query, places[query]),), allowed=(np.packbits(allowed[0]).tobytes(),))

    def extract_voters(query: str) -> None:
        if not how.own:  # otherwise the matcher's own keypoints vote
            extractor.extract(*trial.read(query))

    voters = {query: ids for query, ids in galleries.items() if query in places}
    n_photos = trial.n_comparable(voters)
    return take_time(voters, n_photos, env.device, extract_voters, ready, lambda _, asked: vote_block(asked))


def note_of(ranked: Sequence[Ranked], matched: Matched) -> str:
    """What the scores have learned from, how they were fused, and by which rule photos vote."""
    if matched.cohort.leave_one_out:
        rules = ", ".join(f"{rule} in {n}" for rule, n in Counter(of.rule.params.rule for of in ranked).most_common())
        return f"Scores learn from all other encounters, for each encounter anew. Rule by which photos vote: {rules}."
    n = pc.sum(pc.equal(matched.pairs["purpose"], CALIBRATE)).as_py() or 0
    learned = f"Scores learn from {n:,} pairs of the gallery among itself, which are not part of the seconds."
    return " ".join(filter(None, [learned, ranked[0].fused.note, ranked[0].rule.sentence]))


def _pipeline(name: str, title: str, score: str) -> PipelineMethod:
    """What `resight init` chooses without downloads, by this score."""
    extract = SiftParams(max_keypoints=BUNDLED_KEYPOINTS)
    return PipelineMethod(name, title, Family.LOCAL, False, extract, BUNDLED_LIGHTGLUE, score)


METHODS = (
    _pipeline("resight", "Resight: the bundled LightGlue, relative to other animals", VERIFIED_SCORE),
    _pipeline("resight-fused", "Resight: the bundled LightGlue fused with votes", FUSED),
)
