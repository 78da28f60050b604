"""What the stages of a run hand on: each state is the one before with what its stage has added.

A function names the earliest state that it can work from; a later one will do as well. States are frozen, so scoring again
for another cohort makes new ones and leaves those of the run alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import pyarrow as pa

from resight.embed.vectors import NO_VECTORS, Vectors
from resight.ingest.annotation import Annotation
from resight.novelty.model import NoveltyModel
from resight.pairs.cohort import Cohort
from resight.pairs.plan import PairGrid
from resight.rank.levels import Seen
from resight.rank.rule import ChosenRule
from resight.run.calibration import Calibrating
from resight.run.learned import Learned
from resight.score.choose import ChosenFusion
from resight.score.null import Null

Later = TypeVar("Later", bound="Ingested")


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """Photos have been found and read.

    Attributes:
        photos: The table ``photos``.
        annotations: Outlines by photo_id that came with the photos.
    """

    photos: pa.Table
    annotations: Mapping[str, tuple[Annotation, ...]] = field(default_factory=dict)

    def then(self, kind: type[Later], **added: Any) -> Later:
        """The state ``kind``: what it has in common with this one, and what its stage has ``added``."""
        kept = {f.name: getattr(self, f.name) for f in fields(kind) if f.name not in added and hasattr(self, f.name)}
        return kind(**kept, **added)


@dataclass(frozen=True, kw_only=True)
class Segmented(Ingested):
    """Animals have been cut out.

    Attributes:
        crops: The table ``crops``.
    """

    crops: pa.Table


@dataclass(frozen=True, kw_only=True)
class Extracted(Segmented):
    """Crops have keypoints and descriptors.

    Attributes:
        features: The table ``features``.
        vectors: Of the crops, where ``embed`` is enabled.
    """

    features: pa.Table
    vectors: Vectors = NO_VECTORS


@dataclass(frozen=True, kw_only=True)
class Planned(Extracted):
    """It is settled which pairs are compared.

    Attributes:
        cohort: Which photos are queries and which gallery, and which labels may be seen.
        info: `cohort.crop_info`, with the labels that the cohort shows.
        grids: All pairs, and what the policy says of each.
        plan: The pairs that are matched, after shortlist and halving; what fell behind in halving is among them.
        left_out: `pairs.plan.LEFT_OUT`, how many other pairs each query has, and why they are not matched.
        votes: `shortlist.EVIDENCE_VOTES`.
        shortlisted: Whether votes or halving may have left out pairs.
        n_voting_extracted, n_shortlisted, n_halved: Crops, queries and pairs that were really computed on the way.
    """

    cohort: Cohort
    info: pa.Table
    grids: tuple[PairGrid, ...]
    plan: pa.Table
    left_out: pa.Table
    votes: pa.Table
    shortlisted: bool = False
    n_voting_extracted: int = 0
    n_shortlisted: int = 0
    n_halved: int = 0


@dataclass(frozen=True, kw_only=True)
class Matched(Planned):
    """Pairs have been compared.

    Attributes:
        pairs: The table ``pairs``.
        n_matched: Pairs that were really matched now, those of halving included.
        calibrating: Calibration pairs, where they lie in the store; None where they are among ``pairs``.
        precision: `precision.precision_effect`.
    """

    pairs: pa.Table
    n_matched: int = 0
    calibrating: Calibrating | None = None
    precision: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Scored(Matched):
    """Pairs have scores.

    Attributes:
        scores: The table ``scores``.
        null: What pairs of different animals look like.
        fused: What makes one number of all evidence, and why that.
        learned: What calibration pairs in the store have taught; None where they are among ``pairs``.
    """

    scores: pa.Table
    null: Null
    fused: ChosenFusion
    learned: Learned | None = None


@dataclass(frozen=True, kw_only=True)
class Ranked(Scored):
    """Queries have candidates.

    Attributes:
        candidates: All of them, from `rank.rank_all`; with probabilities once they are `Judged`.
        rule: How photos vote, and why so.
        seen: What the first photos of each query encounter score, by that rule.
    """

    candidates: pa.Table
    rule: ChosenRule
    seen: Seen


@dataclass(frozen=True, kw_only=True)
class Judged(Ranked):
    """Query encounters have verdicts.

    Attributes:
        model: What was learned about scores of the same and of different animals.
        identifications: The table of that name: the first few candidates.
        novelty: The table of that name.
        folds: Where each encounter was identified among all others (leave one encounter out), the verdicts one by one;
            ``null``, ``fused``, ``rule`` and ``model`` are then those of the last one.
    """

    model: NoveltyModel
    identifications: pa.Table
    novelty: pa.Table
    folds: tuple[Judged, ...] = ()
