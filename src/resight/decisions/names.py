"""Names until a person gives one, and names that are probably one, misspelt: case, spaces, marks on letters, or one or two letters."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import combinations

SHORT_CHARS, LONG_CHARS = 4, 8  # below the first no letter may differ, from the second on two may
NUMBER = re.compile(r"\d+")
MOST_KEYS_CHARS = 40  # longer names are only compared as a whole


def provisional_id(encounter_id: str) -> str:
    """Name of an animal until a person names it, made from the encounter in which it was first met."""
    return "new-" + sha256(encounter_id.encode()).hexdigest()[:8]


def folded(name: str) -> str:
    """The name without case, spaces, punctuation, marks on letters and leading zeros."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return NUMBER.sub(lambda n: n[0].lstrip("0") or "0", "".join(c for c in plain if c.isalnum()))


def alike(one: str, two: str) -> bool:
    """Whether two different names may be one, misspelt. Different numbers are never a mistake: T12 and T13 are two animals."""
    a, b = folded(one), folded(two)
    if NUMBER.findall(a) != NUMBER.findall(b):
        return False
    if a == b:
        return one != two
    if len(a) == len(b) == SHORT_CHARS and sorted(a) != sorted(b):
        return False  # Maia and Naia are two names; of so few letters only swapped ones are a mistake
    allowed = _allowed(min(len(a), len(b)))
    return allowed > 0 and abs(len(a) - len(b)) <= allowed and _distance(a, b) <= allowed


def similar(name: str, known: Iterable[str]) -> list[str]:
    """The known names that ``name`` may be meant for, the nearest first; none if it is known itself."""
    names = sorted(set(known))
    if name in names:
        return []
    a = folded(name)
    return sorted(
        (other for other in names if alike(name, other)), key=lambda other: (_distance(a, folded(other)), other)
    )


def did_you_mean(name: str, near: Collection[str]) -> str:
    """A question that names what is near."""
    return f"{name} looks like {' or '.join(list(near)[:3])}; did you mean {next(iter(near))}?"


def doubtful_pairs(photos_of: Mapping[str, int], apart: Collection[frozenset[str]] = ()) -> list[tuple[str, str]]:
    """Pairs of known names that may be one: the rarer first, then the one that it may be meant for.

    Args:
        photos_of: How many photos have each name.
        apart: Pairs that a person says are two animals.
    """
    # Of T0001 to T9999 no two are alike, and without the numbers all would be compared with all.
    of_numbers: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in photos_of:
        of_numbers[*NUMBER.findall(folded(name))].append(name)
    groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for numbers, names in of_numbers.items():
        for name in names if len(names) > 1 else ():
            for key in _keys(folded(name)):
                groups[(key, *numbers)].add(name)
    pairs = {frozenset(pair) for group in groups.values() for pair in combinations(sorted(group), 2)}
    found = [
        sorted(pair, key=lambda n: (photos_of[n], n)) for pair in pairs if pair not in apart and alike(*sorted(pair))
    ]
    return sorted((rare, often) for rare, often in found)


def _allowed(n_chars: int) -> int:
    return 0 if n_chars < SHORT_CHARS else 1 if n_chars < LONG_CHARS else 2


def _keys(text: str) -> Iterator[str]:
    """What is left of a name without up to as many letters as may differ: names that are alike share one of these."""
    yield text
    if len(text) > MOST_KEYS_CHARS:
        return
    for n in range(1, _allowed(len(text) + 1) + 1):
        for gone in combinations(range(len(text)), n):
            yield "".join(c for k, c in enumerate(text) if k not in gone)


def _distance(a: str, b: str) -> int:
    """Letters that are missing, too many, other ones, or two that are swapped (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        previous, row = row, [i]
        for j, d in enumerate(b, 1):
            best = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (c != d))
            if i > 1 and j > 1 and c == b[j - 2] and a[i - 2] == d:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before = previous
    return row[-1]
