"""Detectors that look for a text: what goes in and comes out on arrays, and tiny random models from a folder."""

import json
import math

import numpy as np
import pytest
import torch

from resight.errors import WeightsError
from resight.segment.base import Photo
from resight.segment.boxes import MAX_REGIONS
from resight.segment.kinds.open_vocabulary import (
    CLIP,
    GREY,
    OpenVocabularyParams,
    OpenVocabularySegmenter,
    boxes_of,
    kind_of,
    shortened,
    squared,
)
from resight.weights.store import WeightStore

WIDTH, HEIGHT = 313, 471


def test_owlv2_sees_the_photo_in_the_corner_of_a_grey_square():
    rgb = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    picture = squared(rgb, 96)
    assert picture.values.shape == (1, 3, 96, 96) and picture.extent_wh_px == (HEIGHT, HEIGHT)
    red = picture.values[0, 0] * CLIP[1][0] + CLIP[0][0]
    assert red[:, :64].min() == pytest.approx(1, abs=1e-4)
    assert red[:, 64:].max() == pytest.approx(GREY / 255, abs=1e-4)


@pytest.mark.parametrize(("size", "expected"), [((471, 313), (800, 1204)), ((2000, 500), (333, 1333))])
def test_grounding_dino_sees_the_sides_it_was_trained_with(size, expected):
    picture = shortened(np.zeros((*size, 3), np.uint8))
    assert sorted(picture.values.shape[2:]) == pytest.approx(sorted(expected), abs=1)
    assert picture.extent_wh_px == size[::-1]


def test_boxes_are_parts_of_the_extent_and_the_best_word_counts():
    logits = np.array([[0.0, -np.inf], [-2.0, 3.0]])
    boxes = boxes_of(logits, np.array([[0.5, 0.25, 0.2, 0.1], [0.1, 0.1, 0.2, 0.2]]), (200.0, 400.0))
    assert boxes.scores == pytest.approx([0.5, 1 / (1 + math.exp(-3))])
    assert boxes.xyxy_px[0] == pytest.approx([80, 80, 120, 120])


def segmenter(monkeypatch, logits, centred, **settings):
    """One that is built from nothing and answers as it is told, for an extent of the photo's size."""
    made = object.__new__(OpenVocabularySegmenter)
    made.params = OpenVocabularyParams.model_validate({"weights": "x"} | settings)
    answer = boxes_of(np.array(logits, float)[:, None], np.array(centred, float), (WIDTH, HEIGHT))
    monkeypatch.setattr(made, "ask", lambda rgb: answer)
    return made


def test_weak_boxes_and_doubles_are_dropped_and_boxes_end_at_the_frame(monkeypatch):
    centred = [[0.9, 0.5, 0.4, 0.2], [0.91, 0.5, 0.4, 0.2], [0.2, 0.2, 0.1, 0.1], [0.2, 0.8, 0.1, 0.1]]
    photo = Photo("p", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    found = segmenter(monkeypatch, [2, 3, 1, -5], centred).find(photo)
    assert [round(r.confidence, 2) for r in found] == [0.95, 0.73]
    x, _, width, _ = found[0].bbox_xywh_px
    assert x + width == pytest.approx(WIDTH) and width < 0.4 * WIDTH
    assert all(r.part == "head" and r.segmenter == "open-vocabulary" for r in found)
    assert segmenter(monkeypatch, [2, 3, 1, -5], centred, min_confidence=0.99).find(photo) == []
    monkeypatch.setattr("resight.segment.boxes.MAX_REGIONS", 1)
    assert len(segmenter(monkeypatch, [2, 3, 1, -5], centred).find(photo)) == 1


def test_an_incomplete_folder_and_another_kind_are_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"model\.safetensors and no config\.json"):
        kind_of(tmp_path)
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(WeightsError, match="kind bert"):
        kind_of(tmp_path)


def tokenizer(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "the", "head", "of", "a", "sea", "turtle", "?"]
    plain = Tokenizer(models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    plain.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)


def tiny_owlv2():
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    text = {
        "vocab_size": 12,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 64, "patch_size": 16}
    net = Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=16))
    with torch.no_grad():  # boxes then are the patches themselves: random ones have no area
        for tensor in net.box_head.parameters():
            tensor.zero_()
    return net


def tiny_grounding_dino():
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    swin = SwinConfig(
        image_size=32, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 1, 1], window_size=2,
        out_features=["stage2", "stage3"], out_indices=[2, 3],
    )  # fmt: skip
    bert = BertConfig(vocab_size=12, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, num_queries=7, encoder_layers=1, decoder_layers=2, d_model=32,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2, num_feature_levels=3,
        encoder_n_points=2, decoder_n_points=2, max_text_len=32,
    )  # fmt: skip
    return GroundingDinoForObjectDetection(config)


@pytest.mark.parametrize("make", [tiny_owlv2, tiny_grounding_dino])
def test_a_model_comes_out_of_its_folder_and_answers_inside_the_photo(make, tmp_path):
    pytest.importorskip("transformers", reason="the extra open-vocabulary is not installed")
    torch.manual_seed(3)
    make().save_pretrained(tmp_path)
    tokenizer(tmp_path)
    params = OpenVocabularyParams.model_validate({"weights": str(tmp_path), "min_confidence": 0.0})
    assert [WeightStore().find(name).path.parent for name in params.weight_names()] == [tmp_path] * 3
    rgb = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    found = params.build(WeightStore()).find(Photo("p", rgb))
    assert found and len(found) <= MAX_REGIONS
    for one in found:
        x, y, width, height = one.bbox_xywh_px
        assert x >= 0 and y >= 0 and x + width <= WIDTH + 0.01 and y + height <= HEIGHT + 0.01
    assert params.build(WeightStore()).find(Photo("p", rgb)) == found


def test_weights_of_another_size_are_refused(tmp_path):
    pytest.importorskip("transformers", reason="the extra open-vocabulary is not installed")
    from safetensors.torch import load_file, save_file

    tiny_owlv2().save_pretrained(tmp_path)
    tokenizer(tmp_path)
    kept = load_file(tmp_path / "model.safetensors")
    kept.pop(next(name for name in sorted(kept) if "class_head" in name))
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match="lacks tensors"):
        OpenVocabularyParams(weights=str(tmp_path)).build(WeightStore())
