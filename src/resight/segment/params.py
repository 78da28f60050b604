"""Settings of the segmenters and of the cropper. One class per kind; torch and OpenCV are imported in ``build``.

``reads`` names what a segmenter looks at besides the pixels: when that changes, the photo is segmented again. A class
that does not say is taken to look at both ``annotations`` and ``viewpoint``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from resight.plugins.params import Params, expert_field

if TYPE_CHECKING:
    from resight.segment.base import Segmenter
    from resight.weights.store import WeightStore

BUNDLED = Path(__file__).parent / "learned" / "headfinder.safetensors"


class AnnotationsParams(Params):
    """Polygons or boxes that came with the photos (COCO); a photo without any has the status ``no_annotation``."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["annotations"] = "annotations"
    part: Literal["head", "body"] = Field("head", description="which outline to cut out; the other one is ignored")

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.annotations import AnnotationSegmenter

        return AnnotationSegmenter(self)


class GrabCutParams(Params):
    """OpenCV GrabCut for the whole animal: needs no weights, finds what differs from the frame's border."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["grabcut"] = "grabcut"

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.grabcut import GrabCutSegmenter

        return GrabCutSegmenter(self)


class WholeParams(Params):
    """The whole photo as one crop."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["whole"] = "whole"

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.whole import WholeSegmenter

        return WholeSegmenter(self)


class HeadFinderParams(Params):
    """The bundled network: heads with outline, view and the turn that brings them upright, by two looks."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["head-finder"] = "head-finder"
    part: Literal["head", "body"] = Field("head", description="what to cut out; of a body, the box around it")
    weights: str = Field("", description="path of other weights for the same network; empty: those of the package")
    min_confidence: float = Field(0.15, ge=0, le=1, description="what is less likely a head than this is not used")
    if_no_head: Literal["nothing", "body", "whole"] = Field(
        "nothing",
        description="what to use of a photo without a head; nothing: the photo gets the status no_head",
    )
    min_confidence_further: float = expert_field(
        0.7, ge=0, le=1, description="like min_confidence for second and further heads, which are more often flippers"
    )
    min_view_confidence: float = expert_field(0.6, ge=0, le=1, description="a less certain viewpoint counts as unknown")
    max_heads: int = expert_field(4, ge=1, le=32, description="most heads in one photo")

    def weight_names(self) -> list[str]:
        return [self.weights or str(BUNDLED)]

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.learned.finder import HeadFinder
        from resight.segment.learned.weights import network

        return HeadFinder(self, network(weights, self.weight_names()[0]))


class YoloOnnxParams(Params):
    """A detector or segmenter of the YOLO family (v5 to v11) as ONNX file; needs the extra ``onnx``."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["yolo-onnx"] = "yolo-onnx"
    weights: str = Field("", description="path of the .onnx file")
    part: Literal["head", "body"] = Field("head", description="what the wanted classes are")
    class_ids: tuple[int, ...] = Field((), description="numbers of the wanted classes; empty: all")
    min_confidence: float = Field(0.25, ge=0, le=1, description="what has a lower score than this is not used")
    side_px: int = expert_field(
        640, ge=32, le=4096, multiple_of=32, description="input side of models that take any size"
    )

    def weight_names(self) -> list[str]:
        return [self.weights]

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.yolo import YoloOnnxSegmenter

        return YoloOnnxSegmenter(self, weights.find(self.weights).path)


class OpenVocabularyParams(Params):
    """OWLv2 or Grounding DINO through transformers: boxes of what a text names; needs the extra ``open-vocabulary``."""

    reads: ClassVar[tuple[str, ...]] = ()

    kind: Literal["open-vocabulary"] = "open-vocabulary"
    weights: str = Field("", description="folder with model.safetensors, config.json and tokenizer.json")
    prompts: tuple[str, ...] = Field(("the head of a sea turtle",), min_length=1, description="what to look for")
    part: Literal["head", "body"] = Field("head", description="what the prompts name")
    min_confidence: float = Field(0.2, ge=0, le=1, description="what has a lower score than this is not used")

    def weight_names(self) -> list[str]:
        return [str(Path(self.weights) / name) for name in ("model.safetensors", "config.json", "tokenizer.json")]

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.openvocab import OpenVocabularySegmenter

        return OpenVocabularySegmenter(self, weights.find(self.weight_names()[0]).path.parent)


class SamParams(Params):
    """Segment Anything or MobileSAM through kornia: finer outlines for boxes that something else found."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["sam"] = "sam"
    variant: Literal["mobile_sam", "vit_b", "vit_l", "vit_h"] = Field(
        "mobile_sam", description="which of the published networks"
    )
    weights: str = Field("", description="path of its .pt, .pth or .safetensors file")
    boxes: Literal["head-finder", "annotations"] = Field("head-finder", description="where the boxes come from")

    def weight_names(self) -> list[str]:
        return [self.weights, *([str(BUNDLED)] if self.boxes == "head-finder" else [])]

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.sam import SamSegmenter, load_sam

        boxes: Params = HeadFinderParams.model_validate({})
        if self.boxes == "annotations":
            boxes = AnnotationsParams.model_validate({})
        return SamSegmenter(load_sam(self, weights), boxes.build(weights))  # type: ignore[attr-defined]


class AutoParams(Params):
    """Outlines where photos have them, and for the others what ``otherwise`` says; table `crops` says which."""

    reads: ClassVar[tuple[str, ...]] = ("annotations",)

    kind: Literal["auto"] = "auto"
    part: Literal["head", "body"] = Field("head", description="which outline to cut out where a photo has outlines")
    otherwise: Literal["head-finder", "whole", "grabcut", "skip"] = Field(
        "head-finder", description="how photos without an outline are cut; skip: they get the status no_annotation"
    )
    min_confidence: float = Field(
        0.15, ge=0, le=1, description="what the head finder finds less likely a head than this is not used"
    )
    if_no_head: Literal["nothing", "body", "whole"] = Field(
        "nothing",
        description="what to use of a photo in which the head finder sees no head; nothing: it gets the status no_head",
    )

    def weight_names(self) -> list[str]:
        return self.head_finder().weight_names() if self.otherwise == "head-finder" else []

    def head_finder(self) -> HeadFinderParams:
        """Settings of the network for photos without an outline."""
        return HeadFinderParams.model_validate(
            {"part": self.part, "min_confidence": self.min_confidence, "if_no_head": self.if_no_head}
        )

    def build(self, weights: WeightStore) -> Segmenter:
        from resight.segment.auto import AutoSegmenter

        return AutoSegmenter(self, weights)


class CropParams(Params):
    """How a region becomes a crop: turned upright, padded, resized, masked."""

    label: ClassVar[str] = "crop"

    pad_fraction: float = expert_field(
        0.10, ge=0, le=1, description="margin around the head or body, as a share of its longer side"
    )
    head_side_px: int = expert_field(640, ge=64, le=4096, description="long side of the crop of a head or body")
    whole_side_px: int = expert_field(1024, ge=64, le=4096, description="long side of the crop of a whole photo")
    max_enlarge: float = expert_field(2.0, ge=1, le=8, description="small heads are enlarged at most by this factor")
    mask_grow_fraction: float = expert_field(
        0.03,
        ge=0,
        le=0.5,
        description="how far the outline is moved outwards, as a share of the crop's long side",
    )
    min_region_px: int = expert_field(
        16, ge=4, description="heads and bodies with a shorter long side are too small to tell an animal"
    )
