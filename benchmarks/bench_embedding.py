"""The embedding alone on head crops: the right animal among the nearest, frozen ImageNet features beside trained weights.

    python benchmarks/bench_embedding.py --data ../shared/data/heads --animals animals.csv --out build/embedding \\
        [--weights FILE ...] [--side 160 ...]

``--animals`` is the list of `resight train split`: its validation animals ask, all animals of the folder are in the gallery.
Validation animals choose (weights, side of the pictures); so the rows say how good the choice is on those that chose it.
Crops are read once and kept in ``--out``; photos of one encounter are never compared with each other.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch
from over_animals import interval_text, weighted_mean

from resight.embed.network import EmbeddingNet, from_imagenet
from resight.embed.picture import squashed
from resight.embed.weights import load_net
from resight.evaluate.animals import Part, read_animals
from resight.evaluate.bootstrap import difference_interval, interval
from resight.evaluate.folds import asked_by, cohort_of, of_a_gallery_side
from resight.evaluate.protocol import FIRST_YEAR, TIME_AWARE, split
from resight.pairs.plan import comparable
from resight.train.embedding.params import IMAGENET
from resight.train.pixels import to_tensor
from resight.weights.digests import sha256_of
from resight.weights.loading import strict_load
from resight.weights.store import WeightStore

KEPT_PX, BATCH = 192, 64
FROZEN = "ImageNet, frozen"
TOP_K, AMONG = (1, 3, 5), (20, 50, 100)
Network = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Crops:
    """Every crop of the folder: its row of metadata.csv, and (N, S, S, 3) uint8 as the embedding sees them."""

    rows: list[dict[str, str]]
    rgb: np.ndarray

    @property
    def photos(self) -> pa.Table:
        """What `protocol.split` wants to know."""
        return pa.table(
            {
                "photo_id": [r["file"] for r in self.rows],
                "encounter_id": [r["encounter_id"] for r in self.rows],
                "individual_id": [r["individual_id"] for r in self.rows],
                "taken_on": pa.array([date.fromisoformat(r["taken_at"][:10]) if r["taken_at"] else None for r in self.rows], pa.date32()),
                "role": pa.nulls(len(self.rows), pa.string()),
                "status": ["ok"] * len(self.rows),
                "viewpoint": [r["viewpoint"] for r in self.rows],
            }
        )  # fmt: skip


def read_crops(folder: Path, kept: Path) -> Crops:
    """The crops, decoded once into an array."""
    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        pictures = (_picture(folder / r["file"]) for r in rows)
        np.save(kept, np.stack([squashed(p, r["viewpoint"], KEPT_PX) for p, r in zip(pictures, rows, strict=True)]))
    return Crops(rows, np.load(kept, mmap_mode="r"))


def _picture(path: Path) -> np.ndarray:
    bgr = cv2.imread(str(path))
    if bgr is None:
        raise SystemExit(f"{path} is missing or no picture; correct --data.")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def frozen_net() -> Network:
    """ImageNet's features without any training here."""
    net = EmbeddingNet(2)
    strict_load(net, from_imagenet(WeightStore().state_dict(IMAGENET)), allowed_missing=("head.*",))
    features = net.eval().to(memory_format=torch.channels_last).features  # type: ignore[call-overload]
    return lambda rgb: torch.nn.functional.normalize(features(to_tensor(rgb, "cpu")), dim=1).numpy()


def trained_net(path: Path) -> tuple[Network, int]:
    """A network from `resight train embedding`, and the side of its pictures."""
    net, side_px = load_net(path)
    return lambda rgb: net(to_tensor(rgb, "cpu")).numpy(), side_px


@torch.inference_mode()
def vectors(rgb: np.ndarray, used: np.ndarray, net: Network, side_px: int, kept: Path) -> np.ndarray:
    """(N, D) float32 of unit length, kept in a file whose name holds which crops are used; those of all others are 0."""
    kept = kept.with_stem(f"{kept.stem}-{hashlib.sha256(np.asarray(used, np.int64).tobytes()).hexdigest()[:12]}")
    if kept.exists():
        return np.asarray(np.load(kept))
    made: np.ndarray | None = None
    for start in range(0, len(used), BATCH):
        some = used[start : start + BATCH]
        small = [cv2.resize(rgb[i], (side_px, side_px), interpolation=cv2.INTER_AREA) for i in some]
        computed = net(np.stack(small))
        if made is None:
            made = np.zeros((len(rgb), computed.shape[1]), np.float32)
        made[some] = computed
    assert made is not None
    np.save(kept, made)
    return made


def taking_part(crops: Crops, protocols: Sequence[str], asking: frozenset[str]) -> np.ndarray:
    """Indices of the crops that are in a gallery, or ask."""
    cohorts = [cohort_of(crops.photos, split(crops.photos, protocol=protocol)) for protocol in protocols]
    part = {p for c in cohorts for p in (*c.gallery, *(q for q, name in c.truth.items() if name in asking))}
    return np.array([i for i, r in enumerate(crops.rows) if r["file"] in part])


