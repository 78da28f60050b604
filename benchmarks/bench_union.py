"""How often the shortlist keeps a photo of the right animal: by votes, by vectors, by both; on a labelled folder of head crops.

    resight train split heads --leave-out t001 … --out animals.csv
    python benchmarks/bench_union.py --data heads --animals animals.csv --workspace /tmp/heads --places 20 50 100

All animals of the folder are in the gallery (`time-aware`: each animal's earlier half of its days), the validation animals ask.
A query counts if the gallery holds a photo of its animal that it may be compared with. What is computed stays in the workspace. Places are dealt
as the settings of a list say by default; ``--leaders 0`` deals them as until 2026-11-30.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from over_animals import interval_text, weighted_mean

from resight.embed.stage import embed
from resight.evaluate.animals import Part, read_animals
from resight.evaluate.bootstrap import difference_interval, interval
from resight.evaluate.folds import asked_by, cohort_of
from resight.evaluate.protocol import split
from resight.flows.steps import own_settings
from resight.pairs.cohort import IDENTIFY, Cohort, crop_info, pair_grids
from resight.pairs.plan import OPEN
from resight.run.pairing import alike
from resight.run.run import Run, absolute_sources, open_run
from resight.run.setups import voting
from resight.run.state import Extracted
from resight.shortlist.params import ShortlistParams
from resight.shortlist.stage import shortlist
from resight.shortlist.union import NEAREST, Evidence, nearest, united
from resight.store.workspace import open_workspace
from resight.tasks.extract import extract_features
from resight.tasks.ingest import ingest_photos
from resight.tasks.segment import segment_photos

WAYS = ("votes, by photo", "vectors, by photo", "vectors", "votes", "both", "both, photo alone")


@dataclass(frozen=True)
class Asked:
    """Everything about Q queries and G gallery crops.

    Attributes:
        votes: (Q, G), 0 for none.
        cosines: (Q, G), NaN for none.
        allowed, own: (Q, G) bool, may be compared; is of the query's animal and may be compared.
        owners: (G,) number of the animal.
        animals: (Q,) name of the query's animal.
        encounters: (Q,) the query's encounter.
    """

    votes: np.ndarray
    cosines: np.ndarray
    allowed: np.ndarray
    own: np.ndarray
    owners: np.ndarray
    animals: list[str]
    encounters: list[str]


def prepared(run: Run, asking: frozenset[str]) -> tuple[Extracted, Cohort]:
    """Photos that take part, with crops, features and vectors; nothing is computed of the others."""
    ingested = ingest_photos(run)
    photos = ingested.photos.filter(pc.equal(ingested.photos["status"], "ok"))
    cohort = asked_by(cohort_of(photos, split(photos, protocol="time-aware")), asking)
    part = pa.array(sorted(cohort.gallery | cohort.queries))
    segmented = segment_photos(run, replace(ingested, photos=photos.filter(pc.is_in(photos["photo_id"], part))))
    extracted = extract_features(run, segmented)
    vectors = embed(run.env, run.settings.embed, run.names.embed, segmented.crops).vectors
    return replace(extracted, vectors=vectors), cohort


def asked(run: Run, extracted: Extracted, cohort: Cohort) -> Asked:
    """Votes and cosines of all pairs of queries and gallery crops."""
    info = crop_info(extracted.photos, extracted.crops, extracted.features, cohort)
    grid = next(g for g in pair_grids(info, cohort, run.settings.pairs, 0) if g.purpose == IDENTIFY)
    listed = shortlist(
        run.env, voting(run.settings, run.names.voting), (grid,), extracted.crops, extracted.features, every_vote=True
    )
    queries, gallery = grid.query_ids.to_pylist(), grid.gallery_ids.to_pylist()
    votes = np.zeros((len(queries), len(gallery)))
    q, g = (np.asarray(pc.index_in(listed.votes[f"{s}_crop_id"], ids)) for s, ids in (("query", grid.query_ids), ("gallery", grid.gallery_ids)))  # fmt: skip
    votes[q, g] = listed.votes["lnbnn"].to_numpy()
    similar = alike(extracted, info)
    assert similar is not None
    allowed = grid.of_queries(np.arange(len(queries))) == OPEN
    photo_of = dict(zip(info["crop_id"].to_pylist(), info["photo_id"].to_pylist(), strict=True))
    animals = [cohort.truth[photo_of[c]] for c in queries]
    names = np.array([cohort.labels[photo_of[c]] for c in gallery])
    own = (np.array(animals)[:, None] == names[None, :]) & allowed
    fair = own.any(axis=1)
    cosines = similar.among(queries).cosines(similar.among(gallery))
    return Asked(
        np.where(allowed, votes, 0)[fair], cosines[fair], allowed[fair], own[fair], similar.numbers(gallery),
        [a for a, f in zip(animals, fair, strict=True) if f],
        [similar.encounter(c) for c, f in zip(queries, fair, strict=True) if f],
    )  # fmt: skip


def first_own(of: Asked, dealing: ShortlistParams) -> dict[str, np.ndarray]:
    """(Q,) place of the first photo of the right animal, from 0 on, by each way; a number beyond the gallery where it is not listed.

    By photo: photos in the order of their votes or cosines. Otherwise places are dealt to animals (``dealing``), and the photos of an
    encounter speak together but in the last way.
    """
    n_queries, n = of.votes.shape
    tie, places = np.arange(n), {way: np.full(n_queries, n) for way in WAYS}
    likely = [nearest(of.cosines[q], of.allowed[q], n) for q in range(n_queries)]
    nobody, nothing = np.zeros(0, np.int32), np.zeros(n)

    def evidence(q: int, by_votes: bool, by_vectors: bool) -> Evidence:
        rows = likely[q][:NEAREST] if by_vectors else nobody
        return Evidence(of.votes[q] if by_votes else nothing, rows, of.cosines[q][rows], of.allowed[q])

    def note(way: str, q: int, rows: np.ndarray) -> None:
        hits = np.flatnonzero(of.own[q][rows])
        places[way][q] = hits[0] if len(hits) else n

    for q in range(n_queries):
        by_votes = np.argsort(-of.votes[q], kind="stable")
        note("votes, by photo", q, by_votes[of.votes[q, by_votes] > 0])
        note("vectors, by photo", q, likely[q])
        note("both, photo alone", q, united([evidence(q, True, True)], of.owners, tie, n, dealing)[0])
    for encounter in sorted(set(of.encounters)):
        mates = [q for q in range(n_queries) if of.encounters[q] == encounter]
        for way, uses in {"vectors": (False, True), "votes": (True, False), "both": (True, True)}.items():
            lists = united([evidence(q, *uses) for q in mates], of.owners, tie, n, dealing)
            for q, rows in zip(mates, lists, strict=True):
                note(way, q, rows)
    return places


def table(places: dict[str, np.ndarray], animals: Sequence[str], ks: Sequence[int]) -> list[str]:
    """Lines of a Markdown table: per cent with 95 % intervals over animals; the last column is paired on the same queries."""
    lines = ["| gallery photos | " + " | ".join(WAYS) + " | both minus votes |", "| --- " * (len(WAYS) + 2) + "|"]
    for k in ks:
        hits = {way: (place < k).astype(np.float64) for way, place in places.items()}
        cells = [f"{100 * v.mean():.1f} ({interval_text(interval(weighted_mean(v), animals))})" for v in hits.values()]
        first, last = hits[WAYS[0]], hits["both"]
        ends = interval_text(difference_interval((weighted_mean(first), animals), (weighted_mean(last), animals)))
        lines.append(f"| {k} | {' | '.join(cells)} | {100 * (last.mean() - first.mean()):+.1f} ({ends}) |")
    return lines


def smaller(of: Asked, n_animals: int, seed: int) -> Asked:
    """A gallery of so many animals, the query's own among them: the others are drawn anew for each query."""
    rng, keep = np.random.default_rng(seed), np.zeros_like(of.allowed)
    everybody = np.unique(of.owners)
    for q in range(len(of.animals)):
        own = of.owners[np.flatnonzero(of.own[q])[0]]
        others = rng.permutation(everybody[everybody != own])[: n_animals - 1]
        keep[q] = np.isin(of.owners, [own, *others])
    allowed = of.allowed & keep
    return replace(of, votes=np.where(allowed, of.votes, 0), allowed=allowed, own=of.own & keep)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--animals", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--places", type=int, nargs="*", default=[20, 50, 100])
    parser.add_argument("--per-animal", type=int, nargs="*", default=[1, 2, 3])
    usual = ShortlistParams()
    parser.add_argument(
        "--leaders", type=int, default=usual.leaders, help="animals that get more photos in the first round"
    )
    parser.add_argument("--per-leader", type=int, default=usual.per_leader, help="photos of each of these")
    parser.add_argument("--gallery", type=int, nargs="*", default=[], help="sizes of smaller galleries, in animals")
    given = parser.parse_args(arguments)
    given.workspace.mkdir(parents=True, exist_ok=True)
    overrides = {
        "segment": {"kind": "whole"}, "embed": {"enabled": True}, "dask": {"mode": "inline"},
        "shortlist": {"enabled": "on", "k": 1, "min_gallery": 1},
    }  # fmt: skip
    place = open_workspace(given.workspace)
    settings, model = own_settings(place, overrides)
    asking, start = read_animals(given.animals, Part.VALIDATION), time.process_time()
    with open_run(place, settings, model, flow="evaluate", sources=absolute_sources([str(given.data)])) as run:
        extracted, cohort = prepared(run, asking)
        of = asked(run, extracted, cohort)
    print(f"{len(of.animals)} photos of {len(set(of.animals))} animals ask {of.votes.shape[1]} gallery photos of {len(np.unique(of.owners))}; {time.process_time() - start:.0f} CPU s", flush=True)  # fmt: skip
    for m in given.per_animal:
        dealing = ShortlistParams(per_animal=m, leaders=given.leaders, per_leader=given.per_leader)
        places = first_own(of, dealing)
        more = (
            f", {given.per_leader} of each of the first {given.leaders}"
            if given.leaders and given.per_leader > m
            else ""
        )
        print(
            f"\n{m} photos of an animal in a round{more}\n",
            *table(places, of.animals, given.places),
            sep="\n",
            flush=True,
        )
        for n in given.gallery:
            few = first_own(smaller(of, n, 0), dealing)
            print(json.dumps({"animals": n, "per_animal": m} | {w: round(float((p < 50).mean()), 4) for w, p in few.items()}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
