"""Segment Anything through kornia, on a small network that the test makes, and on one that knows the answer."""

import numpy as np
import pytest
import torch
from kornia.models.sam import Sam
from kornia.models.sam.architecture.mask_decoder import MaskDecoder
from kornia.models.sam.architecture.prompt_encoder import PromptEncoder
from kornia.models.sam.architecture.transformer import TwoWayTransformer
from kornia.models.structures import SegmentationResults

from resight.ingest.annotation import Annotation
from resight.segment.base import Photo
from resight.segment.kinds.annotations import AnnotationSegmenter, AnnotationsParams
from resight.segment.kinds.sam import SamSegmenter, mask_in_box

SIDE = 64
BOX = (120.0, 300.0, 60.0, 40.0)


class Encoder(torch.nn.Module):
    """A stand-in for the image encoder: the smallest thing with its input size and its output's shape."""

    img_size = SIDE

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 32, 16, 16)

    def forward(self, picture):
        return self.patches(picture)


def small_sam():
    torch.manual_seed(1)
    prompts = PromptEncoder(32, (SIDE // 16, SIDE // 16), (SIDE, SIDE), 4)
    transformer = TwoWayTransformer(depth=1, embedding_dim=32, mlp_dim=32, num_heads=2)
    decoder = MaskDecoder(
        num_multimask_outputs=3, transformer=transformer, transformer_dim=32, iou_head_depth=2, iou_head_hidden_dim=16
    )
    return Sam(Encoder(), prompts, decoder).eval()


class Oracle(torch.nn.Module):
    """Answers with the red pixels inside the box."""

    image_encoder = Encoder()

    def __init__(self, quality=0.5, blind=False):
        super().__init__()
        self.quality, self.blind = quality, blind

    def forward(self, pictures, prompts, multimask_output):
        left, top, right, bottom = prompts[0]["boxes"][0].round().int().tolist()
        logits = torch.full((1, 1, SIDE, SIDE), -1.0)
        red = (pictures[0, 0] > 0) & (not self.blind)
        logits[0, 0, top:bottom, left:right] = red[top:bottom, left:right].float() * 2 - 1
        return [SegmentationResults(logits, torch.full((1, 1), self.quality), 0.0)]


def photo():
    rgb = np.zeros((471, 313, 3), np.uint8)
    rgb[305:335, 130:170, 0] = 255
    return Photo("p", rgb, annotations=(Annotation("head", BOX),))


def outlines():
    return AnnotationSegmenter(AnnotationsParams())


def test_a_real_network_answers_in_the_size_of_its_part_of_the_photo():
    mask, (left, top), quality = mask_in_box(small_sam(), photo().rgb, BOX)
    assert mask.dtype == bool and 0 <= quality <= 1
    assert (left, top) == (60, 230) and mask.shape == (180, 180)


def test_the_mask_lands_where_the_head_is():
    (found,) = SamSegmenter(Oracle(), outlines()).find(photo())
    assert found.bbox_xywh_px == pytest.approx((130, 305, 40, 30), abs=3)
    assert found.segmenter == "sam on annotations" and found.confidence == pytest.approx(0.5)
    assert len(found.polygons_xy_px) == 1


def test_where_the_network_sees_nothing_the_box_stays():
    (found,) = SamSegmenter(Oracle(blind=True), outlines()).find(photo())
    assert found.bbox_xywh_px == BOX and found.segmenter == "annotations"


def test_no_box_is_no_region():
    segmenter = SamSegmenter(Oracle(), outlines())
    assert segmenter.find(Photo("p", photo().rgb)) == []
    assert segmenter.nothing_found == outlines().nothing_found
