"""The comparison table: method by method on a labelled folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resight.compare.base import MethodStatus, Trial
from resight.compare.compare import Compared, compare_methods
from resight.compare.methods import chosen
from resight.compare.page import render_comparison
from resight.extract.kinds.sift import SiftParams
from resight.flows.steps import labelled_crops, labelled_folder, settings_for
from resight.match.kinds.nearest import NearestParams
from resight.run.models import model_of, weights_of
from resight.run.run import Run, open_run
from resight.score.params import ScoreParams
from resight.settings import Settings
from resight.shortlist.params import ShortlistParams
from resight.status import KEPT_ASIDE
from resight.store.attempts import attempt
from resight.store.fingerprint import canonical_json, fingerprint
from resight.store.runs import REPORT_FILE
from resight.store.workspace import open_workspace
from resight.train.embedding.params import EmbeddingRecipe


def run_compare(
    folder: str | Path,
    workspace: str | Path = ".",
    methods: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    *,
    quick: bool = False,
    download: bool = False,
    steps: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Compare methods on a labelled folder; changes nothing that is current, and does only what is missing.

    Args:
        folder: Photos, ``metadata.csv``, and outlines if there are some.
        methods: Names from `compare.methods`; all if none is given.
        overrides: Settings above all other layers; ``extract.max_keypoints`` is the budget of all local methods, ``evaluate.protocol`` and
            ``evaluate.asking`` say who asks.
        quick: Only what is done in minutes on a CPU.
        download: Fetch missing weights from their official addresses.
        steps: Training steps of the embedding, instead of its recipe's.

    Returns:
        ``rows`` (the catalog's ``comparison``), ``computed`` (methods that ran now), ``run_id``, ``folder``, ``report``, ``notes``.
    """
    wanted = chosen(methods, quick, EmbeddingRecipe(steps=steps) if steps else None)
    place = open_workspace(workspace)
    sources, given = labelled_folder(place, folder, overrides)
    shared = shared_settings(settings_for(place, given)).model_copy(update={"allow_download": download})
    model = model_of(shared, weights_of(place, shared), place)
    budget = given.get("extract", {}).get("max_keypoints")
    opened: dict[str, Any] = {"flow": "compare", "sources": sources, "quiet": quiet}
    with (
        attempt(place, "compare", folder=str(folder)) as tried,
        open_run(place, shared, model, tried=tried, **opened) as run,
    ):
        segmented, cohort = labelled_crops(run)
        most = int(budget) if budget else None
        trial = Trial(run.env, shared, segmented.photos, segmented.crops, cohort, most)
        compared = compare_methods(trial, wanted, quick=quick and not methods)
        _say_what_is_missing(run, compared)
        summary = _publish(run, compared, str(folder))
        tried.result(summary)
        return summary


def shared_settings(settings: Settings) -> Settings:
    """The settings with whatever is a method's own put back to what needs no weights."""
    own = {
        "extract": SiftParams(),
        "match": NearestParams(),
        "score": settings.score.model_copy(update={"name": ScoreParams().name}),
    }
    return settings.model_copy(update=own | {"shortlist": ShortlistParams(enabled="off")})


def _say_what_is_missing(run: Run, compared: Compared) -> None:
    n = sum(r["status"] == MethodStatus.MISSING_WEIGHTS for r in compared.rows)
    if n:
        run.note(f"{n} methods lack their weights; their rows say where to get them.")


def _publish(run: Run, compared: Compared, folder: str) -> dict[str, Any]:
    """Name the run after its rows, so that the same table is there once, and rename it into place."""
    digest = fingerprint(run.run_id, canonical_json(compared.rows))
    run.run_id = f"{run.night}-compare-{digest[:8]}"
    photos, _ = (run.add(name, run.written[name]) for name in ("photos", "crops"))
    run.count("compare", len(compared.rows), run.add("comparison", compared.rows))
    run.staging.write_report(render_comparison(compared.rows, folder, run.notes, photos.num_rows))
    run.add("runs", [run.record(KEPT_ASIDE)])
    target = run.staging.commit(run.run_id)
    return {
        "run_id": run.run_id,
        "flow": run.flow,
        "rows": compared.rows,
        "computed": list(compared.computed),
        "notes": run.notes,
        "folder": str(target),
        "report": str(target / REPORT_FILE),
    }
