"""Stage ``match``: from two feature sets to matches with a confidence each, and from there to a distribution."""

from resight.match.cache import match_fingerprint
from resight.match.evidence import Evidence, evidence
from resight.match.halving import HalvingResult, halve
from resight.match.match import MatchResult, match
from resight.match.plan import plan_pairs

__all__ = ["Evidence", "HalvingResult", "MatchResult", "evidence", "halve", "match", "match_fingerprint", "plan_pairs"]
