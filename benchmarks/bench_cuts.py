"""Small folders cut out of a large one: do verdicts dare to say what they know with 7 and with 12 animals?

    python benchmarks/bench_cuts.py --data heads --animals animals.csv --workspace /tmp/heads --gallery-photos 3

The animals of one part of the list that were met again, in the order of a digest of their names, are cut into folders of 12, and of each of these the
first 7 and the last 7. In a folder the earlier half of each animal's days is the gallery, with ``--gallery-photos`` of each encounter, and ``--photos`` of each
later one ask, the first in the order of the names of their crops, which are digests. Every pair is matched, with the settings of `resight init`, and all encounters of a folder are judged
together; strangers are the same encounters judged once more without their animal. Pooled over folders, with intervals over animals.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from labelled_crops import arguments, opened, pairings, prepared
from over_animals import interval_text

from resight.evaluate.animals import Part, read_animals
from resight.evaluate.folds import asked_by
from resight.evaluate.metrics import calibration_error
from resight.evaluate.outcomes import CLOSED, ENCOUNTER, PHOTO, WITHOUT_OWN
from resight.evaluate.shares import share_interval
from resight.pairs.cohort import Cohort
from resight.run.judging import judge, seen_by
from resight.run.measuring import all_outcomes
from resight.run.pairing import match_pairs, plan_pairs
from resight.run.run import Run
from resight.run.state import Extracted
from resight.run.unknowns import group_unknowns
from resight.status import NAMED
from resight.store.fingerprint import digest_ids

LARGE, SMALL = 12, 7
Row = dict[str, Any]


def folders(cohort: Cohort, size: int) -> list[frozenset[str]]:
    """Animals that were met again in folders of so many; the last one shares animals with the one before where they do not divide."""
    names = sorted({*cohort.truth.values()} & {*cohort.labels.values()}, key=lambda name: digest_ids([name]))
    starts = sorted({min(k, max(0, len(names) - size)) for k in range(0, len(names), size)})
    return [frozenset(names[k : k + size]) for k in starts]


def of_animals(cohort: Cohort, animals: frozenset[str]) -> Cohort:
    """The cohort of a folder with these animals alone."""
    labels = {p: name for p, name in cohort.labels.items() if name in animals}
    return replace(asked_by(cohort, animals), gallery=frozenset(labels), labels=labels)


def judged_folders(run: Run, extracted: Extracted, cohort: Cohort) -> Iterator[tuple[int, int, list[Row], list[Row]]]:
    """Size of each folder, pairs matched now, what became of its encounters, and what each scored with each animal."""
    for animals in folders(cohort, LARGE):
        large = of_animals(cohort, animals)
        matched = match_pairs(run.conditions, plan_pairs(run.conditions, extracted, large))
        names = sorted(animals, key=lambda name: digest_ids([name]))
        for some in (animals, frozenset(names[:SMALL]), frozenset(names[-SMALL:])):
            found = seen_by(run.settings, matched, of_animals(large, some))
            together = group_unknowns(run.conditions, judge(run.conditions, found, run.note)).judged
            yield len(some), matched.n_matched, all_outcomes(run.conditions, together, run.note), pairings(together)


def pooled(rows: Sequence[Row]) -> dict[str, str]:
    """Over all folders of a size: figures in per cent, with intervals over animals."""
    known = [r for r in rows if r["trial"] == CLOSED and r["level"] == ENCOUNTER and r["known"]]
    photos = [r for r in rows if r["trial"] == CLOSED and r["level"] == PHOTO and r["known"]]
    new = [r for r in rows if r["trial"] == WITHOUT_OWN and r["level"] == ENCOUNTER]
    right, named = [r for r in known if r["correct"]], [r for r in known if r["decision"] in NAMED]
    rated = [r for r in known if r["probability"] is not None]
    error = calibration_error(*(np.array([r[c] for r in rated], float) for c in ("probability", "correct")), np.ones(len(rated)))  # fmt: skip
    return {
        "right at once, photo alone": _share([r["correct"] for r in photos], photos),
        "best candidate right": _share([r["correct"] for r in known], known),
        "of these named": _share([r["decision"] in NAMED for r in right], right),
        "names that are wrong": _share([not r["correct"] for r in named], named),
        "strangers named": _share([r["decision"] in NAMED for r in new], new),
        "calibration error, known animals alone": f"{100 * (error or 0):.1f}",
    }


def _share(values: Sequence[bool], rows: Sequence[Row]) -> str:
    if not rows:
        return "none"
    ends = share_interval(np.array(values, np.float64), [r["true_individual_id"] for r in rows])
    return f"{sum(values)} of {len(rows)}, {100 * np.mean(values):.1f} ({interval_text(ends)})"


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, gallery_photos=3)
    parser.add_argument("--out", type=Path, help="where all outcomes go, as JSON")
    parser.add_argument("--pairings", type=Path, help=f"where the scores of the folders of {LARGE} go, as JSON")
    chosen, by_size, scored, start = parser.parse_args(given), {}, [], time.process_time()
    with opened(chosen, {"shortlist": {"enabled": "off"}}) as run:
        asking = read_animals(chosen.animals, Part(chosen.part))
        extracted, cohort = prepared(run, asking, chosen)
        for size, n_matched, rows, pairs in judged_folders(run, extracted, cohort):
            by_size.setdefault(size, []).extend(rows)
            scored += pairs if size == LARGE else []
            print(json.dumps({"animals": size, "matched now": n_matched, "cpu_s": round(time.process_time() - start)} | pooled(rows)), flush=True)  # fmt: skip
    if chosen.pairings:
        chosen.pairings.write_text(json.dumps(scored))
    if chosen.out:
        chosen.out.write_text(json.dumps(by_size, default=str))
    for size, rows in sorted(by_size.items()):
        print(size, json.dumps(pooled(rows), indent=1), flush=True)


if __name__ == "__main__":
    main()
