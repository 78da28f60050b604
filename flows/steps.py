"""The steps that all flows share, in their order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from resight.decisions.apply import rejections
from resight.errors import DamagedError, DeviceError, WorkspaceError
from resight.ingest.stage import has_outlines
from resight.pairs.cohort import Cohort, nightly_cohort
from resight.run.models import Model, current_model, matches_as, model_of, settle, weights_of
from resight.run.photo_outcomes import photo_counts
from resight.run.run import Run, absolute_sources, open_run
from resight.run.state import Ingested, Judged, Segmented
from resight.runner.runner import ClusterLost, MadeWay
from resight.segment.kinds.auto import is_left_open
from resight.segment.store import CROPS_STAGE
from resight.settings import SETTINGS_FILE, Settings, load_settings, nest, settings_from
from resight.settings.choice import Choice, choose
from resight.store.workspace import Workspace
from resight.tasks.agreement import check_encounters
from resight.tasks.cluster import group_unknowns
from resight.tasks.embed import embed_crops
from resight.tasks.extract import extract_features
from resight.tasks.ingest import ingest_photos
from resight.tasks.match import match_pairs
from resight.tasks.measure import hide_labels
from resight.tasks.novelty import judge
from resight.tasks.report import write_report
from resight.tasks.segment import segment_photos
from resight.tasks.shortlist import plan_pairs
from resight.weights.store import WeightStore

log = logging.getLogger("resight")
T = TypeVar("T")
MOST_REPAIRS = 20
RETRY_S = 30.0
MOST_ROUNDS = 5


def settings_for(workspace: Workspace, overrides: Mapping[str, Any] | None) -> Settings:
    """All layers of settings; without a file, what `resight init` would choose."""
    choice = choice_without_file(workspace)
    return load_settings(workspace.root, overrides, without_file=_without_file(workspace, choice) if choice else None)


def _without_file(workspace: Workspace, choice: Choice) -> dict[str, dict[str, Any]]:
    """What is chosen; a limit for names only where the accepted model is the one that it was chosen with."""
    accepted = current_model(workspace)
    if accepted is None or matches_as(accepted, settings_from(choice.sections)):
        return choice.sections
    return {name: section for name, section in choice.sections.items() if name != "novelty"}


def choice_without_file(workspace: Workspace) -> Choice | None:
    """What `resight init` would choose here; None where a settings file says it."""
    return None if (workspace.root / SETTINGS_FILE).exists() else choose(WeightStore(allow_download=False))


def note_of_choice(workspace: Workspace) -> list[str]:
    """A sentence for people where no settings file says what runs."""
    choice = choice_without_file(workspace)
    if choice is None:
        return []
    return [
        f"There is no {SETTINGS_FILE} in {workspace.root}; what is not set otherwise is {choice.extract['kind']} + "
        f"{choice.match['kind']}, because {choice.why}. `resight init` writes that down."
    ]


def accepted_settings(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, Model, str]:
    """Settings with the accepted model, that model, and a sentence where the settings ask for another one."""
    settings = settings_for(workspace, overrides)
    names_model = bool(nest(overrides or {}).keys() & Settings.sections_affecting("model"))
    return settle(workspace, settings, weights_of(workspace, settings), explicit=names_model)


class _AnotherModel(Exception):
    """Another model was accepted between reading the accepted one and having the workspace."""


def under_accepted(
    workspace: Workspace, overrides: Mapping[str, Any] | None, work: Callable[[Settings, Model, str], T]
) -> T:
    """Do ``work`` with what `accepted_settings` gives, and from its beginning again where that changed while it waited.

    ``work`` asks `still_accepted` as soon as it has the workspace: it may have waited hours for a rebuild.

    Raises:
        WorkspaceError: Another model was accepted each time.
    """
    for _ in range(MOST_ROUNDS):
        try:
            return work(*accepted_settings(workspace, overrides))
        except _AnotherModel:
            log.warning(
                "Another model was accepted in %s while this waited; it begins again with that one.", workspace.root
            )
    raise WorkspaceError(
        f"Another model was accepted in {workspace.root} each of the {MOST_ROUNDS} times that this waited for the workspace; run it again."
    )


def still_accepted(run: Run) -> None:
    """Go on only with the accepted model; for the ``work`` of `under_accepted`, before the run reads or writes anything."""
    now = current_model(run.workspace)
    if now and now.fingerprint != run.model.fingerprint:
        raise _AnotherModel


def in_accepted_run(
    workspace: Workspace, overrides: Mapping[str, Any] | None, flow: str, work: Callable[[Run], T], **about: Any
) -> T:
    """`under_accepted` and `again_if_lost` for ``work`` in a run with all notes on what runs.

    Args:
        workspace, overrides: As of `under_accepted`.
        flow: Of the run.
        work: The rest of the flow.
        about: More for `open_run`.
    """

    def under(settings: Settings, model: Model, sentence: str) -> T:
        def whole() -> T:
            with open_run(workspace, settings, model, flow=flow, **about) as run:
                still_accepted(run)
                run.note(*note_of_choice(workspace), sentence)
                return work(run)

        return again_if_lost(settings, whole)

    return under_accepted(workspace, overrides, under)


def own_settings(workspace: Workspace, overrides: Mapping[str, Any] | None) -> tuple[Settings, Model]:
    """Settings and the model that they describe, whichever is accepted."""
    settings = settings_for(workspace, overrides)
    return settings, model_of(settings, weights_of(workspace, settings), workspace)


def labelled_folder(
    workspace: Workspace, folder: str | Path, overrides: Mapping[str, Any] | None
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The folder as sources, and the overrides: its outlines are the segmenter, if it has some and no other is chosen."""
    sources, nested = absolute_sources([str(folder)]), nest(overrides or {})
    if "segment" not in nested and is_left_open(settings_for(workspace, nested).segment) and has_outlines(sources[0]):
        nested["segment"] = {"kind": "annotations"}
    return sources, nested


