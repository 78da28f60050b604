"""The whole training: photos, views, pairs, network, weights; and a record of what they were made of."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resight.errors import NothingToMeasure, SettingsError
from resight.store.fingerprint import fingerprint
from resight.train.loop import Training, train
from resight.train.matcher.bank import Bank, fill, read_bank
from resight.train.matcher.curves import write_curves
from resight.train.matcher.draw import Mix, Sampler, plain_views
from resight.train.matcher.learner import MatcherLearner, Plan
from resight.train.matcher.links import N_IMPOSTORS, N_PAIRS, Found, Match, find_links, nearest, read_links, write_links
from resight.train.matcher.loss import found_matches
from resight.train.matcher.material import SourceCrop, crop_counts, digest_of
from resight.train.matcher.network import Shape, Sides, TrainedLightGlue, start
from resight.train.matcher.views import extractor, photo_views, rendered_views
from resight.train.matcher.weights import from_store, to_bytes
from resight.train.record import machine, write_with_record
from resight.weights.store import WeightStore
from resight.weights.trained_on import trained_on

log = logging.getLogger("resight")
SCRATCH = "nothing"
STATE_FILE, APART_SHARE = "state.safetensors", 0.1
LINK_CONFIDENCE = 0.1


@dataclass(frozen=True)
class Recipe:
    """How a matcher is trained.

    Attributes:
        seed: Of everything random.
        shape: Of a network from scratch.
        head_views, whole_views: Views of each head crop and of each whole photo.
        rendered_animals, rendered_views: Animals that do not exist, and pictures of each.
        max_keypoints: Kept per view.
        n_pairs, n_impostors: Most pairs of photos of one named animal and of two that are compared to find links and look-alikes.
        mix: Shares of the kinds of pairs.
        plan: Of the loop.
    """

    seed: int = 1
    shape: Shape = field(default_factory=Shape)
    head_views: int = 10
    whole_views: int = 3
    rendered_animals: int = 36
    rendered_views: int = 8
    max_keypoints: int = 384
    n_pairs: int = N_PAIRS
    n_impostors: int = N_IMPOSTORS
    mix: Mix = field(default_factory=Mix)
    plan: Plan = field(default_factory=Plan)


def recipe_for(origin: str, *, steps: int, batch: int, seed: int, keypoints: int) -> Recipe:
    """The whole training from scratch; to go on from trained weights, fewer steps and smaller ones.

    Args:
        origin: Weights to go on from, or `SCRATCH`.
        steps: 0 takes 6000 from scratch and 1000 otherwise.
        batch: Pairs per step.
        seed: Of everything random.
        keypoints: Most keypoints per view in a step; some steps take fewer.
    """
    anew = origin == SCRATCH
    lengths = (3 * keypoints // 5, 4 * keypoints // 5, keypoints)
    plan = Plan(steps or (6000 if anew else 1000), batch, lengths, learning_rate=7e-4 if anew else 2e-4)
    plan = replace(plan, look_every=max(1, min(plan.look_every, plan.steps)))
    return Recipe(seed=seed, max_keypoints=max(384, keypoints), plan=plan)


def train_matcher(
    pictures: Sequence[SourceCrop],
    folder: Path,
    recipe: Recipe,
    weights: WeightStore,
    origin: str,
    device: str = "cpu",
    *,
    resume: bool = False,
    limit_s: float = 0.0,
    notes: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Path:
    """Train, write ``lightglue-sift-….safetensors`` with its recipe as JSON into ``folder``, and return its path.

    Args:
        pictures: What to learn from.
        folder: Views, state and curves are kept here; the weights go here too.
        recipe: How.
        weights: Where ``origin`` is looked for.
        origin: Weights to go on from, or `SCRATCH`.
        device: Where it runs.
        resume: Go on from the state that lies in ``folder``.
        limit_s: The schedule is squeezed so that the training ends by then; 0: no limit.
        notes: More for the recipe file.
        quiet: No progress on standard error.

    Raises:
        NothingToMeasure: There are too few photos for a single pair.
        SettingsError: ``folder`` has a state without ``resume``, or none with it.
    """
    _check_state(folder, resume)
    net = start(recipe.shape, recipe.seed) if origin == SCRATCH else from_store(weights, origin)
    bank = views_of(pictures, folder / "views", recipe)
    found = _links(bank, net, origin, recipe, device, folder / "links.json")
    seen, apart = samplers(bank, found, recipe)
    learner = MatcherLearner(net, seen, apart, recipe.plan, recipe.seed, device)

    def draw_curves(training: Training) -> None:
        if training.curve and training.curve[-1]["step"] == training.step:
            write_curves(folder, training.curve)

    training = train(learner, folder / STATE_FILE, limit_s=limit_s, quiet=quiet, after_step=draw_curves)
    record = _record(pictures, bank, found, seen, training, recipe, origin) | (notes or {})
    return write_weights(folder, training, record, _learned_from(record, weights, origin))


def _learned_from(record: dict[str, Any], weights: WeightStore, origin: str) -> frozenset[str]:
    before = frozenset() if origin == SCRATCH else trained_on(weights.find(origin).path)
    return before.union(record["photos"]["individuals"])


def _check_state(folder: Path, resume: bool) -> None:
    if resume != (folder / STATE_FILE).exists():
        raise SettingsError(
            f"There is {'no training' if resume else 'a training already'} in {folder}; "
            f"{'leave --resume out, or correct --out' if resume else 'give --resume to go on with it, or another --out'}."
        )


def views_of(pictures: Sequence[SourceCrop], folder: Path, recipe: Recipe) -> Bank:
    """Extract what is not extracted yet; views are kept under a name made from the crops and the settings."""
    sift = extractor(recipe.max_keypoints)
    heads, photos = [p for p in pictures if p.head], [p for p in pictures if not p.head]
    name = f"{digest_of(pictures)[:12]}-{_views_name(recipe)}"
    groups = [
        ("heads", len(heads) * recipe.head_views, photo_views(heads, recipe.head_views, sift, recipe.seed)),
        ("rendered", recipe.rendered_animals * recipe.rendered_views,
         rendered_views(recipe.rendered_animals, recipe.rendered_views, sift, recipe.seed)),
        ("whole", len(photos) * recipe.whole_views, photo_views(photos, recipe.whole_views, sift, recipe.seed)),
    ]  # fmt: skip
    fill(folder / name, groups, recipe.max_keypoints)
    return read_bank(folder / name)


def _views_name(recipe: Recipe) -> str:
    """Stands for the settings that decide the views, whatever their class is called."""
    values = asdict(recipe)
    return fingerprint(
        {
            name: value
            for name, value in values.items()
            if name not in ("plan", "mix", "shape", "n_pairs", "n_impostors")
        }
    )


def samplers(bank: Bank, found: Found | None, recipe: Recipe) -> tuple[Sampler, Sampler | None]:
    """Pairs to train on, and pairs to validate on, for which a tenth of the pictures and rendered animals is kept apart.

    Raises:
        NothingToMeasure: Not a single pair can be drawn.
    """
    spaces = bank.tags["space"]
    apart = np.array([zlib.crc32(f"{recipe.seed} {s}".encode()) % 1000 < 1000 * APART_SHARE for s in spaces])
    looks = replace(recipe.mix, linked=0.0)
    seen = Sampler(bank, found, recipe.mix, np.flatnonzero(~apart))
    kept = Sampler(bank, None, looks, np.flatnonzero(apart))
    if not _drawable(seen):
        raise NothingToMeasure("There are too few photos to learn from: none has two views; give more with --photos.")
    return seen, kept if _drawable(kept) else None


def _drawable(sampler: Sampler) -> bool:
    try:
        return bool(sampler.shares)
    except ValueError:
        return False


def _links(bank: Bank, net: TrainedLightGlue, origin: str, recipe: Recipe, device: str, file: Path) -> Found | None:
    if recipe.mix.linked <= 0 and recipe.mix.other_head <= 0:
        return None
    if file.exists():
        return read_links(file)
    match = nearest(bank, recipe.max_keypoints) if origin == SCRATCH else by_network(bank, net, device)
    found = find_links(bank, plain_views(bank), match, recipe.seed, recipe.n_pairs, recipe.n_impostors)
    write_links(file, found)
    return found


def by_network(bank: Bank, net: TrainedLightGlue, device: str) -> Match:
    """Matches of the last layer with a confidence above `LINK_CONFIDENCE`."""
    matcher = net.to(device).eval()

    @torch.no_grad()
    def match(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        partner, confidence = found_matches(matcher(*(_side(bank, v, device) for v in (a, b)))[-1])
        sure = ((partner[0] >= 0) & (confidence[0] > LINK_CONFIDENCE)).cpu().numpy()
        index = np.flatnonzero(sure)
        return index, partner[0].cpu().numpy()[index]

    return match


def _side(bank: Bank, view: int, device: str) -> Sides:
    n = int(bank.counts[view])
    descriptors = torch.from_numpy(bank.descriptors[view, :n].astype(np.float32))[None]
    places = torch.from_numpy(bank.positions[view, :n])[None]
    return Sides(descriptors.to(device), places.to(device), torch.ones(1, n, dtype=torch.bool, device=device))


def _record(
    pictures: Sequence[SourceCrop],
    bank: Bank,
    found: Found | None,
    seen: Sampler,
    training: Training,
    recipe: Recipe,
    origin: str,
) -> dict[str, Any]:
    kinds, counts = np.unique(bank.tags["kind"], return_counts=True)
    names, chances = seen.shares
    return {
        "licence": "Apache-2.0",
        "trained_on": date.today().isoformat(),
        "from": origin,
        "data_sha256": digest_of(pictures),
        "photos": crop_counts(pictures),
        "views": dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        "links": len(found.links) if found else 0,
        "look_alikes": len(found.look_alikes) if found else 0,
        "shares": {name: round(float(chance), 3) for name, chance in zip(names, chances, strict=True)},
        "recipe": asdict(recipe) | {"shape": training.learner.recipe["shape"]},
        "products": training.learner.product_type,
        "steps_done": training.step,
        "seconds": round(training.seconds),
        **machine(training.learner.device),
        "last_look": training.curve[-1] if training.curve else {},
    }


def write_weights(folder: Path, training: Training, record: dict[str, Any], individuals: Collection[str]) -> Path:
    """The mean weights under the next free version, with the animals that they have learned from, and the record beside them."""
    version = 1
    while (folder / f"lightglue-sift-v{version}.safetensors").exists():
        version += 1
    target = folder / f"lightglue-sift-v{version}.safetensors"
    write_with_record(target, to_bytes(training.result.state_dict(), individuals), record)
    log.info("%s: %d steps, %.0f s on %s", target, training.step, training.seconds, training.learner.device)
    return target
