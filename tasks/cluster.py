"""Stage ``cluster``: encounters without a name among each other, verdicts in view of all, and provisional names."""

from dataclasses import replace

from resight.pairs.plan import ending_counts
from resight.run import unknowns
from resight.run.run import Run
from resight.run.state import Judged
from resight.store.runs import read_current
from resight.tasks.novelty import count_decisions
from resight.tasks.stage import stage

KEEPS_NAMES = ("nightly", "rebuild", "demo")


@stage("cluster")
def group_unknowns(run: Run, judged: Judged) -> Judged:
    """Compare encounters without a name with each other, judge them together, and give unknown animals names that last."""
    before = read_current(run.workspace, "provisional") if run.flow in KEEPS_NAMES else None
    events = [] if before is None else before.drop_columns(["run_id"]).to_pylist()
    photos = read_current(run.workspace, "photos") if events else None
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
