"""Speed of matching, side by side in one process: this engine, kornia as it comes, and the loops that others run.

    python benchmarks/bench_engine.py --quick
    python benchmarks/bench_engine.py --json engine.json
    python benchmarks/bench_engine.py --device cuda

On CPU the figure is processor time of one thread, best of several, contestants taking turns, so that other work on the
machine hurts all alike. Real keypoints and the real three-layer weights are taken from ``RESIGHT_SHARED`` (default
``../shared``); without them, and for nine layers always, weights are random: speed does not depend on their values.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines import Photo, data_loader, kornia_batch, notebook, one_by_one
from table import Row, render, write_json

from resight.match.engine.batch import Encoded
from resight.match.engine.engine import LightGlueEngine

SHARED = Path(os.environ.get("RESIGHT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
SIZE_WH = (1024, 768)
N_PHOTOS = 9
BINS = 100
EQUAL, RAGGED = "equal counts", "ragged counts"
NO_PRESET: Any = None  # nothing is downloaded


@dataclass
class Contestant:
    """Something to time: ``call`` does ``pairs`` pairs and gives their score sums, or None where sums mean something else."""

    name: str
    call: Callable[[], list[float] | None]
    pairs: int
    flops: float | None = None
    note: str = ""
    dtype: torch.dtype = torch.float32
    times: list[float] = field(default_factory=list)
    sums: list[float] | None = None


@dataclass(frozen=True)
class Model:
    """kornia's LightGlue and what it is called."""

    label: str
    network: Any  # kornia's attributes are opaque to type checkers
    layers: int


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    keypoints = args.keypoints or ((512, 1024) if args.quick else (512, 1024, 2048))
    photos = _photos(max(keypoints), args.device)
    peaks = {dtype: _peak(args.device, dtype) for dtype in _dtypes(args.device)}
    machine: dict[str, object] = {
        "processor": _processor(args.device),
        "torch": torch.__version__,
        "peak_gflops": {str(dtype).removeprefix("torch."): round(peak / 1e9, 1) for dtype, peak in peaks.items()},
        "device": args.device,
    }
    print(", ".join(f"{k}: {v}" for k, v in machine.items()), flush=True)
    groups = [
        (model, n)
        for model in _models(args)
        for n in (keypoints[:1] if args.quick and model.layers == 9 else keypoints)
    ]
    rows: list[Row] = []
    for model, n in groups:
        contestants = _contestants(model.network, _cut(photos, n), n, args, adaptive=model.layers == 9)
        _race(contestants, args.device, budget_s=6 if args.quick else 40)
        rows += _rows(f"{model.label}, {n} keypoints", contestants, peaks)
        print(render(rows[-len(contestants) :]), flush=True)
        print("\n".join(_headlines(rows[-len(contestants) :])), flush=True)
    if args.json:
        write_json(args.json, rows, machine)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="less than two minutes on one core")
    parser.add_argument("--keypoints", type=int, nargs="+", help="counts to run (default: 512 1024 2048)")
    parser.add_argument("--layers", type=int, nargs="+", choices=(3, 9), default=(3, 9), help="models to run")
    parser.add_argument("--json", type=Path, help="write the table here too")
    return parser.parse_args()


def _models(args: argparse.Namespace) -> list[Model]:
    makers = {3: _three_layers, 9: _nine_layers}
    models = [makers[layers]() for layers in args.layers]
    for model in models:
        model.network.to(args.device)
    return models


def _cut(photos: list[Photo], n: int) -> list[Photo]:
    return [{k: v if k == "image_size" else v[:n] for k, v in p.items()} for p in photos]


def _contestants(model: Any, photos: list[Photo], n: int, args: argparse.Namespace, adaptive: bool) -> list[Contestant]:
    """Reference first. Long calls are left out on CPU, where batches gain nothing anyway."""
    dims = _dims(model)
    query, gallery = photos[0], photos[1:]
    theirs, reference = _flops(*dims, n, engine=False), kornia_batch
    one_s = _seconds(lambda: reference(model, [query], [gallery[0]]), args.device)
    limit = 2.0 if args.quick else 12.0
    contestants = [Contestant("kornia, B=1", lambda: reference(model, [query], [gallery[0]]).tolist(), 1, theirs)]
    if 32 * one_s < limit or args.device == "cuda":
        side = [gallery[i % len(gallery)] for i in range(32)]
        contestants.append(
            Contestant(
                "kornia, B=32", lambda: reference(model, [query] * 32, side).tolist(), 32, theirs, "equal counts only"
            )
        )
    few = gallery[: max(1, min(len(gallery), int(limit / 2 / one_s)))]
    contestants.append(
        Contestant(
            "Wildbook's loop",
            lambda: one_by_one(model, query, few, args.device),
            len(few),
            theirs,
            "one pair at a time",
        )
    )
    contestants.append(
        Contestant(
            "the notebook's loop",
            lambda: notebook(model, query, few, args.device),
            len(few),
            theirs,
            "one pair at a time, autograd on",
        )
    )
    for forced in (256, 512) if n == 512 else ():
        call = _loader(model, query, gallery, args.device, forced)
        contestants.append(
            Contestant(
                f"wildlife-tools' loop, {forced}",
                call,
                len(gallery),
                _flops(*dims, forced, engine=False),
                f"forced to {forced} keypoints",
            )
        )
    for dtype in _dtypes(args.device):
        contestants += _ours(model, photos, n, dtype, one_s, limit, args.device)
        contestants += _ragged(model, photos, n, dtype, one_s, limit, args.device)
    return contestants + (_adaptive(model, photos, args.device) if adaptive else [])


