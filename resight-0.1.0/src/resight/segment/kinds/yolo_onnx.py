"""Detectors and segmenters of the YOLO family, exported to ONNX.

Three layouts are recognised by their shape. With ``n`` cells in the strides 8, 16 and 32 of the input, the output is
``(1, 3 n, 5 + classes + m)`` (v5: centre, size, objectness, classes, m mask coefficients), ``(1, 4 + classes + m, n)`` (v8, v9, v11:
without objectness, transposed), or ``(1, k, 6 + m)`` (v10 and exports with suppression inside: corners, score, class). Segmenters
have a second output ``(1, m, h, w)`` of prototypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from resight.errors import SettingsError, WeightsError
from resight.plugins.params import expert_field
from resight.segment.base import Photo, Region, Segmenter
from resight.segment.boxes import Boxes, box_region, corners_of
from resight.segment.geometry import Polygon
from resight.segment.params import SegmenterBase
from resight.status import CropStatus
from resight.weights.store import WeightStore

if TYPE_CHECKING:
    from pathlib import Path

STRIDES = (8, 16, 32)
GREY = 114  # what these models were trained to see beyond the picture


class YoloOnnxParams(SegmenterBase):
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
        return YoloOnnxSegmenter(self, weights.find(self.weights).path)


@dataclass(frozen=True)
class Letterbox:
    """A photo, shrunk or enlarged by ``scale`` and moved by ``shift_xy_px`` into the network's input of ``size_wh_px``."""

    scale: float
    shift_xy_px: tuple[int, int]
    size_wh_px: tuple[int, int]
    photo_wh_px: tuple[int, int]

    def to_photo(self, xy_px: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the input in outline coordinates of the photo."""
        in_photo: np.ndarray = (xy_px - np.array(self.shift_xy_px)) / self.scale
        return in_photo


class YoloOnnxSegmenter:
    """Regions from a YOLO model; confidence is the model's score."""

    nothing_found = CropStatus.NO_HEAD

    def __init__(self, params: YoloOnnxParams, path: Path) -> None:
        try:
            import onnxruntime
            from onnxruntime.capi import onnxruntime_pybind11_state as errors
        except ImportError:
            raise SettingsError(
                "The segmenter yolo-onnx needs onnxruntime, which is not installed; run pip install 'resight[onnx]'."
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except (errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph, errors.NoSuchFile) as error:
            raise WeightsError(f"{path} is no ONNX model that can be read ({error}); export it again.") from None
        self.params = params
        self.input = self.session.get_inputs()[0]
        self.size_wh_px = _input_size(self.input.shape, params.side_px)

    def find(self, photo: Photo) -> list[Region]:
        image, box = letterbox(photo.rgb, self.size_wh_px)
        kind = np.float16 if "float16" in self.input.type else np.float32
        values = np.ascontiguousarray(image.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
        outputs = self.session.run(None, {self.input.name: values.astype(kind)})
        return regions_of(outputs, box, self.params)


def letterbox(rgb: np.ndarray, size_wh_px: tuple[int, int]) -> tuple[np.ndarray, Letterbox]:
    """Fit (H, W, 3) uint8 into ``size_wh_px``, centred on grey."""
    from resight.segment.masks import resized

    height, width = rgb.shape[:2]
    scale = min(size_wh_px[0] / width, size_wh_px[1] / height)
    small = resized(rgb, scale)
    h, w = small.shape[:2]
    left, top = (size_wh_px[0] - w) // 2, (size_wh_px[1] - h) // 2
    image = np.full((size_wh_px[1], size_wh_px[0], 3), GREY, np.uint8)
    image[top : top + h, left : left + w] = small
    return image, Letterbox(scale, (left, top), size_wh_px, (width, height))


def regions_of(outputs: Sequence[np.ndarray], box: Letterbox, params: YoloOnnxParams) -> list[Region]:
    """From the model's outputs to regions of the photo, best first."""
    prototypes = next((np.asarray(o[0], np.float32) for o in outputs if o.ndim == 4), None)
    raw = next((np.asarray(o, np.float32) for o in outputs if o.ndim == 3), None)
    if raw is None:
        raise WeightsError(
            f"The model's outputs {[list(o.shape) for o in outputs]} are none of a YOLO detector or segmenter."
        )
    boxes = read_boxes(raw[0], box.size_wh_px, 0 if prototypes is None else len(prototypes))
    wanted = boxes.scores >= params.min_confidence
    if params.class_ids:
        wanted &= np.isin(boxes.classes, params.class_ids)
    boxes = boxes.best(wanted)
    regions: list[Region] = []
    for k, corners in enumerate(boxes.xyxy_px):
        region = box_region(params.part, box.to_photo(corners.reshape(2, 2)), box.photo_wh_px)
        if region is not None:
            outline = () if prototypes is None else _outline(corners, boxes.coefficients[k], prototypes, box)
            confidence = float(np.clip(boxes.scores[k], 0, 1))
            regions.append(replace(region, polygons_xy_px=outline, confidence=confidence, segmenter="yolo-onnx"))
    return regions


def read_boxes(raw: np.ndarray, size_wh_px: tuple[int, int], n_coefficients: int) -> Boxes:
    """Tell the layout of a 2-d output by its shape and read it.

    Raises:
        WeightsError: The shape is none of those that the module names.
    """
    cells = sum((size_wh_px[0] // s) * (size_wh_px[1] // s) for s in STRIDES)
    rows, columns = raw.shape
    m = n_coefficients
    if columns == cells and rows > 4 + m:
        return _scored(raw.T, 4, m, None)
    if rows == 3 * cells and columns > 5 + m:
        return _scored(raw, 5, m, raw[:, 4])
    if columns == 6 + m:
        kept = raw[raw[:, 4] > 0]  # the rest is padding
        return Boxes(kept[:, :4], kept[:, 4], kept[:, 5].astype(int), kept[:, 6:])
    raise WeightsError(
        f"An output of shape {rows} x {columns} for an input of {size_wh_px[0]} x {size_wh_px[1]} px is none of the YOLO layouts that "
        "are known; export the model for detection or segmentation, without rotated boxes or keypoints."
    )


def _scored(rows: np.ndarray, first_class: int, m: int, objectness: np.ndarray | None) -> Boxes:
    chances = rows[:, first_class : rows.shape[1] - m]
    scores = chances.max(1) * (1.0 if objectness is None else objectness)
    return Boxes(corners_of(rows[:, :4]), scores, chances.argmax(1), rows[:, rows.shape[1] - m :] if m else rows[:, :0])


def _outline(
    corners: np.ndarray, coefficients: np.ndarray, prototypes: np.ndarray, box: Letterbox
) -> tuple[Polygon, ...]:
    """The outline in the photo of what a mask in the network's input shows: the linear mix of prototypes above 0, in the box."""
    import cv2

    from resight.segment.masks import polygons_of

    mixed = np.tensordot(coefficients, prototypes, 1)
    mask = cv2.resize(mixed, box.size_wh_px, interpolation=cv2.INTER_LINEAR) > 0
    inside = np.zeros(mask.shape, bool)
    left, top, right, bottom = np.round(corners).astype(int)
    inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    outlines = (box.to_photo(np.array(polygon)) for polygon in polygons_of(mask & inside)[:1])
    return tuple(tuple((float(x), float(y)) for x, y in outline) for outline in outlines)


def _input_size(shape: Sequence[Any], side_px: int) -> tuple[int, int]:
    """(width, height) that the model wants; ``side_px`` where it takes any."""
    height, width = (value if isinstance(value, int) and value > 0 else side_px for value in shape[2:4])
    return width, height
