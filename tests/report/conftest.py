"""A small run in tables: one animal known, one new, one in doubt, one that could not be compared."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import cv2
import numpy as np
import pytest

from resight.report.data import MatchedPoints, ReportData
from resight.store.tables import conform

RUN_ID = "2026-06-03-nightly-abcd1234"
NAMES = ["<b>x</b>", "Calypso", "Nereus"]


def fake_crop(crop_id: str) -> np.ndarray:
    """A crop of 313 x 471 with an oval mask; each id has its own."""
    rng = np.random.default_rng(list(crop_id.encode()))
    rgb = cv2.resize(rng.integers(0, 255, (12, 8, 3), np.uint8), (313, 471), interpolation=cv2.INTER_CUBIC)
    mask = cv2.ellipse(np.zeros((471, 313), np.uint8), (156, 235), (120, 200), 0, 0, 360, 255, -1)
    return np.dstack([rgb, mask])


def photo(name: str, **more):
    base = {"photo_id": name, "uri": f"/field season/2026-06-03 bay/{name} 1.JPG", "uris": [f"{name} 1.JPG"], "n_files": 1,
            "encounter_source": "metadata", "viewpoint": "left", "first_night": date(2026, 6, 3), "status": "ok", "encounter_id": name,
            "taken_on": date(2026, 6, 3)}  # fmt: skip
    return base | more


def crop(photo_id: str, **more):
    base = {
        "crop_id": f"c-{photo_id}",
        "photo_id": photo_id,
        "viewpoint": "left",
        "confidence": 1.0,
        "segment_fingerprint": "f",
        "status": "ok",
    }
    return base | more


def pair(query: str, gallery: str, histogram: list[int]):
    return {"query_crop_id": f"c-{query}", "gallery_crop_id": f"c-{gallery}", "purpose": "identify", "query_photo_id": query,
            "gallery_photo_id": gallery, "n_keypoints_query": 60, "n_keypoints_gallery": 40, "n_matches": sum(histogram), "n_inliers": 9,
            "confidence_histogram": histogram, "status": "scored"}  # fmt: skip


def candidate(encounter: str, rank: int, name: str, gallery: str, probability: float):
    return {"level": "encounter", "query_id": encounter, "encounter_id": encounter, "rank": rank, "individual_id": name, "score": 0.5 / rank,
            "probability": probability, "n_photos": 1, "n_pairs": 2, "best_query_crop_id": f"c-{encounter}", "best_query_photo_id": encounter,
            "best_gallery_crop_id": f"c-{gallery}", "best_gallery_photo_id": gallery}  # fmt: skip


def verdict(encounter: str, decision: str, **more):
    base = {"encounter_id": encounter, "n_photos": 1, "n_photos_compared": 1, "decision": decision, "n_calibration": 30, "method": "likelihood",
            "evidence": f"Because of {encounter} & more.", "status": "ok"}  # fmt: skip
    return base | more


def tables():
    photos = [photo(f"g{k}", individual_id=name) for k, name in enumerate(NAMES)]
    photos += [photo(name) for name in ("q-known", "q-new", "q-unsure", "q-none")]
    photos.append(photo("bad", uri="/field season/broken <i>.JPG", status="rejected", reason="truncated", message="broken <i>.JPG ends too early; copy it again."))  # fmt: skip
    crops = [crop(p["photo_id"]) for p in photos if p["status"] == "ok" and p["photo_id"] != "q-none"]
    crops.append(crop("q-none", status="no_head"))
    ranked = {"q-known": (0.93, 0.02, 0.01), "q-new": (0.04, 0.03, 0.01), "q-unsure": (0.5, 0.1, 0.05)}
    pairs = [
        pair(q, f"g{k}", [4, 2, 2, 2] if q == "q-known" and k == 0 else [3, 1, 0, 0]) for q in ranked for k in range(3)
    ]
    found = [candidate(q, k + 1, NAMES[k], f"g{k}", p) for q, ps in ranked.items() for k, p in enumerate(ps)]
    novelty = [
        verdict("q-known", "known", individual_id=NAMES[0], probability=0.93, p_new=0.04),
        verdict(
            "q-new",
            "new",
            individual_id=NAMES[0],
            probability=0.04,
            p_new=0.92,
            provisional_individual_id="new-2026-001",
        ),
        verdict("q-unsure", "unsure", individual_id=NAMES[0], probability=0.5, p_new=0.35),
        verdict("q-none", "not_compared", n_photos_compared=0),
    ]
    score = {
        "query_crop_id": "c-q-known",
        "gallery_crop_id": "c-g0",
        "purpose": "identify",
        "score": 0.5,
        "score_name": "mean",
    }
    run = {"flow": "nightly", "night": date(2026, 6, 3), "status": "accepted", "started_at": datetime(2026, 6, 4, 1, tzinfo=UTC),
           "ended_at": datetime(2026, 6, 4, 1, 3, tzinfo=UTC), "resight_version": "0.1.0", "model_fingerprint": "feedbeef", "fingerprints": "{}",
           "weights": '{"some-net": "0123456789abcdef"}', "versions": "{}", "device": "cpu", "work": "{}",
           "settings": '{"extract": {"kind": "sift"}, "match": {"kind": "nearest"}, "score": {"name": "mean"}}',
           "counts": '{"ingest": {"in": 8, "out": {"ok": 7, "rejected": 1}}, "match": {"in": 9, "out": {"scored": 8}}}'}  # fmt: skip
    made = {
        "photos": photos,
        "crops": crops,
        "pairs": pairs,
        "scores": [score],
        "identifications": found,
        "novelty": novelty,
    }
    return {name: conform(name, rows, RUN_ID) for name, rows in made.items()}, conform(
        "runs", [run], RUN_ID
    ).to_pylist()[0]


def proof(seed: int, n: int = 10) -> MatchedPoints:
    rng = np.random.default_rng(seed)
    xy = rng.uniform((0, 0), (312, 470), (n, 2))
    return MatchedPoints(xy, xy + 3, np.sort(rng.uniform(0.1, 1.0, n))[::-1], np.arange(n) % 4 != 3)


@pytest.fixture
def data() -> ReportData:
    found, run = tables()
    matches = {(f"c-{q}", f"c-g{k}"): proof(k) for q in ("q-known", "q-new", "q-unsure") for k in range(3)}
    null = np.linspace(0, 1, 5), np.array([0.9, 0.99, 1.0, 1.0, 1.0])
    return ReportData(run=run, **found, matches=matches, null=null, read_crop=fake_crop, accuracy=None)


@pytest.fixture(scope="session")
def drawn() -> Callable[[int, np.ndarray], ReportData]:
    """Makes nights of any size."""
    return drawn_night


def drawn_night(n: int, with_photo: np.ndarray) -> ReportData:
    """``n`` encounters of two photos each, with three candidates out of 60 animals; every second one is from before."""
    names = [f"animal {k:02d}" for k in range(60)]
    photos = [photo(f"g{k}", individual_id=name) for k, name in enumerate(names)]
    queries = [f"q{k:03d}" for k in range(n)]
    for k, query in enumerate(queries):
        day = date(2026, 6, 3) if k % 2 else date(2026, 6, 1)
        photos += [photo(f"{query}{side}", encounter_id=query, first_night=day) for side in ("", "b")]
    crops = [crop(p["photo_id"]) for p in photos]
    candidates = {q: [(k * 7 + j * 11) % 60 for j in range(3)] for k, q in enumerate(queries)}
    bins = [int(40 * 0.8**k) for k in range(20)]
    pairs = [pair(q, f"g{g}", bins) for q, gs in candidates.items() for g in gs]
    found = [
        candidate(q, j + 1, names[g], f"g{g}", 0.5 / (j + 1)) for q, gs in candidates.items() for j, g in enumerate(gs)
    ]
    kinds = ("likely", "new", "unsure", "known")
    told = "Best match with score 12.3; none of 57 animals known to be different reached that. 2 of 60 animals in the gallery have no photo that could be compared."
    novelty = [
        verdict(
            q,
            kinds[k % 4],
            individual_id=names[candidates[q][0]],
            probability=0.5,
            p_new=0.3,
            n_photos=2,
            evidence=told,
        )
        for k, q in enumerate(queries)
    ]
    _, run = tables()
    made = {
        "photos": photos,
        "crops": crops,
        "pairs": pairs,
        "scores": [],
        "identifications": found,
        "novelty": novelty,
    }
    matches = {(f"c-{q}", f"c-g{g}"): proof(g, 48) for q, gs in candidates.items() for g in gs}
    null = np.linspace(0, 1, 21), np.linspace(0.6, 1.0, 21)
    read = {"read_crop": lambda _: with_photo, "read_photo": lambda _: with_photo[..., :3]}
    rows = {name: conform(name, found, RUN_ID) for name, found in made.items()}
    return ReportData(run=run, **rows, matches=matches, null=null, **read)