def labelled_crops(run: Run) -> tuple[Segmented, Cohort]:
    """Photos and crops of a labelled folder, and which are queries and which gallery."""
    segmented = segment_photos(run, ingest_photos(run))
    return segmented, hide_labels(run, segmented).cohort


def tonights_cohort(run: Run, ingested: Ingested) -> Cohort:
    """Named photos are the gallery, all others queries, which are not compared with whom people say they are not."""
    cohort = nightly_cohort(ingested.photos)
    return replace(cohort, refused=rejections(ingested.photos, run.decided))


def from_features_to_verdicts(run: Run, segmented: Segmented, cohort: Cohort) -> Judged:
    """Everything between the split into gallery and queries and the report."""
    extracted = embed_crops(run, extract_features(run, segmented), cohort)
    planned = plan_pairs(run, extracted, cohort)
    judged = judge(run, check_encounters(run, match_pairs(run, planned)))
    if run.flow != "identify" and not cohort.leave_one_out:
        judged = group_unknowns(run, judged)
    came_in = run.counts["ingest"]["in"]
    run.counts["photos"] = {"in": came_in, "out": photo_counts(judged, came_in)}
    return judged


def healed(run: Run, work: Callable[[], T]) -> T:
    """Do ``work``, from its beginning again where it came upon damage that an earlier stage than the one that saw it repairs.

    What is whole is in the store by then and is not computed twice.

    Raises:
        DamagedError: Something is damaged that cannot be computed again.
    """
    for _ in range(MOST_REPAIRS):
        n_before = len(run.damage)
        try:
            result = work()
            run.note_damage()
            if not any(record.stage == CROPS_STAGE for record in run.damage[n_before:]):
                return result
        except DamagedError:
            run.note_damage()
            if len(run.damage) == n_before:
                raise
    return work()


def again_if_lost(settings: Settings, work: Callable[[], T]) -> T:
    """Do ``work``, and once more, as often as ``dask.retries`` says, where its cluster went away: what was finished is on disk.

    Where the scheduler is somebody else's, it may need a while to come back.

    Raises:
        ClusterLost, DeviceError: It went away too often, or did not come back.
    """
    for n in range(1, settings.dask.retries + 1):
        try:
            return work()
        except (ClusterLost, DeviceError) as lost:
            if n == 1 and not isinstance(lost, ClusterLost):  # nothing was lost: it is set up wrongly, and says how
                raise
            log.warning("%s It is tried again in %.0f s (%d of %d).", lost, RETRY_S * n, n, settings.dask.retries)
        time.sleep(RETRY_S * n)
    return work()


def making_way(settings: Settings, work: Callable[[], T]) -> T:
    """`again_if_lost`, and once more each time it has made way for others who waited; what was finished is on disk."""
    while True:
        try:
            return again_if_lost(settings, work)
        except MadeWay:
            log.warning(
                "Somebody waits for the workspace and goes first; what is finished is kept, and this goes on afterwards."
            )


def run_pipeline(run: Run, ingested: Ingested, cohort: Cohort) -> None:
    """From photos whose cohort is known to the report."""

    def from_photos_to_page() -> None:
        write_report(run, from_features_to_verdicts(run, segment_photos(run, ingested), cohort))

    healed(run, from_photos_to_page)
