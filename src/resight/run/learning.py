"""Learning from the calibration pairs of a gallery, once for each gallery."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from resight.errors import DamagedError
from resight.match.params import GRADED
from resight.novelty.calibration import calibrate
from resight.novelty.model import fit
from resight.pairs.cohort import Cohort, calibration_photos
from resight.plugins.registry import SCORES
from resight.rank.rule import GROWING, choose_rule
from resight.run.calibration import Calibrating, learned_of_current
from resight.run.learned import Learned, read_learned, write_learned
from resight.run.own_pairs import with_cut_pairs
from resight.run.setups import shipped_calibration
from resight.run.state import Planned
from resight.score.choose import ChosenFusion, viewpoints_of
from resight.score.distribution import HISTOGRAM, NUMBERS
from resight.score.gallery import Gallery
from resight.score.null import impostor_pairs, is_graded, null_of, shipped_inliers
from resight.score.stage import score
from resight.settings import Settings
from resight.store.columns import digest_of_table
from resight.store.fingerprint import fingerprint
from resight.version import __version__

WHO = ["query_crop_id", "gallery_crop_id", "query_photo_id", "gallery_photo_id", "purpose", "status"]
OF_PAIR = (*WHO, *NUMBERS)
REVISION = 5  # raise it with every change of what is learned from the same pairs: null, sums, rule or model


def learned_name(settings: Settings, planned: Planned, calibrating: Calibrating, fusion: str) -> str:
    """A name for what is learned from calibration pairs.

    Args:
        settings: Of the run.
        planned: Crops, and labels that may be seen.
        calibrating: The pairs.
        fusion: Fingerprint of the fusion; '' without one.
    """
    sections = (settings.pairs, settings.score, settings.rank, settings.novelty)
    elsewhere = (shipped_calibration(settings), shipped_inliers(settings.match.geometry() == GRADED))
    crops = digest_of_table(_around(planned.info, planned.cohort))
    votes = (planned.shortlisted, sorted(calibrating.votes))
    shipped = [None if each is None else asdict(each) for each in elsewhere]
    return fingerprint("learned", REVISION, __version__, calibrating.name, *sections, shipped, crops, *votes, fusion)


def learn(settings: Settings, planned: Planned, calibrating: Calibrating, fused: ChosenFusion) -> Learned:
    """What the calibration pairs of a gallery teach; read where it was learned before.

    Args:
        settings: Of the run.
        planned: Crops, and labels that may be seen.
        calibrating: The pairs, which are there.
        fused: The fusion.
    """
    folder = calibrating.folder / learned_name(settings, planned, calibrating, fused.fingerprint)
    before = read_learned(folder, settings.rank)
    if before is not None:
        return before
    write_learned(
        folder, _learned_now(settings, planned, calibrating, fused), learned_of_current(calibrating.workspace)
    )
    now = read_learned(folder, settings.rank)
    if now is None:
        raise DamagedError(
            folder, "what was written there a moment ago is not there", "look after the disk, then run it again"
        )
    return now


def _around(info: pa.Table, cohort: Cohort) -> pa.Table:
    """Crops of encounters of which a photo is in the gallery: others in them tell which photos are of one moment."""
    named = pc.is_in(info["photo_id"], pa.array(sorted(cohort.gallery), pa.string()))
    return info.filter(pc.is_in(info["encounter_id"], pc.unique(info.filter(named)["encounter_id"].combine_chunks())))


def _learned_now(settings: Settings, planned: Planned, calibrating: Calibrating, fused: ChosenFusion) -> Learned:
    cohort, views, kind = planned.cohort, viewpoints_of(planned.info), SCORES[settings.score.name]
    pairs = calibrating.read((*OF_PAIR, HISTOGRAM) if kind.reads_histogram else OF_PAIR)
    impostors = _with_histograms(impostor_pairs(pairs, cohort.labels, settings.score.null_pairs), calibrating)
    graded = is_graded(pairs) if pairs.num_rows else settings.match.geometry() == GRADED
    null = null_of(impostors, views, shipped_inliers(graded))
    none = Gallery.without_pairs(calibrating.votes)
    scores = score(pairs, cohort.labels, settings.score, views, fused.fusion, null, gallery=none, alone=True).scores
    rule = choose_rule(scores, planned.info, settings.rank, kind.is_ratio)
    could = pairs.select(WHO)
    if planned.shortlisted:
        chosen = calibration_photos(planned.info, cohort, settings.novelty.calibration_encounters)
        could = with_cut_pairs(could, planned.grids, cohort.labels, chosen)
    found = calibrate(scores, planned.info, rule.params, could)
    model = fit(found, kind.signed, shipped_calibration(settings), rule.params.rule in GROWING)
    return Learned(null, Gallery.of(pairs, cohort.labels, calibrating.votes), rule, model)


def _with_histograms(pairs: pa.Table, calibrating: Calibrating) -> pa.Table:
    """The few pairs of the null have them in any case."""
    if HISTOGRAM in pairs.column_names or not pairs.num_rows:
        return pairs
    return pairs.append_column(HISTOGRAM, calibrating.read_of(pairs, [HISTOGRAM])[HISTOGRAM])