def _ours(
    model: Any, photos: list[Photo], n: int, dtype: torch.dtype, one_s: float, limit: float, device: str
) -> list[Contestant]:
    engine = LightGlueEngine.from_state_dict(model.state_dict(), device=device, dtype=dtype)
    encoded = [_encode(engine, p) for p in photos]
    query, gallery = encoded[0], encoded[1:]
    name = "this engine" if dtype == torch.float32 else f"this engine, {engine.precision}"
    cost = _flops(*_dims(model), n, engine=True, shared=engine.network.kernel == "blocked")

    def batch(size: int) -> list[float]:
        side = [gallery[i % len(gallery)] for i in range(size)]
        return [float(s) for s in engine.match([query] * size, side).confidence.double().sum(-1)]

    def tile(queries: int, targets: int) -> list[float]:
        first, second = ([_encode(engine, p) for p in part] for part in (photos[:queries], photos[1 : 1 + targets]))
        repeat = 1 if device == "cpu" else 8
        pairs = np.array([(i, j) for i in range(queries) for j in range(targets)] * repeat)
        return engine.match_tile(first, second, pairs, BINS).confidence_sum.tolist()[: queries * targets]

    shape = (4, 8) if 20 * one_s < limit or device == "cuda" else (2, 4) if 5 * one_s < limit else (1, 2)
    contestants = [Contestant(f"{name}, B=1", lambda: batch(1), 1, cost, "photos encoded before", dtype)]
    if 6 * one_s < limit or device == "cuda":
        size = 8 if device == "cpu" else 32
        contestants.append(
            Contestant(f"{name}, B={size}", lambda: batch(size), size, cost, "photos encoded before", dtype)
        )
    pairs = shape[0] * shape[1] * (1 if device == "cpu" else 8)
    contestants.append(
        Contestant(
            f"{name}, tile",
            lambda: tile(*shape),
            pairs,
            None,
            f"{shape[0]} x {shape[1]} photos, with encoding and reduction",
        )
    )
    contestants.append(
        Contestant(f"{name}, encode", lambda: _nothing(_encode(engine, photos[0])), 1, None, "per photo, once")
    )
    return contestants


