"""Stage ``score``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from resight.run.run import REHEARSING, Run
from resight.score.accepted import accept, accepted, keep_null
from resight.score.base import FUSED
from resight.score.distribution import scored_only
from resight.score.fusion import Fusion
from resight.score.learn import TrainingPairs, fit_fusion, log_loss_of
from resight.score.null import Null, learn_null
from resight.score.stage import distributions, score
from resight.status import PairStatus
from resight.store.runs import TableRef
from resight.tasks.stage import stage

NOT_WORSE = 0.01


@stage("score")
def score_pairs(run: Run) -> TableRef:
    """From stored distributions to numbers; learns what non-matching pairs look like on the way."""
    if run.cohort is None:
        raise ValueError("score_pairs needs run.cohort")
    pairs, viewpoints = run.tables["pairs"], _viewpoints(run)
    labels = run.cohort.labels
    null = learn_null(pairs, labels, run.settings.score.null_pairs, viewpoints)
    if not run.extras.get(REHEARSING):  # what a gallery with animals taken out teaches is not for other runs
        run.fingerprints["null"] = keep_null(run.workspace, run.names.match, null)
    run.extras |= {"null": null, "fusion": _fusion(run, null)}
    result = score(pairs, labels, run.settings.score, viewpoints, run.extras["fusion"], null)
    table = run.add("scores", result.scores)
    scored = run.counts["match"]["out"].get(PairStatus.SCORED, 0)
    run.counts["score"] = {"in": scored, "out": {"scored": result.scores.num_rows}}
    return table


def refit(run: Run) -> Fusion | None:
    """Fit the fusion anew on all labels of a measured run, and accept it if it is not worse; says what it did.

    Call it when everything has been measured: it looks at the labels that the measuring had hidden. The old fusion may have
    been fitted on the very pairs that the two are compared on, the new one is judged on folds that it has not seen.

    Returns:
        The fusion that counts from now on; None where the score is not fused or nothing could be fitted.
    """
    if run.cohort is None or run.settings.score.name != FUSED:
        return None
    labels = {**run.cohort.labels, **run.cohort.truth}
    pairs = training_pairs(run, labels, run.extras["null"])
    new, evidence = fit_fusion(pairs, run.settings.score.calibration), evidence_of(run)
    if new is None:
        run.note("The fusion stays as it is: too few pairs of different animals to fit it again.")
        return None
    old = accepted(run.workspace, evidence)
    about = f"{new.training['n_genuine_encounters']} encounters of {new.training['n_genuine_individuals']} animals"
    if old is None:
        accept(run.workspace, evidence, new)
        run.note(f"Evidence is fused by {new.fingerprint} from now on, fitted on {about}.")
        return new
    had, has = (one.training["n_genuine_encounters"] for one in (old.fusion, new))
    if has < had:
        run.note(
            f"The fusion stays as it is: {old.fusion.fingerprint} rests on {had} encounters, a new one would on {has}."
        )
        return old.fusion
    before, after = log_loss_of(old.fusion, pairs), new.training["held_out_log_loss"].get(new.training["calibration"])
    if after is None or after > before + NOT_WORSE:
        run.note(
            f"The fusion was fitted again on {about} and is worse on animals that it had not seen (log loss {after} "
            f"instead of {before:.3f}); {old.fusion.fingerprint} stays."
        )
        return old.fusion
    if accept(run.workspace, evidence, new).generation != old.generation:
        run.note(
            f"Evidence is fused by {new.fingerprint} from now on, fitted on {about}, instead of {old.fusion.fingerprint} "
            f"(log loss {after:.3f} instead of {before:.3f})."
        )
    return new


def evidence_of(run: Run) -> str:
    """Name of the evidence of this run's pairs."""
    return run.names.evidence


def training_pairs(run: Run, labels: dict[str, str], null: Null, purposes: tuple[str, ...] = ()) -> TrainingPairs:
    """Scored pairs of known animals, of different encounters."""
    pairs = scored_only(run.tables["pairs"])
    encounter_of = dict(
        zip(run.tables["photos"]["photo_id"].to_pylist(), run.tables["photos"]["encounter_id"].to_pylist(), strict=True)
    )
    sides = [pairs[f"{side}_photo_id"].to_pylist() for side in ("query", "gallery")]
    query, gallery = ([labels.get(p) for p in photos] for photos in sides)
    asked, other = ([encounter_of[p] for p in photos] for photos in sides)
    may = [not purposes or p in purposes for p in pairs["purpose"].to_pylist()]
    keep = np.array([bool(m and q and g and e != o) for m, q, g, e, o in zip(may, query, gallery, asked, other, strict=True)], bool)  # fmt: skip
    kept = pairs.filter(pa.array(keep, pa.bool_()))
    owners, others, encounters = (np.array(v, object)[keep].astype(str) for v in (query, gallery, asked))
    return TrainingPairs(distributions(kept, labels, null, _viewpoints(run)), owners, others, encounters)


def _fusion(run: Run, null: Null) -> Fusion | None:
    """The accepted fusion; on the first night one that is fitted now; in an evaluation one of its own gallery alone."""
    cohort = run.cohort
    if cohort is None or run.settings.score.name != FUSED:
        return None
    evidence = evidence_of(run)
    known = None if cohort.evaluating else accepted(run.workspace, evidence)
    if known is not None:
        run.fingerprints["fusion"] = known.fusion.fingerprint
        run.note(f"Evidence is fused by the accepted fusion {known.fusion.fingerprint}.")
        return known.fusion
    pairs = training_pairs(run, dict(cohort.labels), null, ("calibrate",))
    fusion = fit_fusion(pairs, run.settings.score.calibration)
    if fusion is None:
        run.note(
            "Too few pairs of different known animals to say what these look like; evidence is fused by what other "
            "places have taught, held against this run's own pairs."
        )
        return _unfitted(run, null)
    run.fingerprints["fusion"] = fusion.fingerprint
    about = (
        f"{fusion.training['n_genuine_encounters']} encounters of {fusion.training['n_genuine_individuals']} animals"
    )
    if cohort.evaluating:
        run.note(f"Evidence is fused by {fusion.fingerprint}, fitted on the gallery of this split alone ({about}).")
        return fusion
    accept(run.workspace, evidence, fusion)
    run.note(f"Evidence is fused by {fusion.fingerprint}, fitted now for the first time ({about}) and kept.")
    return fusion


def _unfitted(run: Run, null: Null) -> Fusion | None:
    scored = scored_only(run.tables["pairs"])
    if not scored.num_rows:
        return None
    someone, other = np.full(scored.num_rows, "query"), np.full(scored.num_rows, "gallery")
    return fit_fusion(TrainingPairs(distributions(scored, {}, null, None), someone, other, someone), at_least=1)


def scored_again(run: Run, labels: Mapping[str, str | None]) -> pa.Table:
    """The table ``scores`` of the run's pairs as they are now, under these labels; null and fusion stay what they are."""
    told = score(
        run.tables["pairs"], labels, run.settings.score, _viewpoints(run), run.extras["fusion"], run.extras["null"]
    )
    return told.scores


def _viewpoints(run: Run) -> dict[str, str]:
    info = run.extras["crop_info"]
    return dict(zip(info["crop_id"].to_pylist(), info["viewpoint"].to_pylist(), strict=True))
