"""A small index beside a large one: unknown animals among each other, with the gallery as the background.

Photos without a name are looked for among each other *and* in the gallery, because a vote is worth what it is above the background. The
gallery has an index. So theirs holds the other crops alone, coded with the gallery's codebook, and the two are searched as
one: the answers are those of a single index of all crops.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from resight.shortlist.entries import Entries, without
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Descriptors
from resight.shortlist.store import (
    INDEX_FILE,
    ShortlistIndex,
    begin_with,
    extend,
    open_index,
    reclaim,
    set_damaged_aside,
)
from resight.store.listing import matching


def build_beside(
    folder: Path, base: Path, crop_ids: Sequence[str], descriptors: Descriptors, params: ShortlistParams, family: str
) -> Path:
    """Bring the index under ``folder`` up to date that lies beside another one, and give its path. A killed call is taken up again by the next one.

    Args:
        folder: As of `store.build_index`.
        base: An index of the same family, with its codebook.
        crop_ids: Who must be found; those that ``base`` holds are not coded again.
        descriptors: Theirs.
        params: Settings.
        family: From `ShortlistParams.index_name`.

    Raises:
        DamagedError: Files of ``base`` are missing or changed.
    """
    set_damaged_aside(folder)
    path = folder / base.name
    begin_with(path, base, family)
    for file in matching(
        folder, f"*/{INDEX_FILE}"
    ):  # beside a codebook that nobody uses any more, or with one of its own
        if file.parent != path:
            file.unlink()
            shutil.rmtree(file.parent, ignore_errors=True)
    there = set(open_index(base).crop_ids)
    mine = [crop_id for crop_id in crop_ids if crop_id not in there]
    reclaim(path, frozenset(mine))
    missing = sorted(set(mine) - set(open_index(path).crop_ids))
    if missing:
        extend(path, missing, descriptors, params.descriptors_per_crop)
    return path


def open_beside(path: Path, base: Path | None) -> ShortlistIndex:
    """The index at ``path``, with all that is in the one that it lies beside; a crop that is in both, because it got a name, is there once.

    Raises:
        DamagedError: A file is missing or changed.
    """
    own = open_index(path)
    if base is None:
        return own
    large = open_index(base)
    if large.entries is None or own.entries is None:
        raise ValueError(f"{path.name} or {base.name} has no codebook")
    there = set(large.crop_ids)
    kept = [frozenset(part.crop_ids) - there for part in own.entries.parts]
    parts = [
        part if len(of_part) == len(part.crop_ids) else without(part, of_part)
        for part, of_part in zip(own.entries.parts, kept, strict=True)
    ]
    return ShortlistIndex(own.name, Entries(large.entries.codebook, [*large.entries.parts, *parts]))
