"""Who is in training and who in test: never the same animal in both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from resight.train.segmenter.samples import Sample


def folds_by_individual(samples: Sequence[Sample], n_folds: int) -> dict[str, int]:
    """Fold of every animal; folds get about the same number of photos. Depends on names and counts alone."""
    counts = Counter(sample.individual_id for sample in samples)
    totals, fold_of = [0] * n_folds, {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        fold = totals.index(min(totals))
        fold_of[name] = fold
        totals[fold] += counts[name]
    return fold_of


class Folds:
    """Cross-validation over two data sets.

    The animals of the first (``zakynthos``) are split into ``n_folds``. The second (``bonaire``), of another species, is left out
    of training as a whole in fold 0; in the other folds only a part of its animals is, so that all of them are tested once by a
    model that knows the species.
    """

    def __init__(self, samples: Sequence[Sample], n_folds: int = 3) -> None:
        self.n_folds = n_folds
        self._first = folds_by_individual([sample for sample in samples if sample.source != "bonaire"], n_folds)
        self._second = folds_by_individual(
            [sample for sample in samples if sample.source == "bonaire"], max(1, n_folds - 1)
        )

    def tests(self, sample: Sample, fold: int) -> bool:
        """Whether ``sample`` is kept out of training in ``fold``."""
        if sample.source == "bonaire":
            return fold == 0 or self._second[sample.individual_id] == fold - 1
        return self._first[sample.individual_id] == fold
