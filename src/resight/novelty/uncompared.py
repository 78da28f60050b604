"""Why an encounter could be compared with no animal at all: the true reason, in a word and in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from resight.status import CropStatus, FeatureStatus, PairReason, PairStatus
from resight.wording import counted

NAMES_SHOWN = 3
IN_A_PHOTO = {
    CropStatus.NO_HEAD.value: "no head was found",
    CropStatus.NO_ANNOTATION.value: "no outline of a head was given",
    CropStatus.TOO_SMALL.value: "the head is too small",
    CropStatus.TAKEN_OUT.value: "a person has taken the crop out",
    CropStatus.FAILED.value: "the head could not be cut out",
    FeatureStatus.NO_KEYPOINTS.value: "no pattern can be seen on the head",
}


class Obstacle(StrEnum):
    """What stood in the way; the column ``reason`` of ``novelty``."""

    NO_HEAD = "no_usable_head"
    NOBODY_KNOWN = "nobody_known"
    REJECTED = "all_rejected"
    SIDE = "no_photo_of_that_side"
    KEPT_APART = "kept_apart"
    FAILED = "comparing_failed"
    UNKNOWN = "no_comparable_photo"


@dataclass(frozen=True)
class Uncompared:
    """Why nothing was compared."""

    reason: Obstacle
    sentence: str


def without_head(ends: Iterable[str]) -> Uncompared:
    """No photo of the encounter has a head with a pattern.

    Args:
        ends: For each photo the status that stopped it (`CropStatus`, `FeatureStatus`).
    """
    counts = Counter(IN_A_PHOTO.get(end, end.replace("_", " ")) for end in ends)
    if counts.total() == 1:
        return Uncompared(Obstacle.NO_HEAD, f"It could not be compared: {next(iter(counts))}.")
    said = ", ".join(f"{what} ({counted(n, 'photo')})" for what, n in counts.most_common())
    return Uncompared(Obstacle.NO_HEAD, f"It could not be compared: {said}.")


def all_rejected(names: Collection[str], others_left_out: bool = False) -> Uncompared:
    """A person says that it is none of the animals with which it was compared; the shortlist may have left others out."""
    shown = sorted(names)[:NAMES_SHOWN]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    only = "the only animal" if len(names) == 1 else "the only animals"
    if others_left_out:
        return Uncompared(
            Obstacle.REJECTED,
            f"A person has decided that it is not {', '.join(shown)}{more}, {only} that the shortlist listed; it was compared with no other. "
            "Raise shortlist.k to have more compared.",
        )
    return Uncompared(
        Obstacle.REJECTED,
        f"A person has decided that it is not {', '.join(shown)}{more}, {only} that it could be compared with. "
        "It may be new, or an animal of which there is no photo of this side.",
    )


def kept_apart(sides: Collection[str], reasons: Collection[str], statuses: Collection[str]) -> Uncompared:
    """It has a usable head, but nothing to compare it with.

    Args:
        sides: That its photos show.
        reasons: Of the pairs with the gallery that were left out (`PairReason`, or ``other_`` and a column).
        statuses: Of all its pairs with the gallery (`PairStatus`).
    """
    if not statuses:
        return Uncompared(Obstacle.NOBODY_KNOWN, "It could not be compared: no animal has a named photo yet.")
    if PairStatus.FAILED in statuses:
        return Uncompared(Obstacle.FAILED, "It could not be compared: comparing failed; run the night again.")
    if PairReason.VIEWPOINT in reasons:
        shown = " and ".join(sorted(sides))
        what = f"its photos show the side {shown}" if len(sides) == 1 else f"its photos show the sides {shown}"
        sentence = f"It could not be compared: {what}, and no photo of a named animal shows a side that can be compared with that."
        return Uncompared(Obstacle.SIDE, sentence)
    columns = sorted(r.removeprefix("other_") for r in reasons if r.startswith("other_"))
    if columns:
        same = " and ".join(columns)
        return Uncompared(
            Obstacle.KEPT_APART, f"It could not be compared: no photo of a named animal has the same {same}."
        )
    return Uncompared(Obstacle.UNKNOWN, "It could not be compared: no photo of a named animal may be compared with it.")
