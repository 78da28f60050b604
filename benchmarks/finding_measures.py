"""How good the head finder's findings are against outlines drawn by people: folds of animals, measures, and confidence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resight.score import logistic
from resight.segment.geometry import Box
from resight.segment.learned.finder import Finding
from resight.segment.learned.network import VIEWS
from resight.segment.masks import fill_polygons
from resight.train.segmenter.samples import OutlinedPhoto, wrapped

FOUND_IOU = 0.5
MASK_SIDE_PX = 512
RIDGE = 1.0


def folds_by_individual(samples: Sequence[OutlinedPhoto], n_folds: int) -> dict[str, int]:
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

    def __init__(self, samples: Sequence[OutlinedPhoto], n_folds: int = 3) -> None:
        self.n_folds = n_folds
        self._first = folds_by_individual([sample for sample in samples if sample.source != "bonaire"], n_folds)
        self._second = folds_by_individual(
            [sample for sample in samples if sample.source == "bonaire"], max(1, n_folds - 1)
        )

    def tests(self, sample: OutlinedPhoto, fold: int) -> bool:
        """Whether ``sample`` is kept out of training in ``fold``."""
        if sample.source == "bonaire":
            return fold == 0 or self._second[sample.individual_id] == fold - 1
        return self._first[sample.individual_id] == fold


@dataclass(frozen=True)
class Judged:
    """One photo: what is true, what was found.

    Attributes:
        name: File.
        source: Data set.
        individual_id: Animal.
        visibility: good, fair, poor or none, as the annotator says.
        view: True view.
        head_fraction: Long side of the head's box over the photo's; 0 without a head.
        confidence: Of the best finding; 0 where there is none.
        box_iou: Intersection over union of the boxes.
        mask_iou: The same of the outlines.
        body_iou: The same of the bodies' boxes; 0 where none was found.
        found_view: Likeliest view.
        left_over_right: Chance of left minus chance of right.
        upright_error_deg: Against what the outlines say; None where they do not.
        seconds: Time of the search.
    """

    name: str
    source: str
    individual_id: str
    visibility: str
    view: str
    head_fraction: float
    confidence: float
    box_iou: float
    mask_iou: float
    body_iou: float
    found_view: str
    left_over_right: float
    upright_error_deg: float | None
    seconds: float


def judge(sample: OutlinedPhoto, finding: Finding | None, seconds: float = 0.0) -> Judged:
    """Compare the best finding in a photo with its truth; ``sample`` has the photo's full size."""
    truth = _bounds(sample.head_xy_px) if len(sample.head_xy_px) else None
    fraction = max(truth[2:]) / max(sample.size_wh_px) if truth else 0.0
    common = (sample.name, sample.source, sample.individual_id, sample.visibility, VIEWS[sample.view], fraction)
    if finding is None:
        return Judged(*common, 0.0, 0.0, 0.0, 0.0, "none", 0.0, None, seconds)
    has_upright = not math.isnan(sample.upright_rad)
    error = abs(math.degrees(wrapped(finding.upright_rad - sample.upright_rad))) if has_upright else None
    chances = finding.view_chances
    return Judged(
        *common,
        finding.confidence,
        box_iou(finding.bbox_xywh_px, truth) if truth else 0.0,
        mask_iou(sample, finding) if truth else 0.0,
        box_iou(finding.body_xywh_px, sample.body_xywh_px) if finding.body_xywh_px and sample.body_xywh_px else 0.0,
        finding.viewpoint[0],
        chances["left"] - chances["right"],
        error,
        seconds,
    )


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - both
    return both / union if union > 0 else 0.0


def mask_iou(sample: OutlinedPhoto, finding: Finding) -> float:
    """Intersection over union of the outlines, drawn around the true head at `MASK_SIDE_PX`."""
    points = np.concatenate([sample.head_xy_px, *map(np.array, finding.polygons_xy_px)])
    low = points.min(0)
    scale = MASK_SIDE_PX / max(float(np.ptp(points, axis=0).max()), 1e-6)
    size = (MASK_SIDE_PX + 2, MASK_SIDE_PX + 2)
    truth = fill_polygons([(sample.head_xy_px - low) * scale], size)
    mask = fill_polygons([(np.array(p) - low) * scale for p in finding.polygons_xy_px], size)
    return float((truth & mask).sum() / (truth | mask).sum())


