"""Stage ``cluster``: encounters without a name among each other, verdicts in view of all, and provisional names."""

from dataclasses import replace

import pyarrow as pa

from resight.pairs.plan import ending_counts
from resight.run import unknowns
from resight.run.run import Run
from resight.run.state import Judged
from resight.store.runs import read_current, read_run, run_tables
from resight.tasks.novelty import count_decisions
from resight.tasks.stage import stage

KEEPS_NAMES = ("nightly", "rebuild", "demo")


@stage("cluster")
def group_unknowns(run: Run, judged: Judged) -> Judged:
    """Compare encounters without a name with each other, judge them together, and give unknown animals names that last."""
    before = _before(run, "provisional")
    events = [] if before is None else before.drop_columns(["run_id"]).to_pylist()
    photos = _before(run, "photos") if events else None
    rows = [] if photos is None else photos.select(["photo_id", "encounter_id"]).to_pylist()
    earlier = {row["photo_id"]: row["encounter_id"] for row in rows}
    grouped = unknowns.group_unknowns(run.conditions, judged, events, run.night, run.run_id, earlier)
    run.work["queries_shortlisted"] += grouped.n_shortlisted
    run.work["pairs_matched"] += grouped.matched.n_matched
    compared, left_out = grouped.matched.pairs, grouped.left_out
    counts = ending_counts(compared, left_out)
    run.counts["cluster"] = {"in": sum(counts.values()), "out": counts}
    run.counts["cluster"]["unknown"] = {"encounters": grouped.n_encounters, "animals": grouped.n_animals}
    run.add("provisional", grouped.log.events)
    run.add("identity_draws", grouped.draws)
    found, changed = grouped.judged, ["identifications", "novelty"]
    if compared.num_rows:
        changed += ["pairs", "scores"]
    if left_out.num_rows:
        found = replace(found, left_out=run.add("pairs_left_out", found.left_out))
    found = replace(found, **{name: run.add(name, getattr(found, name)) for name in changed})
    count_decisions(run, found.novelty)
    return found


def _before(run: Run, name: str) -> pa.Table | None:
    """A table of the night before: the one that is current, or in a view of the past the last that was by then."""
    if run.then is not None:
        told = run.then.told
        there = told is not None and name in run_tables(run.workspace, told.run_id)
        return read_run(run.workspace, told.run_id, name) if told and there else None
    return read_current(run.workspace, name) if run.flow in KEEPS_NAMES else None
