"""After the first verdicts: encounters without a name among each other, verdicts in view of all of them, and provisional names."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.catalog import table as catalog_table
from resight.match.stage import MatchResult, match
from resight.novelty.draws import DRAWS_SCHEMA, drawn_names
from resight.novelty.identity_log import IdentityLog, advance
from resight.novelty.joint import Evidence, Joint, joint_posterior, pair_ratio
from resight.novelty.model import NONE
from resight.novelty.unknowns import (
    CLUSTER,
    apart,
    cluster_grid,
    encounter_of,
    gallery_scores,
    in_order,
    name_of,
    other_sides,
    pair_scores,
    sightings,
    whole_encounters,
)
from resight.pairs.cohort import IDENTIFY
from resight.pairs.plan import PairGrid, Plan
from resight.plugins.registry import SCORES
from resight.run.conditions import Conditions
from resight.run.judging import scores_of, with_verdicts
from resight.run.pairing import alike, with_cosines, with_votes
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
        judged: With the pairs and scores among the encounters without a name, new verdicts, and their provisional names.
        log: Who carries which name, and all events.
        draws: The catalog's ``identity_draws`` without ``run_id``; no rows where nothing says how probable anything is.
        n_encounters: Encounters of unknown animals.
        n_shortlisted: Queries whose votes were really computed.
        matched: Pairs among them that may be compared.
        left_out: `pairs.plan.LEFT_OUT` of the others.
    """

    judged: Judged
    log: IdentityLog
    draws: pa.Table
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
    """Compare encounters without a name with each other, judge them anew in view of all, and give unknown animals names that last.

    Every unlabelled photo of the workspace is a query on every night, so those of earlier nights are here too; they have voted and
    their pairs were matched before, so both are only looked up.

    Args:
        conditions: Settings, and where pairs are matched.
        judged: All verdicts.
        events: Of earlier nights, see `identity_log`.
        night, run_id: Written into new events.
        earlier: The encounter that each photo belonged to on the night before.
    """
    settings = conditions.settings
    seen = sightings(judged.info, set(judged.novelty["encounter_id"].to_pylist()))
    judged, matched, left_out, n_shortlisted = _compare(conditions, judged, seen, _believed(judged))
    joint = _joint(settings, judged, seen)
    if judged.model.method != NONE:
        whole = whole_encounters(seen, judged.info)
        beliefs = {node: belief for node, belief in joint.beliefs().items() if node in whole}
        judged = with_verdicts(settings, judged, beliefs)
    identified = _identified(judged, joint.groups)
    unknown = [group for group in joint.groups if not any(encounter_of(node) in identified for node in group)]
    named_by_hand, renamed = _named(judged, events, earlier or {}), _renamed(judged, earlier or {})
    log = advance(events, unknown, named_by_hand, identified, night, run_id, renamed, _voted_out(judged))
    one_sided = {} if settings.pairs.viewpoint == "any" else other_sides(seen, log.names)
    named = replace(judged, novelty=_with_evidence(_with_names(judged.novelty, log.names), one_sided))
    draws = drawn_names(joint, log.names) if judged.model.method != NONE else DRAWS_SCHEMA.empty_table()
    n_encounters = judged.novelty.num_rows - len(identified.keys() & set(judged.novelty["encounter_id"].to_pylist()))
    return Grouped(named, log, draws, n_encounters, n_shortlisted, matched, left_out)


def _believed(judged: Judged) -> dict[str, str]:
    """The best candidate of encounters that are probably of it."""
    rows = judged.novelty.select(["encounter_id", "individual_id", "probability"]).to_pylist()
    return {r["encounter_id"]: r["individual_id"] for r in rows if (r["probability"] or 0) > BELIEVED}


def _but(animals: Set[str] | None, refused: frozenset[str] | None) -> Set[str]:
    """Not copied where nothing is refused: there are thousands of animals, and one set for each encounter."""
    animals = animals or frozenset()
    return animals - refused if refused else animals


def _joint(settings: Settings, judged: Judged, seen: pa.Table) -> Joint:
    """The posterior of all sightings."""
    rank = judged.rule.params
    pairs, score, n_pairs = pair_scores(judged.scores, seen, rank)
    ratio = pair_ratio(score, n_pairs, judged.model, SCORES[settings.score.name].is_ratio)
    of_gallery, behind = gallery_scores(judged.candidates, judged.scores, seen, judged.info, rank)
    nodes, refused = in_order(seen, _first_met(judged.photos)), judged.cohort.refused
    left_out = judged.seen.left_out
    evidence = Evidence(
        nodes=nodes,
        animals=sorted(set(judged.cohort.labels.values())),
        scores=of_gallery,
        n_pairs=behind,
        log_ratio={} if ratio is None else dict(zip(pairs, ratio.tolist(), strict=True)),
        apart=apart(seen),
        never=[(node, animal) for node in nodes for animal in sorted(refused.get(encounter_of(node), ()))],
        left_out={node: _but(left_out.get(encounter_of(node)), refused.get(encounter_of(node))) for node in nodes},
    )
    return joint_posterior(evidence, judged.model, settings.novelty)


