"""Draw the pages of a run again."""

from __future__ import annotations

import json
from pathlib import Path

from resight.environment import Environment
from resight.errors import WorkspaceError
from resight.run.conditions import Conditions
from resight.runner.runner import Runner
from resight.settings import load_settings, settings_from
from resight.weights.store import WeightStore


def redraw_report(workspace: Path, run_id: str | None, out: Path | None, quiet: bool) -> list[Path]:
    """Draw the page of a run again from its tables, with the report settings as they are now.

    Returns:
        The page, and the accuracy page beside it where the run was measured.

    Raises:
        WorkspaceError: There is no such run.
    """
    from resight.flows.steps import open_workspace
    from resight.store.runs import read_current, read_run
    from resight.tasks.accuracy import draw_accuracy
    from resight.tasks.report import draw

    place = open_workspace(workspace)
    newest = read_current(place, "runs")
    if run_id is None:
        if newest is None:
            raise WorkspaceError(f"{place.root} has no run yet; start with `resight nightly`.")
        run_id = newest["run_id"].to_pylist()[0]
    settings = load_settings(place.root)
    old = settings_from(
        json.loads(read_run(place, run_id, "runs")["settings"].to_pylist()[0]), f"run {run_id}", stored=True
    )
    used = old.model_copy(
        update={"report": settings.report, "dask": settings.dask, "weights_dir": settings.weights_dir}
    )
    with place.lock(), Runner(settings.dask, settings.device, quiet) as runner:
        weights = WeightStore(settings.weights_dir, settings.allow_download)
        html = draw(Conditions(Environment(place, weights, runner, settings.device), used), run_id)
    target = out or place.root / f"report-{run_id}.html"
    target.write_text(html, encoding="utf-8")
    if not (place.runs / run_id / "outcomes.parquet").exists():
        return [target]
    beside = target.with_name(f"accuracy-{run_id}.html" if out is None else f"{target.stem}-accuracy{target.suffix}")
    worst = {"worst": settings.evaluate.worst}
    shown = used.model_copy(update={"evaluate": used.evaluate.model_copy(update=worst)})
    beside.write_text(draw_accuracy(place, run_id, shown), encoding="utf-8")
    return [target, beside]
