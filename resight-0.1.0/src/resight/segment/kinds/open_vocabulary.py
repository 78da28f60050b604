"""Open-vocabulary detectors through ``transformers``: OWLv2 (Minderer et al., NeurIPS 2023) and Grounding DINO (Liu et al., ECCV 2024).

They look for what a text names. The photo is prepared here, so that neither torchvision nor a processor's settings are needed; the
folder holds what ``save_pretrained`` writes: ``config.json``, ``model.safetensors``, ``tokenizer.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.errors import SettingsError, WeightsError
from resight.segment.base import Photo, Region, Segmenter
from resight.segment.boxes import Boxes, box_region, corners_of
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    import torch

NAME = "open-vocabulary"
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY = 127  # beyond the photo, as OWLv2 was trained
SHORT_SIDE_PX, LONG_SIDE_PX = 800, 1333  # what Grounding DINO was trained with
FILES = ("model.safetensors", "config.json", "tokenizer.json")
MODEL_TYPES = ("owlv2", "grounding-dino")


class OpenVocabularyParams(SegmenterBase):
    """OWLv2 or Grounding DINO through transformers: boxes of what a text names; needs the extra ``open-vocabulary``."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["open-vocabulary"] = "open-vocabulary"
    weights: str = Field("", description="folder with model.safetensors, config.json and tokenizer.json")
    prompts: tuple[str, ...] = Field(("the head of a sea turtle",), min_length=1, description="what to look for")
    part: Literal["head", "body"] = Field("head", description="what the prompts name")
    min_confidence: float = Field(0.2, ge=0, le=1, description="what has a lower score than this is not used")

    def weight_names(self) -> list[str]:
        return [str(Path(self.weights) / name) for name in FILES]

    def build(self, weights: WeightStore) -> Segmenter:
        return OpenVocabularySegmenter(self, weights.find(self.weight_names()[0]).path.parent)


@dataclass(frozen=True)
class ModelInput:
    """A photo as a model wants it.

    Attributes:
        values: (1, 3, H, W) float32.
        extent_wh_px: Size in photo pixels of what ``values`` show, padding included; boxes are parts of it.
    """

    values: torch.Tensor
    extent_wh_px: tuple[float, float]


class OpenVocabularySegmenter:
    """Boxes of what the prompts name; confidence is the model's score for the best of them."""

    nothing_found = CropStatus.NO_HEAD

    def __init__(self, params: OpenVocabularyParams, folder: Path) -> None:
        self.params = params
        self.kind, self.net, tokenizer = load(folder)
        text: Any = [prompt.lower() for prompt in params.prompts]
        if self.kind == "grounding-dino":
            text = " ".join(f"{prompt.rstrip('.')}." for prompt in text)
        longest = {"padding": "max_length", "max_length": 16} if self.kind == "owlv2" else {}
        self.words = tokenizer(text, return_tensors="pt", truncation=True, **longest)

    def find(self, photo: Photo) -> list[Region]:
        size_wh_px = (photo.rgb.shape[1], photo.rgb.shape[0])
        boxes = self.detect(photo.rgb)
        boxes = boxes.best(boxes.scores >= self.params.min_confidence)
        regions = [box_region(self.params.part, corners, size_wh_px) for corners in boxes.xyxy_px]
        return [
            replace(region, confidence=float(score), segmenter=NAME)
            for region, score in zip(regions, boxes.scores, strict=True)
            if region is not None
        ]

    def detect(self, rgb: np.ndarray) -> Boxes:
        """All boxes of a photo (H, W, 3) uint8, in its pixels, with their scores."""
        import torch

        side_px = int(self.net.config.vision_config.image_size) if self.kind == "owlv2" else 0
        image = squared(rgb, side_px) if self.kind == "owlv2" else shortened(rgb)
        words = {name: self.words[name] for name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            output = self.net(pixel_values=image.values, **words)
        return boxes_of(output.logits[0].numpy(), output.pred_boxes[0].numpy(), image.extent_wh_px)


def load(folder: Path) -> tuple[str, Any, Any]:
    """Kind, network and tokenizer from a folder; nothing is fetched, nothing unpickled.

    Raises:
        SettingsError: ``transformers`` is not installed.
        WeightsError: A file is missing or the model is of another kind.
    """
    try:
        from transformers import AutoModelForZeroShotObjectDetection, PreTrainedTokenizerFast
    except ImportError:
        raise SettingsError(
            "The segmenter open-vocabulary needs transformers, which is not installed; run pip install 'resight[open-vocabulary]'."
        ) from None
    kind = kind_of(folder)
    net, report = AutoModelForZeroShotObjectDetection.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if report["missing_keys"] or report["mismatched_keys"]:
        raise WeightsError(f"{folder / FILES[0]} lacks tensors of the model that {FILES[1]} describes; save it again.")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    return kind, net.eval().requires_grad_(False), tokenizer


def kind_of(folder: Path) -> str:
    """``owlv2`` or ``grounding-dino``, from the folder's ``config.json``.

    Raises:
        WeightsError: A file is missing or the model is of another kind.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder} has no {' and no '.join(missing)}; save the model and its tokenizer there with save_pretrained."
        )
    kind = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    if kind not in MODEL_TYPES:
        raise WeightsError(f"{folder} holds a model of the kind {kind}; {' and '.join(MODEL_TYPES)} are known.")
    return kind


def squared(rgb: np.ndarray, side_px: int) -> ModelInput:
    """The photo (H, W, 3) uint8 in the upper left corner of a grey square, as OWLv2 wants it."""
    from resight.segment.masks import resized

    longest = max(rgb.shape[:2])
    small = resized(rgb, side_px / longest)
    image = np.full((side_px, side_px, 3), GREY, np.uint8)
    image[: small.shape[0], : small.shape[1]] = small
    return ModelInput(_normalised(image, *CLIP), (float(longest), float(longest)))


def shortened(rgb: np.ndarray) -> ModelInput:
    """The photo (H, W, 3) uint8 with the sides that Grounding DINO was trained with."""
    from resight.segment.masks import resized

    height, width = rgb.shape[:2]
    scale = min(SHORT_SIDE_PX / min(height, width), LONG_SIDE_PX / max(height, width))
    return ModelInput(_normalised(resized(rgb, scale), *IMAGENET), (float(width), float(height)))


def boxes_of(logits: np.ndarray, centred: np.ndarray, extent_wh_px: tuple[float, float]) -> Boxes:
    """Detections in photo pixels.

    Args:
        logits: (N, prompts or words); minus infinity for padding.
        centred: (N, 4) centre and size, as parts of the extent.
        extent_wh_px: What the boxes are parts of.
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.max(1), -60, 60)))
    corners = corners_of(centred) * np.tile(extent_wh_px, 2)
    # Several prompts are several names of the same thing: one class.
    return Boxes(corners.astype(np.float32), scores, np.zeros(len(scores), int), np.zeros((len(scores), 0), np.float32))


def _normalised(rgb: np.ndarray, mean: Sequence[float], spread: Sequence[float]) -> torch.Tensor:
    import torch

    values = (rgb.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(spread, np.float32)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)[None]))
