"""After the verdicts: unknown animals of this night and of earlier nights among each other, and their provisional names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.match.stage import MatchResult, match
from resight.novelty.identity_log import IdentityLog, advance
from resight.novelty.unknowns import CLUSTER, cluster_grid, encounter_of, group, name_of, sightings
from resight.pairs.cohort import IDENTIFY
from resight.pairs.plan import PairGrid, Plan
from resight.plugins.registry import SCORES
from resight.run.conditions import Conditions
from resight.run.judging import scores_of
from resight.run.pairing import with_votes
from resight.run.setups import match_setup, voting
from resight.run.state import Judged
from resight.settings import Settings
from resight.shortlist.stage import shortlist
from resight.status import NAMED
from resight.store.counts import reconcile_left_out, reconcile_pairs

BELIEVED = 0.5  # an encounter is probably of its best candidate from this probability on
Events = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Grouped:
    """What `group_unknowns` gives back.

    Attributes:
        judged: With the pairs and scores among the unknown, and their provisional names.
        log: Who carries which name, and all events.
        n_encounters: Encounters of unknown animals.
        n_shortlisted: Queries whose votes were really computed.
        matched: Pairs among them that may be compared.
        left_out: `pairs.plan.LEFT_OUT` of the others.
    """

    judged: Judged
    log: IdentityLog
    n_encounters: int
    n_shortlisted: int
    matched: MatchResult
    left_out: pa.Table

    @property
    def n_animals(self) -> int:
        """Different names."""
        return len(set(self.log.names.values()))


def group_unknowns(
    conditions: Conditions,
    judged: Judged,
    events: Events = (),
    night: str = "",
    run_id: str = "",
    earlier: Mapping[str, str] | None = None,
) -> Grouped:
    """Compare unknown animals with each other, and give what seems to be one animal one name that lasts.

    Every unlabelled photo of the workspace is a query on every night, so those of earlier nights are here too; their pairs were
    matched before and are only looked up.

    Args:
        conditions: Settings, and where pairs are matched.
        judged: All verdicts.
        events: Of earlier nights, see `identity_log`.
        night, run_id: Written into new events.
        earlier: The encounter that each photo belonged to on the night before.
    """
    settings = conditions.settings
    verdicts = judged.novelty.select(["encounter_id", "decision", "individual_id", "probability"]).to_pylist()
    identified = {r["encounter_id"]: r["individual_id"] for r in verdicts if r["decision"] in NAMED}
    unknown = {r["encounter_id"] for r in verdicts} - set(identified)
    seen = sightings(judged.info, unknown)
    believed = {r["encounter_id"]: r["individual_id"] for r in verdicts if (r["probability"] or 0) > BELIEVED}
    judged, matched, left_out, n_shortlisted = _compare(conditions, judged, seen, believed)
    groups = group(
        judged.scores, seen, _first_met(judged.photos), judged.model, judged.rule.params, settings.novelty,
        SCORES[settings.score.name].is_ratio,
    )  # fmt: skip
    log = advance(events, groups, _named(judged, events, earlier or {}), identified, night, run_id)
    named = replace(judged, novelty=_with_names(judged.novelty, log.names))
    return Grouped(named, log, len(unknown), n_shortlisted, matched, left_out)


def _compare(
    conditions: Conditions, judged: Judged, seen: pa.Table, believed: Mapping[str, str]
) -> tuple[Judged, MatchResult, pa.Table, int]:
    """Add the pairs among unknown animals to the tables ``pairs`` and ``scores``."""
    settings = conditions.settings
    grid = cluster_grid(seen, settings.pairs)
    plan, votes, n_shortlisted = _shortlisted(conditions, judged, grid)
    reconcile_left_out("cluster", grid.n_pairs(), plan.pairs, plan.left_out)
    result = match(conditions.env, match_setup(settings), conditions.names.match, plan.pairs, judged.features)
    reconcile_pairs("cluster", plan.pairs, result.pairs)
    judged = replace(judged, left_out=_joined(judged.left_out, plan.left_out))
    if not plan.pairs.num_rows:
        return judged, result, plan.left_out, n_shortlisted
    pairs = _joined(judged.pairs, with_votes(result.pairs, votes))
    more = replace(judged, pairs=pairs.sort_by([(key, "ascending") for key in catalog_table("pairs").key]))
    scores = scores_of(settings, more, judged.cohort.labels, judged.null, judged.fused)
    if SCORES[settings.score.name].needs_cohorts:
        scores = _without_own_cohort(settings, more, scores, believed)
    return replace(more, scores=scores), result, plan.left_out, n_shortlisted


def _joined(before: pa.Table, more: pa.Table) -> pa.Table:
    """Rows of a table of the run, and more without its name."""
    of_run = before.select([c for c in before.column_names if c != "run_id"])
    return pa.concat_tables([of_run, more], promote_options="permissive")


def _without_own_cohort(settings: Settings, judged: Judged, scores: pa.Table, believed: Mapping[str, str]) -> pa.Table:
    """The scores of pairs among unknown animals, where no photo's cohort holds the animal that it is probably of.

    Matches with its own animal in the gallery would make a photo look as if it matched everybody, so that it is not found to be of
    one animal with another photo of it.
    """
    photos = judged.photos.select(["photo_id", "encounter_id"]).to_pylist()
    probably = {r["photo_id"]: believed[r["encounter_id"]] for r in photos if r["encounter_id"] in believed}
    again = scores_of(settings, judged, {**probably, **judged.cohort.labels}, judged.null, judged.fused)
    among = pc.equal(scores["purpose"], CLUSTER)
    for name in set(scores.column_names) - {"same_individual"}:
        if not again[name].equals(scores[name]):
            changed = pc.if_else(among, again[name], scores[name])
            scores = scores.set_column(scores.schema.get_field_index(name), scores.schema.field(name), changed)
    return scores


def _shortlisted(conditions: Conditions, judged: Judged, grid: PairGrid) -> tuple[Plan, pa.Table, int]:
    """The plan after the shortlist, votes, and how many queries were searched; the gallery takes part as in the run itself."""
    is_query = pc.greater(grid.n_pairs()["n_pairs"], 0).combine_chunks()
    with_gallery = judged.plan.filter(pc.is_in(judged.plan["query_crop_id"], grid.query_ids.filter(is_query)))
    grids = (grid, PairGrid.listed(with_gallery, IDENTIFY))
    among_unknown = voting(conditions.settings, conditions.names.voting_unknown)
    result = shortlist(conditions.env, among_unknown, grids, judged.crops, judged.features)
    return result.plans[0], result.votes, result.n_voted


def _first_met(photos: pa.Table) -> dict[str, date]:
    days: dict[str, date] = {}
    for row in photos.select(["encounter_id", "taken_on", "first_night"]).to_pylist():
        day = row["taken_on"] or row["first_night"]
        days[row["encounter_id"]] = min(day, days.get(row["encounter_id"], day))
    return days


def _named(judged: Judged, events: Events, earlier: Mapping[str, str]) -> dict[str, str]:
    """Individual of each encounter, or sighting of one, that somebody has named; also of those that are called otherwise since."""
    labels, photos = judged.cohort.labels, judged.photos.select(["photo_id", "encounter_id"]).to_pylist()
    named = {r["encounter_id"]: labels[r["photo_id"]] for r in photos if r["photo_id"] in labels}
    now = {r["encounter_id"] for r in photos}
    named |= {encounter: labels[p] for p, encounter in earlier.items() if p in labels and encounter not in now}
    sighted = {str(event["encounter_id"]) for event in events}
    return named | {s: named[encounter_of(s)] for s in sighted if encounter_of(s) in named}


def _with_names(novelty: pa.Table, names: Mapping[str, str]) -> pa.Table:
    rows = zip(novelty["encounter_id"].to_pylist(), novelty["decision"].to_pylist(), strict=True)
    sighted = list(names)
    named = [None if decision in NAMED else name_of(e, names, sighted) for e, decision in rows]
    place = novelty.schema.get_field_index("provisional_individual_id")
    return novelty.set_column(place, novelty.schema.field(place), pa.array(named, pa.string()))
