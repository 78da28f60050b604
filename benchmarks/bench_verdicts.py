"""What the verdicts are worth at the density of a catalogue: every animal of a labelled folder of head crops in the gallery.

    resight train split heads --leave-out t001 … --out animals.csv
    python benchmarks/bench_verdicts.py --data heads --animals animals.csv --workspace /tmp/heads --ways votes union

The animals of one part of the list ask (with photos of their later days, or with `--protocol first-year` of their later years), all others are in the gallery alone. Matching every
photo of an encounter takes hours, so the first ``--photos`` of each query encounter ask, and as many of each encounter that stands in for
an unknown animal; ``--gallery-photos`` of each encounter of the gallery are there. First is meant in the order of their crops' names, which are digests. Strangers are the same encounters judged once more from the same pairs without their animal.
What is matched stays in the workspace, so that a second call only judges.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from labelled_crops import arguments, first_of_each, of_photos, opened, pairings, prepared
from over_animals import interval_text

from resight.embed.stage import embed
from resight.evaluate.accuracy import Context, accuracy_rows
from resight.evaluate.animals import Part, read_animals
from resight.evaluate.bootstrap import interval
from resight.evaluate.metrics import adjusted_rand
from resight.evaluate.outcomes import CLOSED, ENCOUNTER
from resight.evaluate.paired import compare
from resight.evaluate.specs import OutcomeRows
from resight.pairs.cohort import CALIBRATE, Cohort, calibration_photos, crop_info, pair_grids
from resight.pairs.plan import PairGrid
from resight.run.judging import judge
from resight.run.measuring import all_outcomes
from resight.run.pairing import match_pairs, plan_grids
from resight.run.run import Run
from resight.run.state import Extracted, Judged, Matched
from resight.run.unknowns import group_unknowns
from resight.status import NAMED
from resight.store.tables import conform

WAYS = ("votes", "union")
SHOWN = {
    "shortlist_recall_photo": "right animal among the matched photos",
    "top1_photo": "right at once, photo alone", "top3_photo": "among 3", "top5_photo": "among 5",
    "top1_encounter": "right at once, encounter", "top3_encounter": "among 3", "top5_encounter": "among 5",
    "named": "named (known or likely)", "named_wrongly": "of these wrong",
    "false_name_rate": "strangers named", "false_known_rate": "strangers known",
    "novelty_auroc": "known against new (AUROC)",
    "ece_encounter": "calibration error of best candidates, known animals alone", "ece_encounter_by_chance": "exact probabilities would show",
    "ece_mixed": "calibration error of best candidates, one in five new", "ece_mixed_by_chance": "exact probabilities would show",
    "ece_stated": "calibration error of all that is stated",
    "candidate_set_coverage": "candidate sets that hold the animal", "candidate_set_stated": "stated",
    "cluster_ari": "ARI of groups, animals not in the gallery",
}  # fmt: skip


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """A shortlist of so many places, by votes and vectors."""
    return {
        "embed": {"enabled": True}, "shortlist": {"enabled": "on", "k": given.places, "min_gallery": 1},
        "novelty": {"calibration_encounters": given.calibrating},
    }  # fmt: skip


def with_vectors(run: Run, extracted: Extracted) -> Extracted:
    """The same with the vectors of its crops."""
    vectors = embed(run.env, run.settings.embed, run.names.embed, extracted.crops).vectors
    return replace(extracted, vectors=vectors)


def matched(run: Run, extracted: Extracted, cohort: Cohort, most: int) -> Matched:
    """All pairs of the queries, and of so many photos of each encounter that stands in for an unknown animal."""
    info = crop_info(extracted.photos, extracted.crops, extracted.features, cohort)
    policy, n = run.settings.pairs, run.settings.novelty.calibration_encounters
    photos = first_of_each(extracted, calibration_photos(info, cohort, n), most)
    gallery, chosen = (of_photos(info, ids) for ids in (cohort.gallery, photos))
    identify = pair_grids(info, cohort, policy, 0)[0]
    calibrate = PairGrid.between(
        chosen, gallery, policy=policy, purpose=CALIBRATE, forbid_same_encounter=True, met_again=True
    )
    return match_pairs(run.conditions, plan_grids(run.conditions, extracted, cohort, info, (identify, calibrate)))


def judged(run: Run, found: Matched) -> tuple[list[dict[str, Any]], Judged]:
    """What happened to every query, with its animal and without, and the verdicts in view of all encounters."""
    alone = judge(run.conditions, found, run.note)
    together = group_unknowns(run.conditions, alone).judged
    return all_outcomes(run.conditions, together, run.note), together


def groups_of_the_known(outcomes: pa.Table) -> dict[str, Any]:
    """Adjusted Rand index of the names that encounters of animals in the gallery carry."""
    rows = OutcomeRows(outcomes).of(CLOSED, ENCOUNTER, True)
    names = np.array([r["individual_id"] if r["decision"] in NAMED or not r["provisional_individual_id"] else r["provisional_individual_id"] for r in rows], str)  # fmt: skip
    truth = np.array([r["true_individual_id"] for r in rows], str)
    value = adjusted_rand(names, truth, np.ones(len(rows)))
    low, high = interval(lambda w: adjusted_rand(names, truth, w), truth)
    return {"metric": "cluster_ari_known", "value": value, "ci_low": low, "ci_high": high, "n": len(rows)}


def figures(outcomes: pa.Table, rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By metric its value, interval and number of rows. ``rows``: what `accuracy_rows` says of the outcomes."""
    return {
        r["metric"]: r for r in [*rows, groups_of_the_known(outcomes) | {"stratum": "all"}] if r["stratum"] == "all"
    }


