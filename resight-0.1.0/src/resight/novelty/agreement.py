"""Do the photos of an encounter show one animal? Those that speak against the others, by what was matched.

An encounter formed by rule (one folder, one dive, one minute) may hold two animals. Photos of one moment that show the same part of
one head match strongly, and photos of different animals never do. What does not match says little by itself: the mouth from below
and the top of the head share nothing. So it takes either several photos that a photo should match and does not, or two
different animals of the gallery that it and the others match strongly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

LINKED = 20  # inliers: 2 of 3,061 pairs of different animals had as many, and three in four of one side and moment
ALIKE = 10  # inliers from which on a pair is in doubt and speaks against nothing
PROOFS = 4  # photos that a single one should match and does not
PROOFS_OF_SEVERAL = 3  # the same for photos that match each other
PAIRS_OF_SEVERAL = 6

Pair = tuple[str, str]
NOBODY = ""


@dataclass(frozen=True)
class Compared:
    """Two photos of one encounter.

    Attributes:
        n_inliers: Matches that agree with one geometry, of their best two crops.
        clear: Whether two photos of one animal should match: one side, and many keypoints in both.
    """

    n_inliers: int
    clear: bool


@dataclass(frozen=True)
class Matches:
    """What is known about the photos of some encounters.

    Attributes:
        within: Pairs of photos of one encounter; first the one that is first in the alphabet.
        gallery: By photo and animal, most inliers with a photo of that animal.
    """

    within: Mapping[Pair, Compared] = field(default_factory=dict)
    gallery: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def of(self, a: str, b: str) -> Compared | None:
        """Of two photos in any order; None where they were not compared."""
        return self.within.get((a, b) if a < b else (b, a))

    def between(self, ones: Iterable[str], others: Sequence[str]) -> Iterable[tuple[str, Compared]]:
        """All comparisons of two groups, with the photo of the second."""
        return ((b, pair) for a in ones for b in others if (pair := self.of(a, b)))


def against(photos: Sequence[str], matches: Matches) -> list[list[str]]:
    """Groups of photos that do not belong to the encounter; each of them belongs together.

    Args:
        photos: Of one encounter, in their order.
        matches: What is known about them.
    """
    groups = _groups(photos, matches, ALIKE)
    main, *others = sorted(groups, key=lambda group: (-_support(group, matches), photos.index(group[0])))
    proven = [p for p in main if any(_linked(matches, p, q) for q in main if q != p)]
    return [group for group in others if _speaks_against(group, main, proven, matches)]


def _speaks_against(group: Sequence[str], main: Sequence[str], proven: Sequence[str], matches: Matches) -> bool:
    clear = [photo for photo, pair in matches.between(group, proven) if pair.clear]
    several = len(group) > 1 and all(any(_linked(matches, p, q) for q in group if q != p) for p in group)
    if several and len(set(clear)) >= PROOFS_OF_SEVERAL and len(clear) >= PAIRS_OF_SEVERAL:
        return True
    return (len(group) == 1 and len(set(clear)) >= PROOFS) or _of_two_animals(group, main, matches)


def _of_two_animals(group: Sequence[str], main: Sequence[str], matches: Matches) -> bool:
    """Whether both match an animal of the gallery strongly, and neither is in doubt about that of the other."""
    here, there = _in_gallery(group, matches), _in_gallery(main, matches)
    animal, other = _best(here), _best(there)
    if NOBODY in (animal, other) or animal == other:
        return False
    return here.get(other, 0) < ALIKE and there.get(animal, 0) < ALIKE


def _in_gallery(group: Sequence[str], matches: Matches) -> dict[str, int]:
    most: dict[str, int] = {}
    for photo in group:
        for animal, n in matches.gallery.get(photo, {}).items():
            most[animal] = max(n, most.get(animal, 0))
    return most


def _best(of_animal: Mapping[str, int]) -> str:
    """The animal that is matched strongly, unless a second one is too."""
    strong = [animal for animal, n in of_animal.items() if n >= LINKED]
    return strong[0] if len(strong) == 1 else NOBODY


def _support(group: Sequence[str], matches: Matches) -> int:
    """How many of its photos are linked with one another, or its size where none are."""
    return len(group) + sum(_linked(matches, a, b) for a, b in combinations(group, 2))


def _linked(matches: Matches, a: str, b: str) -> bool:
    pair = matches.of(a, b)
    return pair is not None and pair.n_inliers >= LINKED


def _groups(photos: Sequence[str], matches: Matches, least: int) -> list[list[str]]:
    """Photos that are connected by pairs with at least so many inliers, in their order."""
    group_of = {photo: {photo} for photo in photos}
    for a, b in combinations(photos, 2):
        pair = matches.of(a, b)
        if pair and pair.n_inliers >= least and group_of[a] is not group_of[b]:
            group_of[a] |= group_of[b]
            for photo in group_of[b]:
                group_of[photo] = group_of[a]
    unique = {id(group): group for group in group_of.values()}
    return [[p for p in photos if p in group] for group in unique.values()]
