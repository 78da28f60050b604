"""LightGlue's arithmetic, rearranged: same checkpoints and scores as ``kornia.feature.LightGlue``, less work per pair.

What depends on one photo only is computed once per photo (`LightGlueEngine.encode`); what depends on a pair is done
without padding on CPU, and in masked batches on CUDA, so that a score never depends on batch mates.
"""

from resight.match.engine.adaptive import AdaptiveMatch
from resight.match.engine.batch import Encoded, Scores
from resight.match.engine.engine import LightGlueEngine, Match
from resight.match.engine.halving import Halving
from resight.match.engine.plan import bucket_of, plan_tile
from resight.match.engine.summary import TileSummary

__all__ = [
    "AdaptiveMatch",
    "Encoded",
    "Halving",
    "LightGlueEngine",
    "Match",
    "Scores",
    "TileSummary",
    "bucket_of",
    "plan_tile",
]