def ask(crops: Crops, made: np.ndarray, protocol: str, asking: frozenset[str]) -> list[dict[str, Any]]:
    """A row per query photo whose animal has a gallery photo that it may be compared with: places of the right animal."""
    cohort = asked_by(cohort_of(crops.photos, split(crops.photos, protocol=protocol)), asking)
    if protocol == FIRST_YEAR:
        cohort = of_a_gallery_side(cohort, crops.photos)
    place = {r["file"]: i for i, r in enumerate(crops.rows)}
    queries, gallery = (np.array([place[p] for p in sorted(part)]) for part in (cohort.queries, cohort.gallery))
    names = np.array([r["individual_id"] for r in crops.rows])
    views = [r["viewpoint"] for r in crops.rows]
    allowed = comparable([views[i] for i in queries], [views[i] for i in gallery])
    cosines = np.where(allowed, made[queries] @ made[gallery].T, -np.inf)
    rows = []
    for k, q in enumerate(queries):
        own = names[gallery] == names[q]
        if not (own & allowed[k]).any():
            continue
        order = np.argsort(-cosines[k], kind="stable")[: int(allowed[k].sum())]
        right = np.flatnonzero(own[order])
        animals = list(dict.fromkeys(names[gallery][order].tolist()))
        best: dict[str, float] = {}
        for g in order[::-1]:
            best[names[gallery][g]] = float(cosines[k, g])
        rows.append(
            {
                "animal": str(names[q]), "encounter": crops.rows[q]["encounter_id"], "photo": crops.rows[q]["file"],
                "n_gallery": int(allowed[k].sum()), "photo_place": int(right[0]), "animal_place": animals.index(names[q]),
                "best": best,
            }
        )  # fmt: skip
    return rows


def encounters(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per query encounter: each animal counts with its best pair of photos."""
    together: dict[str, dict[str, Any]] = {}
    for row in rows:
        of = together.setdefault(row["encounter"], {"animal": row["animal"], "best": {}})
        for name, cosine in row["best"].items():
            of["best"][name] = max(cosine, of["best"].get(name, -1.0))
    for of in together.values():
        order = sorted(of["best"], key=lambda name: -of["best"][name])
        of["animal_place"] = order.index(of["animal"])
    return list(together.values())


def measures(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[np.ndarray, list[str]]]:
    """0 or 1 for each query by measure, and its animal."""
    animals, asked = [r["animal"] for r in rows], encounters(rows)
    values = {f"top{k} per photo": ([r["animal_place"] < k for r in rows], animals) for k in TOP_K}
    values |= {
        f"top{k} per encounter": ([r["animal_place"] < k for r in asked], [r["animal"] for r in asked]) for k in TOP_K
    }
    values |= {f"among {n} photos": ([r["photo_place"] < n for r in rows], animals) for n in AMONG}
    values |= {f"among {n} animals": ([r["animal_place"] < n for r in rows], animals) for n in AMONG}
    return {name: (np.array(hits, np.float64), of) for name, (hits, of) in values.items()}


def table(by_network: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Lines of a Markdown table: every network's shares with intervals over animals, and the last minus the first, paired."""
    measured = {name: measures(rows) for name, rows in by_network.items()}
    names = list(measured)
    lines = ["| | " + " | ".join(names) + " | last minus first |", "| --- " * (len(names) + 2) + "|"]
    for what in measured[names[0]]:
        cells = [
            f"{100 * v.mean():.1f} ({interval_text(interval(weighted_mean(v), of))})"
            for v, of in (measured[n][what] for n in names)
        ]
        (first, of), (last, _) = measured[names[0]][what], measured[names[-1]][what]
        difference = difference_interval((weighted_mean(first), of), (weighted_mean(last), of))
        lines.append(
            f"| {what} | {' | '.join(cells)} | {100 * (last.mean() - first.mean()):+.1f} ({interval_text(difference)}) |"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--animals", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--side", type=int, nargs="*", default=[], help="sides of the pictures, instead of the weights' own"
    )
    parser.add_argument("--protocol", nargs="*", default=[TIME_AWARE, FIRST_YEAR])
    parser.add_argument("--no-frozen", action="store_true")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    crops, asking = read_crops(given.data, given.out / "crops.npy"), read_animals(given.animals, Part.VALIDATION)
    networks: dict[str, tuple[Network, int, str]] = {}
    if not given.no_frozen:
        side = given.side[0] if given.side else KEPT_PX
        networks[f"{FROZEN}, {side} px"] = (frozen_net(), side, "frozen")
    for path in given.weights:
        net, own_px = trained_net(path)
        networks |= {f"{path.stem}, {px} px": (net, px, sha256_of(path)[:12]) for px in given.side or [own_px]}
    used = taking_part(crops, given.protocol, asking)
    made = {
        name: vectors(crops.rgb, used, net, px, given.out / f"vectors-{digest}-{px}.npy")
        for name, (net, px, digest) in networks.items()
    }
    for protocol in given.protocol:
        rows = {name: ask(crops, of, protocol, asking) for name, of in made.items()}
        first = next(iter(rows.values()))
        head = f"{protocol}: {len(first)} photos, {len(encounters(first))} encounters of {len({r['animal'] for r in first})} validation animals"
        lines = [head, "", *table(rows), ""]
        print("\n".join(lines), flush=True)
        (given.out / f"{protocol}.md").write_text("\n".join(lines))
        (given.out / f"{protocol}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
