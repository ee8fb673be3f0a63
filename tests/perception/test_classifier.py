import gc
import weakref

import huggingface_hub.constants
import pytest
import timm
import torch
from PIL import Image
from timm.models import save_for_hf

from mti.perception.classifier import TimmClassifier, label_names
from mti.types import UserError

ARGS = {"channels": (8, 8, 8, 8), "stem_width": 8, "stem_type": ""}


def save(folder, classes, **config):
    torch.manual_seed(0)
    overlay = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0}
    model = timm.create_model("resnet10t", num_classes=classes, pretrained_cfg_overlay=overlay, **ARGS)
    save_for_hf(model.half(), folder, config, model_args=ARGS, safe_serialization=True)
    return str(folder)


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "classifier", 3, label_names=["cup, mug", "bird", "teapot, kettle"])


@pytest.mark.parametrize("size", [(32, 32), (200, 90), (5, 7)])
def test_a_folder_classifies_any_picture(folder, size):
    guesses = TimmClassifier(folder)(Image.new("RGB", size, "orange"))
    assert {guess.text for guess in guesses} == {"cup", "bird", "teapot"}
    scores = [guess.score for guess in guesses]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_scores_are_the_models_softmax(folder):
    picture = Image.new("RGB", (32, 32), (255, 0, 127))
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    pixels = torch.tensor([255, 0, 127]).view(1, 3, 1, 1).expand(1, 3, 32, 32) / 127.5 - 1
    with torch.no_grad():
        expected = model(pixels).softmax(-1).max().item()
    assert TimmClassifier(folder, top=1)(picture)[0].score == pytest.approx(expected, abs=1e-5)


def test_loading_says_nothing(folder, caplog):
    with caplog.at_level("INFO"):
        TimmClassifier(folder)(Image.new("RGB", (32, 32)))
    assert caplog.messages == []


def test_only_the_top_is_given(folder):
    assert len(TimmClassifier(folder, top=2)(Image.new("RGB", (32, 32)))) == 2


def test_weights_load_on_the_first_picture_and_once(folder, monkeypatch):
    calls = []
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: calls.append(args) or create(*args, **kwargs))
    classify = TimmClassifier(folder)
    assert calls == []
    first = classify(Image.new("RGB", (32, 32)))
    assert classify(Image.new("RGB", (32, 32))) == first
    assert len(calls) == 1


def test_a_released_model_is_gone_and_comes_again(folder):
    classify = TimmClassifier(folder)
    classify.release()
    first = classify(Image.new("RGB", (32, 32)))
    model = weakref.ref(classify.loaded.model)
    classify.release()
    gc.collect()
    assert model() is None
    assert classify(Image.new("RGB", (32, 32))) == first


@pytest.mark.parametrize(
    ("name", "index", "label"),
    [
        ("vit_base_patch16_224.augreg2_in21k_ft_in1k", 849, "teapot"),
        ("mobilenetv3_large_100.ra_in1k", 504, "coffee mug"),
    ],
)
def test_imagenet_labels_ship_with_timm(name, index, label):
    assert label_names(timm.get_pretrained_cfg(name).to_dict())[index] == label


@pytest.mark.parametrize(
    ("name", "classes"),
    [("vit_base_patch16_224.augreg_in21k", 21843), ("convnext_base.clip_laion2b_augreg_ft_in12k", 11821)],
)
def test_larger_imagenets_have_their_own_labels(name, classes):
    labels = label_names(timm.get_pretrained_cfg(name).to_dict())
    assert len(labels) == classes
    assert {"teapot", "ocarina", "coffee mug"} <= set(labels)
    assert not any("," in label for label in labels)


def test_classes_without_names_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"7 classes without names.*label_names"):
        TimmClassifier(save(tmp_path, 7))(Image.new("RGB", (32, 32)))


def test_a_timm_name_is_looked_for_on_the_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"^timm/mobilenetv3_large_100.ra_in1k is no folder"):
        TimmClassifier("mobilenetv3_large_100.ra_in1k")(Image.new("RGB", (32, 32)))


def test_an_unknown_name_is_refused(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"^no_such_net is no folder"):
        TimmClassifier("no_such_net")(Image.new("RGB", (32, 32)))
