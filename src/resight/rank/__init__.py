"""Stage ``rank``: from scored pairs to candidates for every query photo and every query encounter."""

from resight.rank.photos import photo_pairs
from resight.rank.rank import RANK_SCHEMA, rank, rank_all, top
from resight.rank.rule import Chosen, choose_rule

__all__ = ["RANK_SCHEMA", "Chosen", "choose_rule", "photo_pairs", "rank", "rank_all", "top"]
