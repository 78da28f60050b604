"""The judging stages once more on some of the pairs: another gallery, the same matches, nothing written."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.folds import encounter_turns, pairs_of
from resight.pairs.cohort import Cohort, calibration_photos, crop_info
from resight.run.run import REHEARSING, Run
from resight.store.counts import reconcile
from resight.store.runs import Staging, TableRef
from resight.store.tables import status_counts
from resight.tasks.cluster import group_unknowns
from resight.tasks.novelty import judge_novelty
from resight.tasks.rank import rank_candidates
from resight.tasks.score import score_pairs

RESULTS = ("ranked", "novelty_model", "null", "fusion", "rank_params", "ranked_photos", "turns")
JUDGING: tuple[Any, ...] = (score_pairs, rank_candidates, judge_novelty)


@dataclass
class Aside:
    """Takes tables and keeps them out of the run's folder."""

    def write(self, name: str, table: pa.Table, fingerprint: str = "") -> TableRef:
        """Say what would have been written."""
        return TableRef(name, "", table.num_rows, fingerprint)


def aside(run: Run, cohort: Cohort, **changes: Any) -> Run:
    """A copy of the run for another cohort; what it finds stays in it, but for its notes."""
    kept = {k: v for k, v in run.extras.items() if k not in RESULTS} | {REHEARSING: True}
    fresh: dict[str, Any] = {
        "counts": {},
        "work": dict.fromkeys(run.work, 0),
        "fingerprints": {},
        "seconds": {},
        "extras": kept,
    }
    return replace(run, cohort=cohort, staging=cast(Staging, Aside()), tables=dict(run.tables), **(fresh | changes))


def rehearse(run: Run, cohort: Cohort, *, grouping: bool = False) -> Run:
    """Score, rank and judge as if this cohort were all there is; scores, calibration and ranking see its labels alone.

    Args:
        run: The run that has matched.
        cohort: Who asks whom.
        grouping: Also compare the unknown encounters with each other and put them into groups.
    """
    info = crop_info(run.tables["photos"], run.tables["crops"], run.tables["features"], cohort)
    calibrating = None
    if run.cohort is not None and run.cohort.in_turns:
        calibrating = calibration_photos(info, cohort, run.settings.novelty.calibration_encounters)
    once = aside(run, cohort)
    once.tables["pairs"] = pairs_of(run.tables["pairs"], cohort, calibrating)
    once.counts["match"] = {"in": once.tables["pairs"].num_rows, "out": status_counts(once.tables["pairs"])}
    once.extras["crop_info"] = info
    stages: tuple[Any, ...] = (*JUDGING, group_unknowns) if grouping else JUDGING
    for stage in stages:
        stage.__wrapped__(once)
    return once


def judge(run: Run) -> None:
    """From matched pairs to verdicts: all at once, or each encounter in its turn."""
    if run.cohort is not None and run.cohort.in_turns:
        judge_in_turns(run)
        return
    for stage in JUDGING:
        (stage.__wrapped__ if run.extras.get(REHEARSING) else stage)(run)


def judge_in_turns(run: Run) -> None:
    """Every encounter asks all others; its label and its scores are hidden from what judges it."""
    cohort = run.cohort
    if cohort is None:
        raise ValueError("judge_in_turns needs run.cohort")
    start = time.perf_counter()
    turns = [rehearse(run, one) for one in encounter_turns(cohort, run.tables["photos"])]
    run.seconds["judge"] = time.perf_counter() - start
    if run.settings.rank.rule == "auto":
        rules = Counter(t.extras["rank_params"].rule for t in turns).most_common()
        run.note(f"Photos vote by a rule chosen for every turn: {', '.join(f'{rule} in {n}' for rule, n in rules)}.")
    photos = run.tables["photos"]
    encounter = dict(zip(photos["photo_id"].to_pylist(), photos["encounter_id"].to_pylist(), strict=True))
    last = turns[-1].extras
    run.extras |= {"turns": turns} | {k: last[k] for k in ("null", "fusion", "rank_params", "novelty_model")}
    run.extras["ranked"] = pa.concat_tables([t.extras["ranked"] for t in turns])
    asked = [t.tables["scores"].filter(pc.equal(t.tables["scores"]["purpose"], "identify")) for t in turns]
    run.add("scores", pa.concat_tables(asked))
    run.counts["score"] = {"in": run.tables["scores"].num_rows, "out": {"scored": run.tables["scores"].num_rows}}
    for name in ("identifications", "novelty"):
        run.add(name, pa.concat_tables([t.tables[name] for t in turns]))
    verdicts = run.tables["novelty"]
    reconcile("novelty", {encounter[p] for p in cohort.queries}, verdicts["encounter_id"].to_pylist())
    decisions = verdicts["decision"].to_pylist()
    run.counts["novelty"] = {"in": len(decisions), "out": {d: decisions.count(d) for d in sorted(set(decisions))}}