def _identified(judged: Judged, groups: Sequence[Sequence[str]]) -> dict[str, str]:
    """The animal of encounters that are known or likely, and of those that are one animal with such an encounter."""
    rows = judged.novelty.select(["encounter_id", "decision", "individual_id"]).to_pylist()
    decided = {r["encounter_id"]: r["individual_id"] for r in rows if r["decision"] in NAMED}
    for group in groups:
        animals = {decided[node] for node in group if node in decided}
        if animals:
            decided |= {node: min(animals) for node in group if node not in decided}
    return decided


def _compare(
    conditions: Conditions, judged: Judged, seen: pa.Table, believed: Mapping[str, str]
) -> tuple[Judged, MatchResult, pa.Table, int]:
    """Add the pairs among unknown animals to the tables ``pairs`` and ``scores``."""
    settings = conditions.settings
    photos = judged.photos
    came = dict(zip(photos["photo_id"].to_pylist(), photos["first_night"].to_pylist(), strict=True))
    grid = cluster_grid(seen, settings.pairs, came)
    plan, votes, n_shortlisted = _shortlisted(conditions, judged, grid)
    reconcile_left_out("cluster", grid.n_pairs(), plan.pairs, plan.left_out)
    result = match(conditions.env, match_setup(settings), conditions.names.match, plan.pairs, judged.features)
    reconcile_pairs("cluster", plan.pairs, result.pairs)
    judged = replace(judged, left_out=_joined(judged.left_out, plan.left_out))
    if not plan.pairs.num_rows:
        return judged, result, plan.left_out, n_shortlisted
    among = with_cosines(with_votes(result.pairs, votes), alike(judged, judged.info))
    pairs = _joined(judged.pairs, among)
    more = replace(judged, pairs=pairs.sort_by([(key, "ascending") for key in catalog_table("pairs").key]))
    gallery = judged.learned.gallery if judged.learned else None
    scores = scores_of(settings, more, judged.cohort.labels, judged.null, judged.fused, judged.scores, gallery)
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
    labels = {**probably, **judged.cohort.labels}
    gallery = judged.learned.gallery if judged.learned else None
    again = scores_of(settings, judged, labels, judged.null, judged.fused, scores, gallery)
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
    similar = alike(judged, judged.info)
    result = shortlist(conditions.env, among_unknown, grids, judged.crops, judged.features, alike=similar)
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


def _renamed(judged: Judged, earlier: Mapping[str, str]) -> dict[str, str]:
    """By encounter that is gone, the one that all its photos have now."""
    rows = judged.photos.select(["photo_id", "encounter_id"]).to_pylist()
    now = {r["photo_id"]: r["encounter_id"] for r in rows}
    into: dict[str, set[str]] = {}
    for photo, encounter in earlier.items():
        if photo in now:
            into.setdefault(encounter, set()).add(now[photo])
    gone = into.keys() - set(now.values())
    return {encounter: min(into[encounter]) for encounter in gone if len(into[encounter]) == 1}


def _voted_out(judged: Judged) -> dict[str, str]:
    """By encounter of photos that spoke against another one, that other one."""
    rows = judged.photos.select(["encounter_id", "voted_out_of"]).to_pylist()
    return {r["encounter_id"]: r["voted_out_of"] for r in rows if r["voted_out_of"]}


def _with_names(novelty: pa.Table, names: Mapping[str, str]) -> pa.Table:
    rows = zip(novelty["encounter_id"].to_pylist(), novelty["decision"].to_pylist(), strict=True)
    sighted = list(names)
    named = [None if decision in NAMED else name_of(e, names, sighted) for e, decision in rows]
    place = novelty.schema.get_field_index("provisional_individual_id")
    return novelty.set_column(place, novelty.schema.field(place), pa.array(named, pa.string()))


def _with_evidence(novelty: pa.Table, sentences: Mapping[str, str]) -> pa.Table:
    """One more sentence for these encounters, unless they are of a known animal."""
    columns = (novelty[name].to_pylist() for name in ("encounter_id", "provisional_individual_id", "evidence"))
    said = [
        f"{before} {sentences[encounter]}" if name and encounter in sentences else before
        for encounter, name, before in zip(*columns, strict=True)
    ]
    place = novelty.schema.get_field_index("evidence")
    return novelty.set_column(place, novelty.schema.field(place), pa.array(said, pa.string()))