def table(by_way: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    """Lines of a Markdown table: per cent with the 95 % interval over animals, and of how many."""
    shown = SHOWN | {"cluster_ari_known": "ARI of groups, animals in the gallery"}
    lines = [f"| | {' | '.join(by_way)} |", "| --- " * (len(by_way) + 1) + "|"]
    for metric, label in shown.items():
        lines.append(f"| {label} | {' | '.join(_cell(of.get(metric)) for of in by_way.values())} |")
    return lines


def paired(old: pa.Table, new: pa.Table, names: tuple[str, str], prior_new: float) -> list[str]:
    """Lines of a Markdown table: what the second way has more, in points, on the same queries, with the 95 % interval over animals."""
    found = {row["metric"]: row for row in compare(old, new, prior_new).differences}
    lines = [f"| {names[1]} less {names[0]} | difference, points | gained and lost |", "| --- | --- | --- |"]
    for metric in (metric for metric in SHOWN if metric in found and found[metric]["difference"] is not None):
        row = found[metric]
        ends = f" ({interval_text((row['ci_low'], row['ci_high']))})" if row["ci_low"] is not None else ""
        changed = f"{row['n_gained']}, {row['n_lost']}" if row["n_gained"] is not None else ""
        lines.append(f"| {SHOWN[metric]} | {100 * row['difference']:+.1f}{ends} of {row['n']} | {changed} |")
    return lines


def _queries(outcomes: pa.Table) -> set[tuple[str, str]]:
    """Photos and encounters that asked."""
    return {(r["level"], r["query_id"]) for r in outcomes.to_pylist() if r["trial"] == CLOSED}


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "none"
    ends = f" ({interval_text((row['ci_low'], row['ci_high']))})" if row["ci_low"] is not None else ""
    return f"{100 * row['value']:.1f}{ends} of {row['n']}"


def _asked(given: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments(__doc__, gallery_photos=1000)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="who makes the shortlist")
    parser.add_argument("--places", type=int, default=50, help="gallery photos that a photo is matched with")
    parser.add_argument("--pairings", type=Path, help="where the scores of all encounters and animals go, as JSON")
    parser.add_argument(
        "--accuracy",
        type=Path,
        help="where every figure of the last way goes, by group too, as JSON for `accuracy_curves.py`",
    )
    parser.add_argument("--outcomes", type=Path, help="where the outcomes of the last way go, as Parquet")
    parser.add_argument(
        "--beside",
        type=Path,
        help="outcomes of another call (`--outcomes`), of the same queries with other settings, which the last way is paired with",
    )
    parser.add_argument("--calibrating", type=int, default=200, help="encounters that stand in for unknown animals")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    chosen = _asked(given)
    beside = pq.read_table(chosen.beside) if chosen.beside else None
    outcomes: dict[str, pa.Table] = {}
    with opened(chosen, settings_of(chosen)) as run:
        asking = read_animals(chosen.animals, Part(chosen.part))
        extracted, cohort = prepared(run, asking, chosen)
        print(json.dumps({"queries": len(cohort.queries), "gallery photos": len(cohort.gallery), "cpu_s": round(time.process_time())}), flush=True)  # fmt: skip
        for way in chosen.ways:
            start = time.process_time()
            seen = with_vectors(run, extracted) if way == "union" else extracted
            found = matched(run, seen, cohort, chosen.photos)
            print(json.dumps({"way": way, "pairs": found.plan.num_rows, "matched now": found.n_matched, "cpu_s": round(time.process_time() - start)}), flush=True)  # fmt: skip
            rows, together = judged(run, found)
            print(json.dumps({"way": way, "rule": together.rule.params.rule, "cpu_s": round(time.process_time() - start)}), flush=True)  # fmt: skip
            if chosen.pairings:
                chosen.pairings.write_text(json.dumps(pairings(together)))
            outcomes[way] = conform("outcomes", rows, run.run_id or "bench")
        prior_new = run.settings.novelty.prior_new
    accuracy = {way: accuracy_rows(rows, Context(chosen.protocol, prior_new)) for way, rows in outcomes.items()}
    by_way = {way: figures(rows, accuracy[way]) for way, rows in outcomes.items()}
    print("\n".join(table(by_way)), flush=True)
    if chosen.accuracy:
        chosen.accuracy.write_text(json.dumps(accuracy[chosen.ways[-1]], indent=0, default=str), encoding="utf-8")
    last = outcomes[chosen.ways[-1]]
    if chosen.outcomes:
        pq.write_table(last, chosen.outcomes)
    for one, other in pairwise(outcomes):
        print("\n".join(["", *paired(outcomes[one], outcomes[other], (one, other), prior_new)]), flush=True)
    if beside is not None:
        if apart := len(_queries(beside) ^ _queries(last)):
            raise SystemExit(
                f"{apart} photos and encounters ask in only one of the two: {chosen.beside} is of other options."
            )
        print("\n".join(["", *paired(beside, last, (chosen.beside.stem, chosen.ways[-1]), prior_new)]), flush=True)


if __name__ == "__main__":
    main()