def table(judged: Sequence[Judged], min_confidence: float) -> list[dict[str, Any]]:
    """Measures by data set, visibility, size and view; one row each."""
    rows = []
    for label, members in _groups([j for j in judged if j.view != "none"]).items():
        right = [j for j in members if j.box_iou >= FOUND_IOU and j.confidence >= min_confidence]
        sided = [j for j in members if j.view in ("left", "right") and j.box_iou >= FOUND_IOU]
        errors = [j.upright_error_deg for j in right if j.upright_error_deg is not None]
        rows.append(
            {
                "group": label,
                "heads": len(members),
                "found": _share(right, members),
                "found_at_any_confidence": _share([j for j in members if j.box_iou >= FOUND_IOU], members),
                "median_box_iou": _median(j.box_iou for j in members),
                "median_mask_iou": _median(j.mask_iou for j in members),
                "median_body_iou": _median(j.body_iou for j in members),
                "view_right": _share([j for j in right if j.view == j.found_view], right),
                "side_right": _share([j for j in sided if (j.left_over_right > 0) == (j.view == "left")], sided),
                "median_upright_error_deg": _median(errors),
                "upright_within_45_deg": _share([e for e in errors if e <= 45], errors),
                "median_seconds": _median(j.seconds for j in members),
            }
        )
    return rows


def confusion(judged: Iterable[Judged]) -> dict[str, dict[str, int]]:
    """How often each true view (outer) was taken for each view (inner), over heads that were found."""
    counts = {view: dict.fromkeys(VIEWS, 0) for view in VIEWS}
    for photo in judged:
        if photo.box_iou >= FOUND_IOU:
            counts[photo.view][photo.found_view] += 1
    return counts


def _groups(judged: Sequence[Judged]) -> Mapping[str, list[Judged]]:
    tests: dict[str, Callable[[Judged], bool]] = {
        "all": lambda j: True,
        "good and fair": lambda j: j.visibility in ("good", "fair"),
        "good": lambda j: j.visibility == "good",
        "fair": lambda j: j.visibility == "fair",
        "poor": lambda j: j.visibility == "poor",
        "head below 6 % of the long side": lambda j: j.head_fraction < 0.06,
        "6 to 12 %": lambda j: 0.06 <= j.head_fraction < 0.12,
        "12 % and more": lambda j: j.head_fraction >= 0.12,
        **{f"view {view}": _has_view(view) for view in VIEWS[:-1]},
    }
    groups = {name: [j for j in judged if test(j)] for name, test in tests.items()}
    return {name: members for name, members in groups.items() if members}


def _has_view(view: str) -> Callable[[Judged], bool]:
    return lambda j: j.view == view


def _share(part: Sequence[Any], whole: Sequence[Any]) -> float | None:
    return len(part) / len(whole) if whole else None


def _median(values: Iterable[float]) -> float | None:
    kept = list(values)
    return float(np.median(kept)) if kept else None


def _bounds(outline_xy: np.ndarray) -> Box:
    (left, top), (right, bottom) = outline_xy.min(0), outline_xy.max(0)
    return float(left), float(top), float(right - left), float(bottom - top)


def fit_confidence(evidence: Sequence[Sequence[float]], right: Sequence[bool]) -> tuple[float, tuple[float, ...]]:
    """Logistic regression with a ridge on the standardised coefficients.

    Args:
        evidence: (N, k), the columns of `resight.segment.learned.finder.EVIDENCE`.
        right: Whether each finding overlaps the true head by at least a half; both occur.

    Returns:
        Intercept and (k,) coefficients.
    """
    raw = np.asarray(evidence, np.float64)
    mean, spread = raw.mean(0), raw.std(0) + 1e-9
    zeros = np.zeros(raw.shape[1])
    intercept, beta = logistic.fit(
        (raw - mean) / spread, np.asarray(right, bool), np.ones(len(raw)), zeros, zeros + RIDGE, zeros > 0
    )
    coefficients = beta / spread
    return float(intercept - coefficients @ mean), tuple(float(c) for c in coefficients)
