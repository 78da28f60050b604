"""The names of a run's results. Each stage names its own output; the chain of them is put together here and nowhere else.

A name is a fingerprint of everything that decides a result: settings, weights, and the name of what came before. Results
under a name are never computed again. What was made before 2026-11-28 has the name that it had then (see `resight.plugins.earlier`).
"""

from dataclasses import dataclass

from resight.evaluate.background import background_fingerprint
from resight.extract.params import ExtractorBase
from resight.extract.stage import extract_fingerprint
from resight.ingest.files import ingest_fingerprint
from resight.match.setup import match_fingerprint
from resight.run.setups import match_setup
from resight.score.accepted import evidence_name
from resight.segment.stage import segment_fingerprint
from resight.settings import Settings
from resight.shortlist.setup import VotingNames, voting_names
from resight.weights.store import WeightStore

UNKNOWN = "unknown"


@dataclass(frozen=True)
class StageNames:
    """Names of what the stages compute under some settings and weights.

    Attributes:
        ingest: Contents of files.
        segment: Crops.
        extract: Features.
        embed: Vectors of crops; empty where they are off.
        match: Results of pairs, their points, and who fell behind on the way.
        voting: Voting descriptors and their indexes.
        voting_unknown: The same, with indexes of their own for unknown animals among each other.
        evidence: What a fusion is fitted on: results of pairs and votes.
        background: Photos with the animals painted over.
    """

    ingest: str
    segment: str
    extract: str
    embed: str
    match: str
    voting: VotingNames
    voting_unknown: VotingNames
    evidence: str
    background: str


def stage_names(settings: Settings, weights: WeightStore) -> StageNames:
    """All names under these settings.

    Raises:
        WeightsError: A weights file is missing or wrong.
    """
    segment, votes = segment_name(settings, weights), settings.shortlist
    extract = _features_name(settings.extract, segment, weights)
    voting = _features_name(votes.extractor(settings.extract), segment, weights)
    matching = match_setup(settings)
    digests = list(weights.digests(matching.weight_names()).values())
    match = match_fingerprint(matching, digests, extract, settings.device)
    return StageNames(
        ingest=ingest_name(settings),
        segment=segment,
        extract=extract,
        embed=_vectors_name(settings, segment, weights),
        match=match,
        voting=voting_names(votes, voting),
        voting_unknown=voting_names(votes, voting, UNKNOWN),
        evidence=evidence_name(match, votes.index_name(votes.enabled, str(votes.neighbours))),
        background=background_fingerprint(settings.crop),
    )


def ingest_name(settings: Settings) -> str:
    """Name of what is known about the contents of files; needs no weights."""
    return ingest_fingerprint(settings.ingest)


def segment_name(settings: Settings, weights: WeightStore) -> str:
    """Name of the crops, for those who go no further; needs the segmenter's weights alone.

    Raises:
        WeightsError: They are missing or wrong.
    """
    digests = list(weights.digests(settings.segment.weight_names()).values())
    return segment_fingerprint(settings.segment, settings.crop, digests)


def _features_name(extractor: ExtractorBase, crops_name: str, weights: WeightStore) -> str:
    return extract_fingerprint(extractor, list(weights.digests(extractor.weight_names()).values()), crops_name)


def _vectors_name(settings: Settings, crops_name: str, weights: WeightStore) -> str:
    if not settings.embed.enabled:
        return ""
    return settings.embed.vectors_name(list(weights.digests(settings.embed.weight_names()).values()), crops_name)
