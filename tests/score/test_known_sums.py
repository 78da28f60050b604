"""Cohorts that are put together from two tables give the scores of one."""

import numpy as np
import pyarrow as pa
import pytest

from resight.errors import BrokenCountError
from resight.score.cohorts import Cohorts, KnownSums
from resight.score.null import Moments

NULL = Moments(0.5, 1.5)
LABELS = {"P": "Ada", "Q": "Ada", "R": "Ben", "S": "Cleo", "T": "Cleo"}


def rows(pairs: list[tuple[str, str]], purpose: str) -> pa.Table:
    """Pairs of crops, each of the photo with the same letter in capitals."""
    columns = {f"{side}_crop_id": [pair[k] for pair in pairs] for k, side in enumerate(("query", "gallery"))}
    columns |= {
        f"{side}_photo_id": [pair[k][0].upper() for pair in pairs] for k, side in enumerate(("query", "gallery"))
    }
    return pa.table(columns | {"purpose": [purpose] * len(pairs)})


GALLERY = ["p1", "q1", "r1", "s1", "t1", "t2"]
CALIBRATING = rows([(a, b) for a in GALLERY for b in GALLERY if a[0] != b[0]], "calibrate")
OWN = rows([(a, b) for a in ("x1", "a1", "a2") for b in GALLERY], "identify")


def test_sums_of_calibration_pairs_stand_for_the_pairs() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.gamma(2, 1, CALIBRATING.num_rows), rng.gamma(2, 1, OWN.num_rows)
    whole = Cohorts.of(pa.concat_tables([CALIBRATING, OWN]), LABELS).scores(np.concatenate([x, y]), NULL)
    known = KnownSums.of(Cohorts.of(CALIBRATING, LABELS), x)
    own = Cohorts.of(OWN, LABELS)
    assert np.array_equal(own.scores(y, NULL, known), whole[len(x) :])
    assert np.array_equal(Cohorts.of(CALIBRATING, LABELS).scores(x, NULL, KnownSums.empty()), whole[: len(x)])
    assert not np.array_equal(own.scores(y, NULL), whole[len(x) :])


def test_a_table_without_pairs_has_no_scores() -> None:
    known = KnownSums.of(Cohorts.of(CALIBRATING, LABELS), np.ones(CALIBRATING.num_rows))
    assert Cohorts.of(OWN.slice(0, 0), LABELS).scores(np.zeros(0), NULL, known).shape == (0,)


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    x, order = rng.gamma(2, 1, CALIBRATING.num_rows), rng.permutation(CALIBRATING.num_rows)
    there = Cohorts.of(CALIBRATING, LABELS).scores(x, NULL)
    mixed = Cohorts.of(CALIBRATING.take(pa.array(order)), LABELS).scores(x[order], NULL)
    assert np.array_equal(mixed, there[order])


def test_a_crop_with_sums_in_both_is_refused() -> None:
    known = KnownSums.of(Cohorts.of(CALIBRATING, LABELS), np.ones(CALIBRATING.num_rows))
    with pytest.raises(BrokenCountError, match="a crop has a cohort here"):
        Cohorts.of(CALIBRATING, LABELS).scores(np.ones(CALIBRATING.num_rows), NULL, known)