def _ragged(
    model: Any, photos: list[Photo], n: int, dtype: torch.dtype, one_s: float, limit: float, device: str
) -> list[Contestant]:
    """Equal counts beside counts from half of ``n`` up: what padding and uneven shapes cost shows in the share of the peak."""
    engine = LightGlueEngine.from_state_dict(model.state_dict(), device=device, dtype=dtype)
    layers, d = _dims(model)
    counts = np.random.default_rng(0).integers(n // 2, n + 1, len(photos)).tolist()
    contestants = []
    for name, wanted in ((EQUAL, [n] * len(photos)), (RAGGED, counts)):
        encoded = [_encode(engine, _cut([p], m)[0]) for p, m in zip(photos, wanted, strict=True)]
        few = len(photos) if 30 * one_s < limit or device == "cuda" else 4
        pairs = np.array(
            [(i, j) for i in range(few) for j in range(few) if i != j and (device == "cuda" or (i + j) % 3 == 0)]
        )
        pairs = pairs.repeat(16, 0) if device == "cuda" else pairs
        shared = engine.network.kernel == "blocked"
        flops = sum(_flops_of_pair(layers, d, wanted[i], wanted[j], engine=True, shared=shared) for i, j in pairs)

        def tile(encoded: list[Encoded] = encoded, pairs: np.ndarray = pairs) -> None:
            engine.match_tile(encoded, encoded, pairs, BINS)

        kind = "" if dtype == torch.float32 else f", {engine.precision}"
        note = (
            "tile, encoded before"
            if name == EQUAL
            else f"tile, encoded before, {min(wanted)} to {max(wanted)} keypoints"
        )
        contestants.append(Contestant(f"this engine{kind}, {name}", tile, len(pairs), flops / len(pairs), note, dtype))
    return contestants


def _headlines(rows: list[Row]) -> list[str]:
    """What is asked of the engine, as ratios: to the one-pair loop, to the peak, of ragged to equal counts."""
    loop = next(row for row in rows if row.contestant == "Wildbook's loop")
    lines = []
    for equal in (row for row in rows if row.contestant.endswith(EQUAL)):
        ragged = next(row for row in rows if row.contestant == equal.contestant.replace(EQUAL, RAGGED))
        assert equal.peak_fraction and ragged.peak_fraction
        lines.append(
            f"{equal.contestant}: {loop.ms_per_pair / equal.ms_per_pair:.2f} x Wildbook's loop, {100 * equal.peak_fraction:.0f} % of its "
            f"precision's peak; ragged counts cost {100 * (equal.peak_fraction / ragged.peak_fraction - 1):+.0f} % for the same arithmetic"
        )
    return lines


def _adaptive(model: Any, photos: list[Photo], device: str) -> list[Contestant]:
    """Early exit, with token confidences set by hand so that a pair stops after five of nine layers."""
    with torch.no_grad():
        for i, token in enumerate(model.token_confidence):
            token.token[0].bias.fill_(-9.0 if i < 4 else 9.0)
    engine = LightGlueEngine.from_state_dict(model.state_dict(), device=device)
    a, b = (_encode(engine, p) for p in photos[:2])

    def kornias() -> None:
        model.conf.depth_confidence, model.conf.width_confidence = 0.95, 0.99
        kornia_batch(model, photos[:1], photos[1:2])
        model.conf.depth_confidence = model.conf.width_confidence = -1

    note = _exit_note(engine, [_encode(engine, p) for p in photos])
    return [
        Contestant("kornia, early exit and pruning", kornias, 1, None, note),
        Contestant(
            "this engine, early exit and pruning",
            lambda: _nothing(engine.match_adaptive(a, b, 0.95, 0.99)),
            1,
            None,
            note,
        ),
        Contestant(
            "this engine, halving of 8",
            lambda: _nothing(engine.match_halving(a, [b] * 8, [(3, 1 / 3), (6, 1 / 3)])),
            8,
            None,
            "a third goes on after layers 3 and 6",
        ),
    ]


def _exit_note(engine: LightGlueEngine, encoded: list[Encoded]) -> str:
    """Share of pairs that stop early and what it does to the ranking of the gallery photos, against full matching."""
    query, gallery = encoded[0], encoded[1:]
    early = [engine.match_adaptive(query, photo, 0.95, 0.99) for photo in gallery]
    full = [float(engine.match_pair(query, photo).confidence.sum()) for photo in gallery]
    ours = [float(match.confidence.sum()) for match in early]
    moved = int((np.argsort(np.argsort(ours)) != np.argsort(np.argsort(full))).sum())
    stopped = [match.stop for match in early if match.stop < engine.arch.n_layers]
    return (
        f"set by hand: {len(stopped)} of {len(early)} pairs stop early, after {np.mean(stopped):.0f} of {engine.arch.n_layers} layers; "
        f"{moved} of {len(early)} photos change rank, random weights"
    )


def _race(contestants: list[Contestant], device: str, budget_s: float) -> None:
    """Contestants take turns until the budget is spent; each runs at least twice after a first call that does not count."""
    for contestant in contestants:
        contestant.sums = contestant.call()
    end = time.monotonic() + budget_s
    rounds = 0
    while rounds < 2 or (time.monotonic() < end and rounds < 25):
        for contestant in contestants:
            contestant.times.append(_seconds(contestant.call, device))
        rounds += 1


def _rows(group: str, contestants: list[Contestant], peaks: dict[torch.dtype, float]) -> list[Row]:
    base = min(contestants[0].times) / contestants[0].pairs
    want = contestants[0].sums
    rows = []
    for contestant in contestants:
        each = min(contestant.times) / contestant.pairs
        exact = contestant.sums and want and "wildlife" not in contestant.name
        difference = (
            abs(contestant.sums[0] - want[0]) / max(want[0], 1e-9) if exact and contestant.sums and want else None
        )
        rows.append(
            Row(
                group,
                contestant.name,
                each * 1e3,
                None if contestant.name.endswith(("encode", RAGGED)) else base / each,
                contestant.flops / each / peaks[contestant.dtype] if contestant.flops else None,
                difference,
                len(contestant.times),
                contestant.note,
            )
        )
    return rows


def _seconds(call: Callable[[], object], device: str) -> float:
    """Processor time on CPU; on a GPU wall time, with everything finished."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device == "cuda":
        torch.cuda.synchronize()
    start = clock()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def _dtypes(device: str) -> tuple[torch.dtype, ...]:
    return (torch.float32,) if device == "cpu" else (torch.float32, torch.float16, torch.bfloat16)


def _peak(device: str, dtype: torch.dtype) -> float:
    """Float operations per second of the best large product in ``dtype``: plain, and packed as the engine's linear layers are."""
    from resight.match.engine.linear import Linear

    n = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    layer = Linear(b, b[0], dtype, torch.device(device))
    best = min(_seconds(call, device) for call in (lambda: a @ b, lambda: layer(a)) * 4)
    return 2 * n**3 / best


def _flops(layers: int, d: int, n: int, engine: bool, shared: bool = True) -> float:
    return _flops_of_pair(layers, d, n, n, engine, shared)


def _flops_of_pair(layers: int, d: int, n: int, m: int, engine: bool, shared: bool = True) -> float:
    """Float operations of a pair with n and m keypoints.

    Per layer and keypoint 19 d^2 multiply-adds in linear layers (17 here), per layer 4 (n^2 + m^2) d operations of self-
    and 6 n m d of cross-attention (8 where the similarity is computed twice); the engine has done layer 1's self part per
    photo before.
    """
    ends = 2 * (n + m) * d * d + 2 * n * m * d
    if not engine:
        return layers * (19 * d * d * 2 * (n + m) + 4 * (n * n + m * m) * d + 6 * n * m * d) + ends
    linear = (17 * layers - 11) * d * d * 2 * (n + m)
    return linear + 4 * (layers - 1) * (n * n + m * m) * d + (6 if shared else 8) * layers * n * m * d + ends


def _dims(model: Any) -> tuple[int, int]:
    return model.conf.n_layers, model.conf.descriptor_dim


def _encode(engine: LightGlueEngine, photo: Photo) -> Encoded:
    return engine.encode(photo["keypoints"], photo["descriptors"], tuple(photo["image_size"].tolist()))


def _loader(model: Any, query: Photo, gallery: list[Photo], device: str, forced: int) -> Callable[[], list[float]]:
    return lambda: data_loader(model, query, gallery, device, forced, batch_size=len(gallery))


def _nothing(_: object) -> None:
    return None


def _three_layers() -> Model:
    from kornia.feature import LightGlue
    from safetensors.torch import load_file

    torch.manual_seed(0)
    model: Any = LightGlue(
        NO_PRESET, input_dim=64, descriptor_dim=96, n_layers=3, num_heads=1, depth_confidence=-1, width_confidence=-1
    ).eval()
    file = SHARED / "weights" / "xfeat_lighterglue_3layer.safetensors"
    if file.exists():
        model.load_state_dict(load_file(file))
    return Model(f"3 layers x 96, {'real' if file.exists() else 'random'} weights", model, 3)


def _nine_layers() -> Model:
    """Random, with assignments sharp enough that sums can be compared and heads that count as trained."""
    from kornia.feature import LightGlue

    torch.manual_seed(0)
    model: Any = LightGlue(NO_PRESET, input_dim=64, depth_confidence=-1, width_confidence=-1).eval()
    with torch.no_grad():
        for head in model.log_assignment:
            head.final_proj.weight.normal_(std=3 * 256**-0.5)
    return Model("9 layers x 256, random weights", model, 9)


def _photos(n: int, device: str) -> list[Photo]:
    """XFeat keypoints of real photos, or random ones."""
    files = sorted((SHARED / "data" / "bonaire").glob("*/*.jpg"))[:N_PHOTOS]
    weights = SHARED / "weights" / "xfeat.safetensors"
    if len(files) < N_PHOTOS or not weights.exists():
        g = torch.Generator().manual_seed(0)
        made = [
            (torch.rand(n, 2, generator=g) * torch.tensor(SIZE_WH), torch.randn(n, 64, generator=g))
            for _ in range(N_PHOTOS)
        ]
        return [_photo(xy, torch.nn.functional.normalize(d, dim=-1), SIZE_WH, device) for xy, d in made]
    return [_extract(file, weights, n, device) for file in files]


def _extract(file: Path, weights: Path, n: int, device: str) -> Photo:
    import cv2
    from kornia.feature import XFeat
    from safetensors.torch import load_file

    xfeat = XFeat()
    xfeat.net.load_state_dict(load_file(weights), strict=False)
    image = cv2.imread(str(file))
    if image is None:
        raise SystemExit(f"{file} is not a readable picture")
    scale = 1024 / max(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:, :, ::-1]
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        features = xfeat.eval().detectAndCompute(tensor, top_k=n)[0]
    return _photo(features["keypoints"], features["descriptors"], image.shape[1::-1], device)


def _photo(xy: torch.Tensor, descriptors: torch.Tensor, size_wh: tuple[int, ...], device: str) -> Photo:
    tensors = {"keypoints": xy, "descriptors": descriptors, "image_size": torch.tensor(size_wh, dtype=torch.float32)}
    return {k: v.clone().to(device) for k, v in tensors.items()}


def _processor(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return f"{names[0] if names else platform.processor()}, 1 thread"


if __name__ == "__main__":
    main()
