"""What benchmarks share that ask with some animals of a large labelled folder of head crops: its photos, crops and features, as few as are needed."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from resight.evaluate.animals import Part
from resight.evaluate.folds import asked_by, cohort_of, of_a_gallery_side
from resight.evaluate.outcomes import ENCOUNTER
from resight.evaluate.protocol import FIRST_YEAR, TIME_AWARE, split
from resight.flows.steps import own_settings
from resight.pairs.cohort import Cohort
from resight.run.run import Run, absolute_sources, open_run
from resight.run.state import Extracted, Judged, Segmented
from resight.settings.layers import lay_over, parse_assignments
from resight.store.workspace import open_workspace
from resight.tasks.extract import extract_features
from resight.tasks.ingest import ingest_photos
from resight.tasks.segment import segment_photos


def arguments(about: str | None, gallery_photos: int) -> argparse.ArgumentParser:
    """What can be said on the command line of each of them."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "animals", "workspace"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--part", choices=[p.value for p in Part], default=Part.VALIDATION.value, help="who asks")
    parser.add_argument("--photos", type=int, default=2, help="of each encounter that asks or stands in")
    parser.add_argument("--gallery-photos", type=int, default=gallery_photos, help="of each encounter of the gallery")
    parser.add_argument(
        "--crops", type=int, default=100_000, help="of all that could take part only the first so many do"
    )
    parser.add_argument("--weights", default="", help="of the matcher, a path, instead of those of the settings")
    parser.add_argument("--keypoints", type=int, default=0, help="of a crop at most, instead of those of the settings")
    parser.add_argument(
        "--protocol", choices=[TIME_AWARE, FIRST_YEAR], default=TIME_AWARE, help="who is in the gallery"
    )
    parser.add_argument(
        "--set", action="append", default=[], help="a setting, such as score.name=fused; may be repeated"
    )
    parser.add_argument("--workers", type=int, default=0, help="processes that match; 0: this one")
    return parser


def opened(given: argparse.Namespace, overrides: Mapping[str, Any]) -> AbstractContextManager[Run]:
    """A run in the workspace, of crops as they are, without other processes unless workers are asked for; nothing of it is published."""
    given.workspace.mkdir(parents=True, exist_ok=True)
    place = open_workspace(given.workspace)
    matcher = {"match": {"kind": "lightglue", "weights": given.weights}} if given.weights else {}
    extract = {"extract": {"kind": "sift", "max_keypoints": given.keypoints}} if given.keypoints else {}
    dask = {"workers": given.workers} if given.workers else {"mode": "inline"}
    chosen = {"segment": {"kind": "whole"}, "dask": dask, **matcher, **extract, **overrides}
    settings, model = own_settings(place, lay_over(chosen, parse_assignments(given.set)))
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


def prepared(run: Run, asking: Collection[str], given: argparse.Namespace) -> tuple[Extracted, Cohort]:
    """Photos that take part, with crops and features; nothing is computed of the others. ``given``: see `arguments`."""
    ingested = ingest_photos(run)
    photos = ingested.photos.filter(pc.equal(ingested.photos["status"], "ok"))
    cohort = asked_by(cohort_of(photos, split(photos, protocol=given.protocol)), asking)
    segmented = segment_photos(run, replace(ingested, photos=of_photos(photos, cohort.gallery | cohort.queries)))
    usable = segmented.crops.filter(pc.equal(segmented.crops["status"], "ok"))
    segmented = replace(segmented, crops=usable.sort_by("crop_id").slice(0, given.crops))
    gallery = first_of_each(segmented, cohort.gallery, given.gallery_photos)
    cohort = replace(cohort, gallery=gallery, labels={p: cohort.labels[p] for p in gallery})
    if given.protocol == FIRST_YEAR:
        cohort = of_a_gallery_side(cohort, segmented.crops)
    queries = first_of_each(segmented, cohort.queries, given.photos)
    cohort = replace(cohort, queries=queries, truth={p: cohort.truth[p] for p in queries})
    kept = replace(
        segmented,
        photos=of_photos(segmented.photos, queries | gallery),
        crops=of_photos(segmented.crops, queries | gallery),
    )
    return extract_features(run, kept), cohort


def of_photos(table: pa.Table, photos: Collection[str]) -> pa.Table:
    """The rows of these photos."""
    return table.filter(pc.is_in(table["photo_id"], pa.array(sorted(photos), pa.string())))


def pairings(judged: Judged) -> list[dict[str, Any]]:
    """What every query encounter scores with every animal of its gallery that it was compared with, for `shipped_likelihood.py`."""
    rows = judged.candidates.filter(pc.equal(judged.candidates["level"], ENCOUNTER))
    return rows.select(["query_id", "individual_id", "true_individual_id", "score", "n_pairs"]).to_pylist()
