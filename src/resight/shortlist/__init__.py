"""Between ``extract`` and ``match``: which gallery crops each query crop is worth comparing with.

```python
index = build_index(folder, gallery_crop_ids, load, params, descriptor_fingerprint)
votes = search(index, queries, params, allowed=allowed_by_plan(plan, index.crop_ids), names=names)
plan = apply_shortlist(plan, votes.crops, params.k)
```

Names are looked up when they are first used, so that reading the settings does not load torch.
"""

from typing import TYPE_CHECKING

from resight.lazy import lazy

if TYPE_CHECKING:
    from resight.shortlist.codebook import Codebook
    from resight.shortlist.plan import allowed_by_plan, apply_shortlist
    from resight.shortlist.store import ShortlistIndex, build_index, open_index
    from resight.shortlist.votes import CROP_VOTES, NAME_VOTES, Votes, search

_HOME = {
    "CROP_VOTES": "votes",
    "NAME_VOTES": "votes",
    "Codebook": "codebook",
    "ShortlistIndex": "store",
    "Votes": "votes",
    "allowed_by_plan": "plan",
    "apply_shortlist": "plan",
    "build_index": "store",
    "open_index": "store",
    "search": "votes",
}

__all__ = [
    "CROP_VOTES",
    "NAME_VOTES",
    "Codebook",
    "ShortlistIndex",
    "Votes",
    "allowed_by_plan",
    "apply_shortlist",
    "build_index",
    "open_index",
    "search",
]

__getattr__ = lazy(__name__, _HOME)
