"""Votes of single descriptors."""

from __future__ import annotations

from resight.score.base import Score

VOTES = "votes (shortlist.enabled = 'votes' or 'on')"


SCORES = (
    Score(
        "lnbnn",
        lambda d: d.lnbnn,
        "LNBNN (McCann and Lowe, CVPR 2012) as in HotSpotter",
        "votes of single descriptors",
        VOTES,
    ),
    Score(
        "lnbnn_verified",
        lambda d: d.lnbnn_verified,
        "HotSpotter (Crall et al., WACV 2013): votes after spatial verification",
        "votes that agree in turn, size and place",
        VOTES,
    ),
)
