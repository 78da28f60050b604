"""Which descriptors vote in a run, and under which names they and their indexes are kept."""

from __future__ import annotations

from dataclasses import dataclass

from resight.extract.params import ExtractorBase
from resight.shortlist.params import ShortlistParams


@dataclass(frozen=True)
class VotingNames:
    """Names of what the votes are counted with.

    Attributes:
        features: Of the voting descriptors, from `extract_fingerprint`.
        index: Of the index of a gallery that is cut down, from `ShortlistParams.index_name`.
        exact_index: Of the index of a smaller gallery, whose descriptors are kept as they are.
        base: Of the index of the gallery, for those that lie beside it; empty for itself.
    """

    features: str
    index: str
    exact_index: str
    base: str = ""


@dataclass(frozen=True)
class Voting:
    """How votes are counted.

    Attributes:
        params: Settings of the shortlist.
        extractor: Whose descriptors vote; see `ShortlistParams.extractor`.
        own: Whether that is the extractor of the run, whose features have been computed already.
        as_evidence: Whether votes are counted where no shortlist is made, because the score uses them.
        names: Under which names features and indexes are kept.
    """

    params: ShortlistParams
    extractor: ExtractorBase
    own: bool
    as_evidence: bool
    names: VotingNames


def voting_names(params: ShortlistParams, features_name: str, *part: str) -> VotingNames:
    """Names of the indexes over the descriptors of that name; ``part`` gives a part of the crops its own, beside the gallery's."""
    index, exact = (p.index_name(features_name, *part) for p in (params, params.exact()))
    return VotingNames(features_name, index, exact, params.index_name(features_name) if part else "")
