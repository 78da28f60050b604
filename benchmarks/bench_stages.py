"""Each stage beside its floor: what the decoder, OpenCV's SIFT and the bare networks take for the same photos, on one core.

    python benchmarks/bench_stages.py ../shared/data/zakynthos              # 24 photos, made 24 megapixels large
    python benchmarks/bench_stages.py FOLDER --photos 40 --rounds 3 --quick --json stages.json

The photos of a folder with ``metadata.csv`` are enlarged to 6000 x 4000 pixels with some noise (an enlarged photo without any would be
decoded faster than a photo from a camera), half of them get the names that they have there, and the real `nightly` runs over them in one process and
one thread, with the settings of `resight init`, vectors included. What a stage takes is all CPU time until it ends: looking up,
computing, writing with digests. Its floor is taken in the same process right after, from the same files and the same inputs:

- ingest: reading and hashing the file, and decoding it to an eighth (Pillow's ``draft``, the DCT scaling of libjpeg-turbo)
- segment: decoding the whole photo (simplejpeg), the head finder's network alone on all pictures that it was shown, equal sizes in one batch, and the crop as a PNG
- extract: reading the crop, and OpenCV's ``detectAndCompute`` with the same thresholds
- embed: reading the crop, and the network alone, 16 at once
- match: the matcher alone on the same tiles of features in memory

Of several rounds the smallest time of each counts.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pyarrow.parquet as pq
import simplejpeg
import torch
from PIL import Image

from resight.embed.block import loaded, picture_of
from resight.embed.params import EmbedParams
from resight.embed.vectors import ways
from resight.extract.kinds.sift import EDGE_THRESHOLD, LAYERS, SiftParams
from resight.flows.nightly import run_nightly
from resight.ingest.quality import MEASURE_SIDE_PX
from resight.match.engine_matcher import EngineMatcher
from resight.run import run as runs
from resight.segment.learned import looks
from resight.segment.learned.network import HeadNet
from resight.segment.store import PNG
from resight.settings.init import init_workspace
from resight.weights.store import WeightStore

SIZE_WH, NOISE, QUALITY = (6000, 4000), 3.0, 92
STAGES = ("ingest", "segment", "extract", "embed", "match")
VIEWS_AT_ONCE, CROPS_AT_ONCE = 32, 16
NIGHT: dict[str, Any] = {
    "dask.mode": "inline",
    "embed.enabled": True,
    "shortlist.enabled": "off",
    "novelty.calibration_encounters": 2,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photos with metadata.csv")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="with segment.quick = true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    NIGHT["segment.quick"] = args.quick
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        n_bytes = enlarge(args.folder, place / "photos", args.photos)
        enlarge(args.folder, place / "few", 2)
        Night(
            place / "workspace", place / "few"
        ).run()  # imports, and networks: loaded once for each path of a workspace
        rounds = [one_round(place) for _ in range(args.rounds)]
    best = {key: min(taken[key] for taken in rounds) for key in rounds[0]}
    print(text(best, args.photos, n_bytes))
    if args.json:
        args.json.write_text(json.dumps({"load": os.getloadavg(), "photos": args.photos, "rounds": rounds}, indent=1))


def enlarge(source: Path, target: Path, n: int) -> int:
    """The first photo of each encounter as a JPEG of 24 megapixels; every other one keeps its name. Gives the bytes of all."""
    with (source / "metadata.csv").open(encoding="utf-8") as file:
        every = {row["encounter_id"]: row for row in reversed(list(csv.DictReader(file))) if row["encounter_id"]}
    rows = sorted(every.values(), key=lambda row: row["encounter_id"])[:n]
    target.mkdir(parents=True)
    rng, n_bytes = np.random.default_rng(1), 0
    for k, row in enumerate(rows):
        photo = cv2.resize(cv2.imread(str(source / row["file"])), SIZE_WH, interpolation=cv2.INTER_CUBIC)
        noisy = cv2.add(photo, rng.normal(0, NOISE, photo.shape).astype(np.float32), dtype=cv2.CV_8U)
        data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        n_bytes += (target / f"{k:03d}.jpg").write_bytes(data)
    with (target / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "individual_id", "taken_at"))
        writer.writerows((f"{k:03d}.jpg", "" if k % 2 else row["individual_id"], row["taken_at"]) for k, row in enumerate(rows))  # fmt: skip
    return n_bytes


class Night:
    """A first night, with the CPU seconds of its stages and what the networks were shown.

    Attributes:
        seconds: By stage.
        views: Pictures (H, W, 3) that the head finder's network saw; it sees the mirror image of each too.
        nets: That network.
        tiles: Arguments of the matcher's calls in stage ``match``, with the matcher first.
    """

    def __init__(self, workspace: Path, photos: Path) -> None:
        self.workspace, self.photos = workspace, photos
        self.seconds: dict[str, float] = {}
        self.views: list[np.ndarray] = []
        self.nets: list[HeadNet] = []
        self.tiles: list[tuple[Any, ...]] = []

    def run(self) -> None:
        init_workspace(self.workspace)
        with self._watched():
            run_nightly(self.workspace, "2026-06-01", NIGHT, [str(self.photos)], accept=True, quiet=True)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        init, predict, match_tile = runs.Run.__init__, looks._predict, EngineMatcher.match_tile

        def watched_init(run: Any, *args: Any, **kwargs: Any) -> None:
            init(run, *args, **kwargs)
            run.seconds = Spent(self)

        def watched_predict(net: HeadNet, rgbs: Sequence[np.ndarray]) -> Any:
            self.nets.append(net)
            self.views += rgbs
            return predict(net, rgbs)

        def watched_tile(matcher: Any, *args: Any) -> Any:
            if "match" not in self.seconds:  # later stages match too
                self.tiles.append((matcher, *args))
            return match_tile(matcher, *args)

        runs.Run.__init__ = watched_init
        looks._predict, EngineMatcher.match_tile = watched_predict, watched_tile
        try:
            yield
        finally:
            runs.Run.__init__ = init
            looks._predict, EngineMatcher.match_tile = predict, match_tile

    def crops(self) -> dict[Path, str]:
        """Files of the crops, with their views."""
        (table,) = (self.workspace / "runs").glob("*/crops.parquet")
        rows = pq.read_table(table, columns=["path", "viewpoint"]).to_pylist()
        return {self.workspace / row["path"]: row["viewpoint"] for row in rows if row["path"]}


class Spent(dict[str, float]):
    """Takes the place of a run's seconds by stage, and notes the CPU seconds since the stage before."""

    def __init__(self, night: Night) -> None:
        super().__init__()
        self._into, self._last = night.seconds, time.process_time()

    def __setitem__(self, stage: str, wall_s: float) -> None:
        super().__setitem__(stage, wall_s)
        now = time.process_time()
        self._into[stage], self._last = now - self._last, now


