"""After the verdicts: unknown animals of this night and of earlier nights among each other, and their provisional names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import pyarrow as pa

from resight.match.stage import match
from resight.novelty.identity_log import advance
from resight.novelty.unknowns import encounter_of, group, name_of, plan_clusters, sightings
from resight.plugins.registry import SCORES
from resight.run.run import Run
from resight.run.setups import match_setup, voting
from resight.shortlist.stage import shortlist
from resight.status import Decision
from resight.store.counts import reconcile_pairs
from resight.store.runs import read_current
from resight.store.tables import status_counts
from resight.tasks.score import scored_again
from resight.tasks.shortlist import with_votes
from resight.tasks.stage import stage

KEEPS_NAMES = ("nightly", "rebuild", "demo")


@stage("cluster")
def group_unknowns(run: Run) -> int:
    """Compare what nobody knows with each other, and give what seems to be one animal one name that lasts.

    Every unlabelled photo of the workspace asks on every night, so those of earlier nights are here too; their pairs were
    matched before and are only looked up.
    """
    verdicts = run.tables["novelty"].select(["encounter_id", "decision", "individual_id"]).to_pylist()
    known = {r["encounter_id"]: r["individual_id"] for r in verdicts if r["decision"] == Decision.KNOWN}
    unknown = {r["encounter_id"] for r in verdicts} - set(known)
    seen = sightings(run.extras["crop_info"], unknown)
    _match_and_score(run, seen)
    groups = group(
        run.tables["scores"], seen, _first_met(run), run.extras["novelty_model"], run.extras["rank_params"],
        run.settings.novelty, SCORES[run.settings.score.name].is_ratio,
    )  # fmt: skip
    before = read_current(run.workspace, "provisional") if run.flow in KEEPS_NAMES else None
    events = [] if before is None else before.drop_columns(["run_id"]).to_pylist()
    lineage = advance(events, groups, _named(run, events), known, run.night, run.run_id)
    run.add("provisional", lineage.events)
    _name(run, lineage.names)
    n_names = len(set(lineage.names.values()))
    run.counts["cluster"]["unknown"] = {"encounters": len(unknown), "animals": n_names}
    return n_names


def _match_and_score(run: Run, seen: pa.Table) -> None:
    """Add the pairs among unknown animals to the tables ``pairs`` and ``scores``."""
    planned = plan_clusters(seen, run.settings.pairs)
    votes = _votes(run, planned)
    result = match(run.env, match_setup(run.settings), run.names.match, votes[0], run.tables["features"])
    reconcile_pairs("cluster", planned, result.pairs)
    run.work["pairs_matched"] += result.n_matched
    run.counts["cluster"] = {"in": planned.num_rows, "out": status_counts(result.pairs)}
    if not planned.num_rows:
        return
    new = with_votes(result.pairs, votes[1])
    run.add(
        "pairs", pa.concat_tables([run.tables["pairs"].drop_columns(["run_id"]), new], promote_options="permissive")
    )
    run.add("scores", scored_again(run, run.cohort.labels if run.cohort else {}))


def _votes(run: Run, planned: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The plan after the shortlist, and votes. The known gallery takes part, so that the background is the same as ever."""
    asking = set(planned["query_crop_id"].to_pylist())
    others = run.extras["plan"].select(planned.column_names)
    others = others.filter(pa.array([q in asking for q in others["query_crop_id"].to_pylist()], pa.bool_()))
    both = pa.concat_tables([planned, others], promote_options="permissive") if planned.num_rows else planned
    among_unknown = voting(run.settings, run.names.voting_unknown)
    result = shortlist(run.env, among_unknown, both, run.tables["crops"], run.tables["features"])
    run.work["queries_shortlisted"] += result.n_asked
    return result.plan.slice(0, planned.num_rows), result.votes


def _first_met(run: Run) -> dict[str, date]:
    photos = run.tables["photos"].select(["encounter_id", "taken_on", "first_night"]).to_pylist()
    days: dict[str, date] = {}
    for row in photos:
        day = row["taken_on"] or date.fromisoformat(row["first_night"])
        days[row["encounter_id"]] = min(day, days.get(row["encounter_id"], day))
    return days


def _named(run: Run, events: list[dict[str, object]]) -> dict[str, str]:
    """Individual of each encounter, or sighting of one, that somebody has named."""
    labels = run.cohort.labels if run.cohort else {}
    photos = run.tables["photos"].select(["photo_id", "encounter_id"]).to_pylist()
    named = {r["encounter_id"]: labels[r["photo_id"]] for r in photos if r["photo_id"] in labels}
    sighted = {str(e["encounter_id"]) for e in events}
    return named | {s: named[encounter_of(s)] for s in sighted if encounter_of(s) in named}


def _name(run: Run, names: Mapping[str, str]) -> None:
    table = run.tables["novelty"].drop_columns(["run_id"])
    rows = zip(table["encounter_id"].to_pylist(), table["decision"].to_pylist(), strict=True)
    found = [None if d == Decision.KNOWN else name_of(e, names, list(names)) for e, d in rows]
    place = table.schema.get_field_index("provisional_individual_id")
    run.add("novelty", table.set_column(place, table.schema.field(place), pa.array(found, pa.string())))
