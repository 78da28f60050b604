"""From matches to a distribution: the columns of the ``pairs`` table that every score is computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from resight.match.base import PairMatch

LLR_LARGEST = 1 - 1e-6  # so that a confidence of 1 does not make the log-likelihood ratio infinite

SUMMARY_SCHEMA = pa.schema(
    [
        ("n_keypoints_a", pa.int32()),
        ("n_keypoints_b", pa.int32()),
        ("n_matches", pa.int32()),
        ("n_inliers", pa.int32()),
        ("agreement", pa.float64()),
        ("confidence_histogram", pa.list_(pa.int32())),
        ("confidence_sum", pa.float64()),
        ("confidence_sum_squares", pa.float64()),
        ("confidence_sum_above_half", pa.float64()),
        ("confidence_max", pa.float64()),
        ("n_above_01", pa.int32()),
        ("n_above_05", pa.int32()),
        ("log_likelihood_ratio", pa.float64()),
    ]
)


def summarise(match: PairMatch, bins: int) -> dict[str, Any]:
    """One row of `SUMMARY_SCHEMA`. With s the confidences of the mutual matches, in float64:

    - ``confidence_histogram[k]`` = number of s in (k / bins, (k + 1) / bins];
    - ``confidence_sum`` = sum s, ``confidence_sum_squares`` = sum s^2, ``confidence_max`` = max s (0 without matches);
    - ``n_above_01`` = #{s > 0.1}, ``n_above_05`` = #{s > 0.5}, ``confidence_sum_above_half`` = sum of s > 0.5;
    - ``log_likelihood_ratio`` = -sum log(1 - min(s, 1 - 1e-6));
    - ``n_inliers`` is None where geometry was not tried, ``agreement`` where matches are not graded.

    Keypoints in no mutual match have confidence exactly 0 and add nothing to any of these. The sums run over the sorted
    confidences, so that they do not depend on the order of the matches.
    """
    s = np.sort(match.confidence.astype(np.float64))
    above_half = s[s > 0.5]
    return {
        "n_keypoints_a": match.n_a,
        "n_keypoints_b": match.n_b,
        "n_matches": match.n_matches,
        "n_inliers": match.n_inliers if match.verified else None,
        "agreement": match.agreement,
        "confidence_histogram": histogram(s, bins),
        "confidence_sum": float(s.sum()),
        "confidence_sum_squares": float(np.square(s).sum()),
        "confidence_sum_above_half": float(above_half.sum()),
        "confidence_max": float(s.max(initial=0.0)),
        "n_above_01": int((s > 0.1).sum()),
        "n_above_05": len(above_half),
        "log_likelihood_ratio": float(-np.log1p(-np.minimum(s, LLR_LARGEST)).sum()) + 0.0,
    }


def histogram(confidence: np.ndarray, bins: int) -> list[int]:
    """Counts over ``bins`` equal bins of (0, 1], open below and closed above.

    Raises:
        ValueError: A confidence is outside (0, 1].
    """
    if confidence.size and not (confidence.min() > 0 and confidence.max() <= 1):
        raise ValueError(f"confidences must be in (0, 1], found {confidence.min()} to {confidence.max()}")
    bin_of = np.ceil(confidence * bins).astype(np.int64) - 1
    counts: list[int] = np.bincount(bin_of, minlength=bins).tolist()
    return counts