def one_round(place: Path) -> dict[str, float]:
    """CPU seconds of stages and floors."""
    night = Night(place / "workspace", place / "photos")
    shutil.rmtree(night.workspace)
    night.run()
    files, views = sorted((place / "photos").glob("*.jpg")), night.crops()
    crops = list(views)
    floors: dict[str, dict[str, Callable[[], Any]]] = {
        "ingest": {"read and hash": each(hashed, files), "decode to an eighth": each(eighth, files)},
        "segment": {"decode": each(whole, files), "network": lambda: heads(night), "crops as PNG": encoding(crops)},
        "extract": {"read crops": each(decoded, crops), "SIFT": sifting(crops)},
        "embed": {"read crops": each(decoded, crops), "network": embedding(views)},
        "match": {"engine": each(lambda tile: tile[0].match_tile(*tile[1:]), night.tiles)},
    }
    out = {f"{stage}": night.seconds[stage] for stage in STAGES}
    out |= {"crops": float(len(crops)), "pairs": float(sum(len(tile[2]) for tile in night.tiles))}
    out |= {f"{stage}: {name}": taken(work) for stage, parts in floors.items() for name, work in parts.items()}
    out["OpenCV: decode to an eighth"] = taken(
        each(lambda f: cv2.imread(str(f), cv2.IMREAD_REDUCED_GRAYSCALE_8), files)
    )
    out["OpenCV: decode"] = taken(each(lambda f: cv2.imread(str(f)), files))
    return out


