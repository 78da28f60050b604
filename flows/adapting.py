"""Matcher and embedding trained on a workspace's own gallery by one command; `resight rebuild` then decides about them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from resight.embed.params import BUNDLED as EMBEDDING
from resight.errors import NothingToMeasure, SettingsError
from resight.evaluate.animals import Part, deal, read_animals, write_parts
from resight.flows.rebuild import run_rebuild
from resight.flows.steps import own_settings
from resight.match.kinds.lightglue import BUNDLED as MATCHER
from resight.match.kinds.lightglue import LightGlueParams
from resight.run.run import Run, open_run
from resight.run.state import Ingested
from resight.settings import Settings
from resight.store.fingerprint import fingerprint
from resight.store.workspace import Workspace, open_workspace
from resight.tasks.ingest import ingest_photos
from resight.tasks.segment import segment_photos
from resight.train.embedding.params import EmbeddingRecipe
from resight.train.embedding.samples import rows_of_animals
from resight.train.embedding.train import train_embedding
from resight.train.loop import training_device
from resight.train.matcher.material import SourceCrop, cut, digest_of
from resight.train.matcher.recipe import STATE_FILE, recipe_for, train_matcher
from resight.weights.store import WeightStore

log = logging.getLogger("resight")
FEWEST_ANIMALS, FEWEST_MEASURING = 2, 2


@dataclass(frozen=True)
class Effort:
    """How long to train.

    Attributes:
        steps, embedding_steps: Of the two trainings; None takes the recipe's.
        minutes: Both together end by then; 0: no limit.
        batch, keypoints, seed: Of the matcher, as in `run_train_matcher`.
    """

    steps: int | None = None
    embedding_steps: int | None = None
    minutes: float = 0.0
    batch: int = 8
    keypoints: int = 160
    seed: int = 1


def run_train_gallery(
    workspace: str | Path = ".",
    overrides: Mapping[str, Any] | None = None,
    *,
    effort: Effort | None = None,
    split: Path | None = None,
    leave_out: Sequence[str] = (),
    rebuild: bool = True,
    quiet: bool = False,
) -> dict[str, Any]:
    """Go on training the matcher and the embedding on the photos of a workspace, then let a rebuild compare and decide.

    About one animal in four stays out, by a hash of its name (`evaluate.animals`), at least two where there are four, and those alone ask in the comparison. What evidence of
    votes and matches weighs together (``score.name = "fused"``) is learned by the rebuild itself, from the labels.

    Args:
        workspace: Whose photos, names and decisions teach.
        overrides: Settings.
        effort: How long.
        split: File that names the animals to train on, instead of the hash.
        leave_out: Animals of which no photo is used.
        rebuild: Compare, and accept if not worse; otherwise only train.
        quiet: No progress on standard error.

    Returns:
        ``matcher`` and ``embedding``, paths of weights; ``animals``, the file of who trained; ``settings`` to use them; ``rebuild``,
        the summary of `run_rebuild`, or None.

    Raises:
        NothingToMeasure: Fewer than two animals have names.
        SettingsError: The settings extract no SIFT, which is what the bundled matcher reads.
    """
    place, effort = open_workspace(workspace), effort or Effort()
    settings, model = own_settings(place, overrides)
    _check(settings)
    with open_run(place, settings, model, flow="train", quiet=quiet) as run:
        work = _Work(place, settings, run, ingest_photos(run), effort, quiet)
        listed = work.dealt(split, leave_out)
        pictures, rows = work.material(read_animals(listed, Part.TRAINING))
        made = {"matcher": work.matcher(pictures), "embedding": work.embedding(rows)}
    chosen = {"match.kind": "lightglue", "match.weights": made["matcher"], "embed.weights": made["embedding"]}
    if settings.embed.enabled is False:
        chosen["embed.enabled"] = "auto"
    result = run_rebuild(place.root, None, {**(overrides or {}), **chosen}, quiet=quiet) if rebuild else None
    return made | {"animals": str(listed), "settings": chosen, "rebuild": result}


def _check(settings: Settings) -> None:
    if settings.extract.kind != "sift":
        raise SettingsError(
            f"`resight train gallery` goes on training LightGlue for SIFT, and extract.kind is {settings.extract.kind}; "
            "set extract.kind to sift."
        )


@dataclass(frozen=True)
class _Work:
    place: Workspace
    settings: Settings
    run: Run
    ingested: Ingested
    effort: Effort
    quiet: bool

    @property
    def weights(self) -> WeightStore:
        return self.run.env.weights

    def dealt(self, split: Path | None, leave_out: Sequence[str]) -> Path:
        """The list of who trains, which lies beside the weights."""
        names = sorted({name for name in self.ingested.photos["individual_id"].to_pylist() if name})
        if len(names) < FEWEST_ANIMALS:
            raise NothingToMeasure(
                f"{len(names)} animals have names in {self.place.root}, and {FEWEST_ANIMALS} are needed to learn from; confirm identifications first."
            )
        parts = deal(names, leave_out, fewest=min(FEWEST_MEASURING, len(names) // 2))
        if split is not None:
            training = read_animals(split, Part.TRAINING)
            parts = {n: p if p == Part.UNTOUCHED or (n in training) == (p == Part.TRAINING) else _other(p) for n, p in parts.items()}  # fmt: skip
        file = self.place.models / "weights" / f"animals-{fingerprint(parts)[:8]}.csv"
        write_parts(file, parts)
        return file

    def material(self, animals: frozenset[str]) -> tuple[list[SourceCrop], list[dict[str, Any]]]:
        """What the matcher and what the embedding learns from."""
        photos, annotations = self.ingested.photos, self.ingested.annotations
        pictures = cut(self.run.env, self.settings, photos, annotations, str(self.place.root), only=animals)
        segmented = segment_photos(self.run, self.ingested)
        return pictures, rows_of_animals(segmented.photos, segmented.crops, animals)

    def matcher(self, pictures: Sequence[SourceCrop]) -> str:
        """Path of the weights from the workspace on; those of the same photos and the same effort are there already."""
        now, effort = self.settings.match, self.effort
        origin = now.weights if isinstance(now, LightGlueParams) and now.weights else MATCHER
        recipe = recipe_for(origin, steps=effort.steps or 0, batch=effort.batch, keypoints=effort.keypoints, seed=effort.seed)  # fmt: skip
        about = (digest_of(pictures), self.weights.find(origin).sha256, asdict(recipe), effort.minutes)
        folder = self.place.models / "weights" / f"gallery-{fingerprint(*about)[:12]}"
        file = folder / "lightglue-sift-v1.safetensors"
        if not file.exists():
            log.info("matcher: learns from %d crops, from %s on", len(pictures), origin)
            file = train_matcher(
                pictures, folder, recipe, self.weights, origin, training_device(self.settings.device),
                resume=(folder / STATE_FILE).exists(), limit_s=30 * effort.minutes, quiet=self.quiet,
                notes={"trained_by": date.today().isoformat()},
            )  # fmt: skip
        return file.relative_to(self.place.root).as_posix()

    def embedding(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Path of the weights from the workspace on."""
        changed: dict[str, Any] = {"init": self.settings.embed.weights or EMBEDDING, "seed": self.effort.seed}
        if self.effort.embedding_steps:
            changed["steps"] = self.effort.embedding_steps
        trained = train_embedding(
            self.place, rows, EmbeddingRecipe(**changed), self.weights, training_device(self.settings.device),
            limit_s=30 * self.effort.minutes, quiet=self.quiet,
        )  # fmt: skip
        return Path(trained.path).relative_to(self.place.root).as_posix()


def _other(part: Part) -> Part:
    return Part.VALIDATION if part == Part.TRAINING else Part.TRAINING
