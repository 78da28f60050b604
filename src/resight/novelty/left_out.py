"""What a shortlist says of an animal by listing it or by leaving it out, before any score is known."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from resight.novelty.yardstick import Yardstick

# Until a gallery shows how often its shortlist lists the right animal, it counts as if it had been listed 9 times out of 10 (DECISIONS.md).
SHIPPED_LISTED, SHIPPED_ASKED = 9.0, 10.0


@dataclass(frozen=True, eq=False)
class Animals(Set[str]):
    """Some animals of the gallery, one bit for each that there is: with a shortlist that is most of them, for every encounter.

    Attributes:
        names: All animals, sorted; shared by all sets.
        bits: `numpy.packbits` of whether each of them is in the set.
    """

    names: Sequence[str]
    bits: bytes

    @staticmethod
    def of(names: Sequence[str], is_in: np.ndarray) -> Animals:
        """The animals that are in, from (N,) bool."""
        return Animals(names, np.packbits(is_in).tobytes())

    @classmethod
    def _from_iterable(cls, it: Iterable[str]) -> frozenset[str]:  # type: ignore[override]
        """What differences and unions with other sets are."""
        return frozenset(it)

    def _rows(self) -> np.ndarray:
        is_in = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=len(self.names))
        return np.flatnonzero(is_in)

    def __contains__(self, name: object) -> bool:
        row = bisect_left(self.names, name) if isinstance(name, str) else len(self.names)
        return row < len(self.names) and self.names[row] == name and bool(self.bits[row // 8] >> (7 - row % 8) & 1)

    def __iter__(self) -> Iterator[str]:
        return (self.names[row] for row in self._rows().tolist())

    def __len__(self) -> int:
        return int.from_bytes(self.bits, "big").bit_count()


def share_kept(genuine: Mapping[int, Yardstick]) -> float:
    """How often the shortlist lists the right animal, if it could be compared: of gallery encounters whose animal was met again.

    Every animal counts the same, and 10 imagined ones, of which 9 were listed, count too. So it is never certain that the shortlist is right.

    Args:
        genuine: From `calibration.met_again`; the score is minus infinity where an encounter's own animal was left out.
    """
    if not genuine:
        return SHIPPED_LISTED / SHIPPED_ASKED
    of_animal = genuine[min(genuine)].by_animal()
    listed = sum(float(np.mean(scores > -math.inf)) for scores in of_animal.values())
    return (listed + SHIPPED_LISTED) / (len(of_animal) + SHIPPED_ASKED)


def evidence_of_listing(n_listed: int, n_left_out: int, kept: float) -> tuple[float, float]:
    """Likelihood ratio of being listed, and of being left out, of the same animal against a different one.

    A different animal is listed with probability ``n_listed / (n_listed + n_left_out)``, the right one with ``kept``. Both are 1 where
    nothing was left out.

    Args:
        n_listed: Animals that were compared.
        n_left_out: Animals that could have been compared and were not.
        kept: From `share_kept`.
    """
    if not n_left_out or not n_listed:
        return 1.0, 1.0
    share = n_listed / (n_listed + n_left_out)
    kept = max(kept, share)  # no shortlist does worse than chance
    return kept / share, (1 - kept) / (1 - share)