def taken(work: Callable[[], Any]) -> float:
    """CPU seconds."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def each(work: Callable[[Any], Any], items: Sequence[Any]) -> Callable[[], None]:
    """Does the work for one after the other and keeps nothing, because pictures that are kept take new memory for each."""

    def every() -> None:
        for item in items:
            work(item)

    return every


def hashed(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def eighth(file: Path) -> None:
    with Image.open(file) as image:
        image.draft("L", (MEASURE_SIDE_PX, MEASURE_SIDE_PX))
        image.load()


def whole(file: Path) -> np.ndarray:
    pixels: np.ndarray = simplejpeg.decode_jpeg(file.read_bytes(), "RGB", fastdct=False, fastupsample=False)
    return pixels


def decoded(crop: Path) -> tuple[np.ndarray, np.ndarray]:
    """BGR and mask."""
    bgra = cv2.imread(str(crop), cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(bgra[..., :3]), bgra[..., 3]


def encoding(crops: list[Path]) -> Callable[[], Any]:
    pictures = [cv2.imread(str(crop), cv2.IMREAD_UNCHANGED) for crop in crops]
    return each(lambda picture: cv2.imencode(".png", picture, PNG), pictures)


def sifting(crops: list[Path]) -> Callable[[], Any]:
    """OpenCV alone, with the thresholds of the stage; it keeps as many as it finds, because it cuts by contrast and before it looks at the mask."""
    params, inputs = SiftParams(), [(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), mask) for bgr, mask in map(decoded, crops)]
    sift = cv2.SIFT.create(0, LAYERS, params.contrast_threshold, EDGE_THRESHOLD, 1.6, True)
    return each(lambda given: sift.detectAndCompute(*given), inputs)


def heads(night: Night) -> None:
    """The network on all that it was shown, and on the mirror images."""
    by_size = defaultdict(list)
    for view in night.views:
        by_size[view.shape].append(view)
    with torch.inference_mode():
        for views in by_size.values():
            for first in range(0, len(views), VIEWS_AT_ONCE // 2):
                some = np.stack(
                    [v for view in views[first : first + VIEWS_AT_ONCE // 2] for v in (view, view[:, ::-1])]
                )
                batch = torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255
                night.nets[0](batch.contiguous(memory_format=torch.channels_last))


def embedding(views: dict[Path, str]) -> Callable[[], Any]:
    """The network on all pictures that become vectors: of a crop that is neither a left nor a right side, both ways."""
    net, side_px = loaded(EmbedParams().weights, WeightStore(), "cpu")
    pictures = [picture_of(decoded(crop)[0], way, side_px) for crop, view in views.items() for way in ways(view)]
    every = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255

    def work() -> None:
        with torch.inference_mode():
            for some in every.split(CROPS_AT_ONCE):
                net(some.contiguous(memory_format=torch.channels_last))

    return work


def text(best: dict[str, float], n: int, n_bytes: int) -> str:
    """Plain text."""
    rows = [("stage", "ms", "floor ms", "ratio", "per", "floor is")]
    for stage in STAGES:
        parts = {key.split(": ")[1]: 1e3 * s for key, s in best.items() if key.startswith(f"{stage}: ")}
        per = {"ingest": n, "segment": n, "match": best["pairs"]}.get(stage, best["crops"])
        floor = sum(parts.values()) / per
        of_stage = 1e3 * best[stage] / per
        what = {"match": "pair", "ingest": "photo", "segment": "photo"}.get(stage, "crop")
        how = " + ".join(f"{name} {ms / per:.1f}" for name, ms in parts.items())
        rows.append((stage, f"{of_stage:.1f}", f"{floor:.1f}", f"{of_stage / floor:.2f}", what, how))
    per_photo = sum(best[stage] for stage in STAGES[:4]) / n
    return "\n".join([
        f"{n} photos of {SIZE_WH[0]} x {SIZE_WH[1]} px, {n_bytes / n / 1e6:.1f} MB each; {best['crops']:.0f} crops, {best['pairs']:.0f} pairs; load {os.getloadavg()[0]:.1f}",
        *lined_up(rows),
        f"{1 / per_photo:.2f} photos per second and core from ingest to embed ({per_photo:.2f} CPU s each)",
        *(f"{key}: {1e3 * best[key] / n:.1f} ms a photo" for key in best if key.startswith("OpenCV: ")),
    ])  # fmt: skip


def lined_up(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


if __name__ == "__main__":
    main()
