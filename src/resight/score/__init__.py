"""Stage ``score``: from a pair's distribution of confidences to numbers, all of them without matching again."""

from resight.score.fusion import Fusion
from resight.score.null import Null, NullDistribution
from resight.score.registry import SCORES, Score
from resight.score.score import ScoreResult, score

__all__ = ["SCORES", "Fusion", "Null", "NullDistribution", "Score", "ScoreResult", "score"]
