"""Small folders cut out of a large one: do verdicts dare to say what they know with 7 and with 12 animals?

    python benchmarks/bench_cuts.py --data heads --animals animals.csv --workspace /tmp/heads --gallery-photos 3

The animals of one part of the list that were met again, in the order of a digest of their names, are cut into folders of 12, and of each of these the
first 7 and the last 7. In a folder the earlier half of each animal's days is the gallery, with ``--gallery-photos`` of each encounter, and ``--photos`` of each
later one ask, the first in the order of the names of their crops, which are digests. Every pair is matched, with the settings of `resight init`, and all encounters of a folder are judged
together; strangers are the same encounters judged once more without their animal. Pooled over folders, with intervals over animals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from over_animals import interval_text

from resight.evaluate.animals import Part, read_animals
from resight.evaluate.folds import asked_by, cohort_of
from resight.evaluate.metrics import calibration_error
from resight.evaluate.outcomes import CLOSED, ENCOUNTER, WITHOUT_OWN
from resight.evaluate.protocol import split
from resight.evaluate.shares import share_interval
from resight.flows.steps import own_settings
from resight.pairs.cohort import Cohort
from resight.run.judging import judge, seen_by
from resight.run.measuring import all_outcomes
from resight.run.pairing import match_pairs, plan_pairs
from resight.run.run import Run, absolute_sources, open_run
from resight.run.state import Extracted, Segmented
from resight.run.unknowns import group_unknowns
from resight.status import NAMED
from resight.store.fingerprint import digest_ids
from resight.store.workspace import open_workspace
from resight.tasks.extract import extract_features
from resight.tasks.ingest import ingest_photos
from resight.tasks.segment import segment_photos

LARGE, SMALL = 12, 7
Row = dict[str, Any]


def opened(given: argparse.Namespace) -> AbstractContextManager[Run]:
    """A run in the workspace; nothing of it is published."""
    given.workspace.mkdir(parents=True, exist_ok=True)
    overrides = {
        "segment": {"kind": "whole"}, "dask": {"mode": "inline"}, "shortlist": {"enabled": "off"},
    }  # fmt: skip
    place = open_workspace(given.workspace)
    settings, model = own_settings(place, overrides)
    return open_run(place, settings, model, flow="evaluate", sources=absolute_sources([str(given.data)]))


def first_of_each(segmented: Segmented, chosen: Iterable[str], most: int) -> frozenset[str]:
    """Of the photos chosen, the first few of each encounter, in the order of the names of their crops, which are digests."""
    encounter, crop = (
        dict(zip(table["photo_id"].to_pylist(), table[column].to_pylist(), strict=True))
        for table, column in ((segmented.photos, "encounter_id"), (segmented.crops, "crop_id"))
    )
    by_encounter: dict[str, list[str]] = {}
    for photo in sorted((p for p in chosen if p in crop), key=crop.__getitem__):
        by_encounter.setdefault(encounter[photo], []).append(photo)
    return frozenset(photo for of in by_encounter.values() for photo in of[:most])


def prepared(
    run: Run, asking: Collection[str], most: int, most_known: int, most_crops: int
) -> tuple[Extracted, Cohort]:
    """Photos that take part, with crops and features; nothing is computed of the others."""
    ingested = ingest_photos(run)
    photos = ingested.photos.filter(pc.equal(ingested.photos["status"], "ok"))
    cohort = asked_by(cohort_of(photos, split(photos, protocol="time-aware")), asking)
    segmented = segment_photos(run, replace(ingested, photos=_of(photos, cohort.gallery | cohort.queries)))
    usable = segmented.crops.filter(pc.equal(segmented.crops["status"], "ok"))
    segmented = replace(segmented, crops=usable.sort_by("crop_id").slice(0, most_crops))
    queries, gallery = (
        first_of_each(segmented, cohort.queries, most),
        first_of_each(segmented, cohort.gallery, most_known),
    )
    cohort = replace(
        cohort, queries=queries, truth={p: cohort.truth[p] for p in queries}, gallery=gallery,
        labels={p: cohort.labels[p] for p in gallery},
    )  # fmt: skip
    kept = replace(
        segmented, photos=_of(segmented.photos, queries | gallery), crops=_of(segmented.crops, queries | gallery)
    )
    return extract_features(run, kept), cohort


def _of(table: pa.Table, photos: Collection[str]) -> pa.Table:
    """The rows of these photos."""
    return table.filter(pc.is_in(table["photo_id"], pa.array(sorted(photos), pa.string())))


def folders(cohort: Cohort, size: int) -> list[frozenset[str]]:
    """Animals that were met again in folders of so many; the last one shares animals with the one before where they do not divide."""
    names = sorted({*cohort.truth.values()} & {*cohort.labels.values()}, key=lambda name: digest_ids([name]))
    starts = sorted({min(k, max(0, len(names) - size)) for k in range(0, len(names), size)})
    return [frozenset(names[k : k + size]) for k in starts]


def of_animals(cohort: Cohort, animals: frozenset[str]) -> Cohort:
    """The cohort of a folder with these animals alone."""
    labels = {p: name for p, name in cohort.labels.items() if name in animals}
    return replace(asked_by(cohort, animals), gallery=frozenset(labels), labels=labels)


def judged_folders(run: Run, extracted: Extracted, cohort: Cohort) -> Iterator[tuple[int, int, list[Row]]]:
    """Size of each folder, pairs matched now, and what became of its encounters."""
    for animals in folders(cohort, LARGE):
        large = of_animals(cohort, animals)
        matched = match_pairs(run.conditions, plan_pairs(run.conditions, extracted, large))
        names = sorted(animals, key=lambda name: digest_ids([name]))
        for some in (animals, frozenset(names[:SMALL]), frozenset(names[-SMALL:])):
            found = seen_by(run.settings, matched, of_animals(large, some))
            together = group_unknowns(run.conditions, judge(run.conditions, found, run.note)).judged
            yield len(some), matched.n_matched, all_outcomes(run.conditions, together, run.note)


def pooled(rows: Sequence[Row]) -> dict[str, str]:
    """Over all folders of a size: figures in per cent, with intervals over animals."""
    known = [r for r in rows if r["trial"] == CLOSED and r["level"] == ENCOUNTER and r["known"]]
    new = [r for r in rows if r["trial"] == WITHOUT_OWN and r["level"] == ENCOUNTER]
    right, named = [r for r in known if r["correct"]], [r for r in known if r["decision"] in NAMED]
    rated = [r for r in known if r["probability"] is not None]
    error = calibration_error(*(np.array([r[c] for r in rated], float) for c in ("probability", "correct")), np.ones(len(rated)))  # fmt: skip
    return {
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


def arguments() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "animals", "workspace"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--part", choices=[p.value for p in Part], default=Part.VALIDATION.value, help="who asks")
    parser.add_argument("--photos", type=int, default=2, help="of each encounter that asks")
    parser.add_argument("--gallery-photos", type=int, default=3, help="of each encounter of the gallery")
    parser.add_argument(
        "--crops", type=int, default=100_000, help="of all that could take part only the first so many do"
    )
    return parser


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments()
    parser.add_argument("--out", type=Path, help="where all outcomes go, as JSON")
    chosen, by_size, start = parser.parse_args(given), {}, time.process_time()
    with opened(chosen) as run:
        asking = read_animals(chosen.animals, Part(chosen.part))
        extracted, cohort = prepared(run, asking, chosen.photos, chosen.gallery_photos, chosen.crops)
        for size, n_matched, rows in judged_folders(run, extracted, cohort):
            by_size.setdefault(size, []).extend(rows)
            print(json.dumps({"animals": size, "matched now": n_matched, "cpu_s": round(time.process_time() - start)} | pooled(rows)), flush=True)  # fmt: skip
    if chosen.out:
        chosen.out.write_text(json.dumps(by_size, default=str))
    for size, rows in sorted(by_size.items()):
        print(size, json.dumps(pooled(rows), indent=1), flush=True)


if __name__ == "__main__":
    main()
