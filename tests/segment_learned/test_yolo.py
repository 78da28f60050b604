"""Layouts of YOLO outputs, on arrays and, where onnxruntime is there, on small models that the test makes."""

import numpy as np
import pytest

from resight.errors import WeightsError
from resight.segment.base import Photo
from resight.segment.boxes import Boxes, suppress
from resight.segment.kinds.yolo_onnx import YoloOnnxParams, letterbox, read_boxes, regions_of

SIDE = (64, 96)  # width, height: not square
CELLS = 8 * 12 + 4 * 6 + 2 * 3
PHOTO = (313, 471)


def rows(n, columns):
    return np.zeros((n, columns), np.float32)


def v8(n_classes=2, m=0):
    """Two boxes about (30, 40), one a little aside, and one of class 1 elsewhere; centre, size, classes, coefficients."""
    out = rows(CELLS, 4 + n_classes + m)
    out[3, :6] = [30, 40, 20, 10, 0.9, 0.1]
    out[4, :6] = [31, 40, 20, 10, 0.8, 0.1]
    out[9, :6] = [50, 80, 10, 10, 0.1, 0.7]
    if m:
        out[3, -m:] = 1
    return out.T


def v5():
    out = rows(3 * CELLS, 7)
    out[3] = [30, 40, 20, 10, 0.5, 0.8, 0.1]
    return out


def end_to_end():
    out = rows(300, 6)
    out[0] = [20, 35, 40, 45, 0.6, 1]
    return out


@pytest.mark.parametrize(
    ("raw", "best", "score", "kind"),
    [(v8(), 3, 0.9, 0), (v5(), 3, 0.4, 0), (end_to_end(), 0, 0.6, 1)],
    ids=["v8 and v11", "v5", "v10"],
)
def test_the_shape_tells_the_layout(raw, best, score, kind):
    boxes = read_boxes(raw, SIDE, 0)
    assert boxes.scores[best] == pytest.approx(score) and boxes.classes[best] == kind
    assert boxes.xyxy_px[best] == pytest.approx([20, 35, 40, 45])
    assert boxes.coefficients.shape[1] == 0


def test_padding_of_an_end_to_end_model_is_no_detection():
    assert len(read_boxes(end_to_end(), SIDE, 0).scores) == 1


def test_another_shape_is_refused_with_both_sizes():
    with pytest.raises(WeightsError, match=r"17 x 5.*64 x 96"):
        read_boxes(rows(17, 5), SIDE, 0)


def test_suppression_keeps_the_better_box_of_a_class():
    xyxy = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10], [30, 30, 40, 40]], np.float32)
    boxes = Boxes(xyxy, np.array([0.5, 0.9, 0.3, 0.4]), np.array([0, 0, 1, 0]), np.zeros((4, 0)))
    assert suppress(boxes, 0.5).tolist() == [1, 3, 2]


def test_the_letterbox_leads_back_to_the_photo():
    picture, box = letterbox(np.zeros((471, 313, 3), np.uint8), SIDE)
    assert picture.shape == (96, 64, 3) and picture[0, 0, 0] == 0 and box.shift_xy_px == (0, 0)
    wide, box = letterbox(np.zeros((100, 400, 3), np.uint8), SIDE)
    assert wide[0, 0, 0] == 114 and wide[48, 0, 0] == 0
    assert box.to_photo(np.array([[0, 40], [64, 56]])) == pytest.approx(np.array([[0, 0], [400, 100]]))


def test_classes_and_confidence_choose_the_regions():
    _, box = letterbox(np.zeros((PHOTO[1], PHOTO[0], 3), np.uint8), SIDE)
    params = YoloOnnxParams(class_ids=(1,), part="body")
    (found,) = regions_of([v8()[None]], box, params)
    assert found.part == "body" and found.confidence == pytest.approx(0.7)
    assert regions_of([v8()[None]], box, YoloOnnxParams(min_confidence=0.95)) == []
    both = regions_of([v8()[None]], box, YoloOnnxParams())
    assert [round(r.confidence, 2) for r in both] == [0.9, 0.7]  # the weaker twin is gone
    x, _, w, h = both[0].bbox_xywh_px
    scale = 64 / 313
    assert (x * scale, w * scale, h * scale) == pytest.approx((20, 20, 10), abs=0.1)


def test_prototypes_give_the_outline_inside_the_box():
    _, box = letterbox(np.zeros((96, 64, 3), np.uint8), SIDE)
    prototypes = np.full((2, 24, 16), -1.0, np.float32)
    prototypes[:, :, 7:] = 1.0  # right of x = 28
    (found, *_) = regions_of([v8(m=2)[None], prototypes[None]], box, YoloOnnxParams())
    xs = [x for x, _ in found.polygons_xy_px[0]]
    assert 26 <= min(xs) <= 29 and 39 <= max(xs) <= 40


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_model_file_is_run(tmp_path, dynamic):
    onnx = pytest.importorskip("onnx", reason="needs onnx to make a model; pip install onnx onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime; pip install 'resight[onnx]'")
    from onnx import TensorProto, helper, numpy_helper

    from resight.weights.store import WeightStore

    sides = ["h", "w"] if dynamic else [96, 64]
    answer = v8()
    side = 64
    if dynamic:
        cells = 64 + 16 + 4
        answer = v8()[:, :cells]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes, "yolo",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *sides])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, *answer.shape])],
        [
            numpy_helper.from_array(answer[None].astype(np.float32), "answer"),
            numpy_helper.from_array(np.zeros((), np.float32), "zero"),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    params = YoloOnnxParams(weights=str(tmp_path / "model.onnx"), side_px=side)
    found = params.build(WeightStore()).find(Photo("p", np.zeros((PHOTO[1], PHOTO[0], 3), np.uint8)))
    # The square input of the model that takes any size ends above the second box.
    assert [round(r.confidence, 2) for r in found] == ([0.9] if dynamic else [0.9, 0.7])
    assert all(r.segmenter == "yolo-onnx" for r in found)


def test_a_damaged_file_and_a_missing_one_are_told_apart(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs onnxruntime; pip install 'resight[onnx]'")
    from resight.weights.store import WeightStore

    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"broken.onnx is no ONNX model"):
        YoloOnnxParams(weights=str(tmp_path / "broken.onnx")).build(WeightStore())
    with pytest.raises(WeightsError, match="missing"):
        YoloOnnxParams(weights=str(tmp_path / "absent.pt")).build(WeightStore())
