"""A small index beside a large one: unknown animals among each other, with the gallery as the background.

Photos without a name are looked for among each other *and* in the gallery, because a vote is worth what it is above the background. The
gallery has an index. So theirs holds the other crops alone, coded with the gallery's codebook, and the two are searched as
one: the answers are those of a single index of all crops.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from resight.shortlist.entries import Entries, without
from resight.shortlist.params import ShortlistParams
from resight.shortlist.passes import Descriptors
from resight.shortlist.store import (
    CODEBOOK_FILE,
    INDEX_FILE,
    ShortlistIndex,
    begin_with,
    extend,
    forget_answers,
    has_codebook_of,
    newest_index,
    open_index,
    reclaim,
    set_damaged_aside,
    worth_training,
)
from resight.store.listing import matching


def base_of(folder: Path, family: str, crop_ids: Sequence[str]) -> Path | None:
    """The index under ``folder`` that one of these crops can lie beside; None where there is none, or where so few crops trained it that these need one of their own."""
    set_damaged_aside(folder)
    base = newest_index(folder, family)
    if base is None or worth_training(base, len(set(crop_ids) - set(open_index(base).crop_ids))):
        return None
    return base


def build_beside(
    folder: Path, base: Path, crop_ids: Sequence[str], descriptors: Descriptors, params: ShortlistParams, family: str
) -> Path:
    """Bring the index under ``folder`` up to date that lies beside another one, and give its path. A killed call is taken up again by the next one.

    Args:
        folder: As of `store.build_index`.
        base: From `base_of`.
        crop_ids: Who must be found; those that ``base`` holds are not coded again.
        descriptors: Theirs.
        params: Settings.
        family: From `ShortlistParams.index_name`.

    Raises:
        DamagedError: Files of ``base`` are missing or changed.
    """
    set_damaged_aside(folder)
    path = folder / base.name
    _remove_others(folder, path)
    if not ((path / INDEX_FILE).exists() and has_codebook_of(path, base)):
        forget_answers(folder)
        _remove(path)
    begin_with(path, base, family)
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
    parts = []
    for part in own.entries.parts:
        of_part = frozenset(part.crop_ids) - there
        parts.append(part if len(of_part) == len(part.crop_ids) else without(part, of_part))
    return ShortlistIndex(own.name, Entries(large.entries.codebook, [*large.entries.parts, *parts]))


def _remove_others(folder: Path, path: Path) -> None:
    """Indexes beside a codebook that nobody uses any more, or with one of their own, and what a kill has left of such."""
    for name in (INDEX_FILE, CODEBOOK_FILE, "segment-*"):
        for file in matching(folder, f"*/{name}"):
            if file.parent != path:
                _remove(file.parent)


def _remove(folder: Path) -> None:
    with suppress(OSError):  # without it, it is no index
        (folder / INDEX_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
