"""What each stage is told, out of the settings of a run."""

from resight.ingest.stage import IngestSetup
from resight.match.setup import MatchSetup
from resight.plugins.registry import SCORES
from resight.score.base import FUSED, Score, ShippedCalibration
from resight.segment.block import SegmentSetup
from resight.settings import Settings
from resight.shortlist.setup import Voting, VotingNames


def ingest_setup(settings: Settings) -> IngestSetup:
    """How photos are read."""
    return IngestSetup(settings.ingest, settings.encounter)


def segment_setup(settings: Settings) -> SegmentSetup:
    """How animals are found in photos and cut out."""
    return SegmentSetup(settings.segment, settings.crop, settings.ingest.max_megapixels)


def match_setup(settings: Settings) -> MatchSetup:
    """How pairs are matched."""
    pairs = settings.pairs
    return MatchSetup(
        settings.match, settings.extract.family, settings.score.bins, pairs.block_seconds, pairs.max_block_pairs
    )


def shipped_calibration(settings: Settings) -> ShippedCalibration | None:
    """What the score that ranks has meant at other places, with the matcher of these settings."""
    score: Score = SCORES[settings.score.name]
    return score.shipped_with(settings.match.weight_names_for(settings.extract.family), settings.match.geometry())


def voting(settings: Settings, names: VotingNames) -> Voting:
    """How votes are counted; ``names`` from `StageNames`, of all crops or of the unknown animals."""
    params, extractor = settings.shortlist, settings.shortlist.extractor(settings.extract)
    as_evidence = params.votes(settings.score.name == FUSED)
    return Voting(params, extractor, extractor == settings.extract, as_evidence, names)
