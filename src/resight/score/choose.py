"""Which fusion combines a run's evidence, and whether a new one replaces it; each with a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resight.score.accepted import accept, accepted
from resight.score.distribution import scored_only
from resight.score.fusion import Fusion
from resight.score.learn import TrainingPairs, fit_fusion, log_loss_of
from resight.score.null import Null, labels_of
from resight.score.prior import NOTHING
from resight.score.stage import distributions
from resight.store.columns import mapped
from resight.store.workspace import Workspace

NOT_WORSE = 0.01
TOO_FEW = "Too few pairs of different known animals to learn from; evidence is fused {how}, on the scale of this run's own pairs."
AS_ELSEWHERE = "as learned at other places"
GOES_WITHOUT = "There are too few pairs of different animals to learn what sums of confidences mean, so fusion goes without them and is less sure."
ALL_THE_SAME = "with equal weights, because no other place has taught what just this evidence is worth"


@dataclass(frozen=True)
class ChosenFusion:
    """A fusion and why it was chosen.

    Attributes:
        fusion: None where the score is not fused, or nothing could be fitted.
        note: For people; '' if there is nothing to report.
        fingerprint: Name of the fusion if it was learned from this workspace's labels, otherwise ''.
    """

    fusion: Fusion | None = None
    note: str = ""
    fingerprint: str = ""

    def under(self, null: Null) -> ChosenFusion:
        """The same, with a sentence where it was fitted with more pairs of different animals than ``null`` knows."""
        goes_without = self.fusion is not None and null.counts is None and self.fusion.needs_strangers
        return replace(self, note=f"{self.note} {GOES_WITHOUT}") if goes_without else self


@dataclass(frozen=True)
class LabelledPairs:
    """Matched pairs with the labels of their photos.

    Attributes:
        pairs: The ``pairs`` table.
        info: Columns ``crop_id, photo_id, encounter_id, viewpoint`` of every crop.
        labels: Individual by photo_id.
        null: What pairs of different animals look like.
        matcher: Kind of matcher, ``match.kind``; '' for any.
    """

    pairs: pa.Table
    info: pa.Table
    labels: Mapping[str, str]
    null: Null
    matcher: str = ""

    @property
    def viewpoints(self) -> dict[str, str]:
        """By crop_id."""
        return viewpoints_of(self.info)

    def training(self, purposes: tuple[str, ...] = (), visible: Mapping[str, str] | None = None) -> TrainingPairs:
        """Scored pairs of known animals, of different encounters; those of one animal only where it was met on two known days.

        Args:
            purposes: Only pairs of these purposes; all if empty.
            visible: Labels that cohorts may use; all if not given.
        """
        pairs = scored_only(self.pairs)
        encounter_of = dict(zip(self.info["photo_id"].to_pylist(), self.info["encounter_id"].to_pylist(), strict=True))
        sides = [pairs[f"{side}_photo_id"] for side in ("query", "gallery")]
        owners, candidates = (labels_of(photos, self.labels) for photos in sides)
        encounters, met_before = (mapped(photos, encounter_of, pa.string()) for photos in sides)
        keep = pc.and_(
            pc.not_equal(encounters, met_before), pc.or_(pc.not_equal(owners, candidates), self._on_two_days(*sides))
        )
        if purposes:
            keep = pc.and_(keep, pc.is_in(pairs["purpose"].combine_chunks(), pa.array(purposes, pairs["purpose"].type)))
        keep = pc.fill_null(pc.and_(keep, pc.and_(pc.is_valid(owners), pc.is_valid(candidates))), False)
        kept = pairs.filter(keep)
        own, others, met = (
            np.array(column.filter(keep).to_pylist(), str) for column in (owners, candidates, encounters)
        )
        labels = self.labels if visible is None else visible
        d = distributions(kept, labels, self.null, self.viewpoints)
        return TrainingPairs(d, own, others, met, self.matcher)

    def _on_two_days(self, *sides: pa.ChunkedArray) -> pa.Array:
        """Whether the two photos of each pair were taken on two days that are known; always where no days are kept."""
        if "taken_on" not in self.info.column_names:
            return pa.repeat(pa.scalar(True), len(sides[0]))
        photos, days = self.info["photo_id"].to_pylist(), self.info["taken_on"]
        day = dict(zip(photos, (taken or None for taken in days.to_pylist()), strict=True))
        query, gallery = (mapped(side, day, days.type) for side in sides)
        return pc.fill_null(pc.not_equal(query, gallery), False)


def viewpoints_of(info: pa.Table) -> dict[str, str]:
    """Viewpoint by crop_id."""
    return dict(zip(info["crop_id"].to_pylist(), info["viewpoint"].to_pylist(), strict=True))


def choose_fusion(
    workspace: Workspace,
    evidence: str,
    labelled: LabelledPairs,
    calibration: str,
    *,
    evaluating: bool,
    keep: bool = True,
) -> ChosenFusion:
    """The accepted fusion; on the first night, one fitted now and accepted; in an evaluation, one fitted on its gallery.

    Args:
        workspace: Keeps the accepted fusion.
        evidence: See `accepted.evidence_name`.
        labelled: Pairs with the labels that may be seen.
        calibration: Setting ``score.calibration``.
        evaluating: Neither use the accepted fusion, which has seen the hidden labels, nor replace it.
        keep: Accept one that is fitted now, for all nights to come.
    """
    before = None if evaluating else accepted(workspace, evidence)
    if before is not None:
        name = before.fusion.fingerprint
        return ChosenFusion(before.fusion, f"Evidence is fused by the accepted fusion {name}.", name)
    fusion = fit_fusion(labelled.training(("calibrate",)), calibration)
    if fusion is None:
        alone = _unfitted(labelled)
        learned = alone is None or alone.training["prior"] != NOTHING
        return ChosenFusion(alone, TOO_FEW.format(how=AS_ELSEWHERE if learned else ALL_THE_SAME))
    name, about = fusion.fingerprint, _about(fusion)
    if evaluating:
        note = f"Evidence is fused by {name}, fitted on the gallery of this split alone ({about})."
        return ChosenFusion(fusion, note, name)
    if not keep:
        return ChosenFusion(fusion, f"Evidence is fused by {name}, fitted for this view alone ({about}).", name)
    accept(workspace, evidence, fusion)
    return ChosenFusion(fusion, f"Evidence is fused by {name}, fitted now for the first time ({about}) and kept.", name)


def refit(workspace: Workspace, evidence: str, labelled: LabelledPairs, calibration: str) -> ChosenFusion:
    """Fit the fusion anew on all labels of a measured run, and accept it if it is not worse.

    Only for when everything has been measured: it uses the labels that were hidden until then. The old fusion may have been
    fitted on the very pairs that the two are compared on; the new one is judged on folds that it has not seen.

    Args:
        workspace, evidence, calibration: As in `choose_fusion`.
        labelled: Pairs with all labels, including the hidden ones.

    Returns:
        The fusion to use from now on; none if nothing could be fitted.
    """
    pairs = labelled.training()
    new, old = fit_fusion(pairs, calibration), accepted(workspace, evidence)
    if new is None:
        return ChosenFusion(note="The fusion stays as it is: too few pairs of different animals to fit it again.")
    about = _about(new)
    if old is None:
        accept(workspace, evidence, new)
        return ChosenFusion(new, f"Evidence is fused by {new.fingerprint} from now on, fitted on {about}.")
    name = old.fusion.fingerprint
    had, has = (fusion.training["n_genuine_encounters"] for fusion in (old.fusion, new))
    if has < had:
        note = f"The fusion stays as it is: {name} rests on {had} encounters, a new one would on {has}."
        return ChosenFusion(old.fusion, note)
    before, after = log_loss_of(old.fusion, pairs), new.training["held_out_log_loss"].get(new.training["calibration"])
    if after is None or after > before + NOT_WORSE:
        note = (
            f"The fusion was fitted again on {about} and is worse on animals that it had not seen (log loss {after} "
            f"instead of {before:.3f}); {name} stays."
        )
        return ChosenFusion(old.fusion, note)
    if accept(workspace, evidence, new).generation == old.generation:
        return ChosenFusion(new)
    note = (
        f"Evidence is fused by {new.fingerprint} from now on, fitted on {about}, instead of {name} "
        f"(log loss {after:.3f} instead of {before:.3f})."
    )
    return ChosenFusion(new, note)


def _about(fusion: Fusion) -> str:
    facts = fusion.training
    return f"{facts['n_genuine_encounters']} encounters of {facts['n_genuine_individuals']} animals"


def _unfitted(labelled: LabelledPairs) -> Fusion | None:
    """The shipped prior, on the scale of these pairs."""
    scored = scored_only(labelled.pairs)
    if not scored.num_rows:
        return None
    query, gallery = np.full(scored.num_rows, "query"), np.full(scored.num_rows, "gallery")
    alone = distributions(scored, labelled.labels, labelled.null, None)  # as they are scored then
    return fit_fusion(TrainingPairs(alone, query, gallery, query, labelled.matcher), at_least=1)
