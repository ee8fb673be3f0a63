"""The shipped models do what they are for, through the adapters that load the large ones."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sweeping import configured

from mti.concepts.clicks import Clicks
from mti.images import read_picture, to_tensor
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.pocket import drawing, segmenter
from mti.pocket.drawings import SIZE, scene
from mti.weights import WEIGHTS

ROOT = Path(__file__).parent.parent
build = Parts().build
CLICK, BOX = segmenter.Form(1, 0, False, 1), segmenter.Form(0, 0, True, 1)


@pytest.fixture(scope="module")
def config():
    return configured(None)


def test_the_suite_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 60 * 2**20


def test_the_autoencoder_keeps_the_concepts_recognisable(config):
    model, data = build(config.model).load(), build(config.dataset)
    paths = [data.concept(name).pictures[0] for name in data.names()]
    pictures = torch.stack([to_tensor(read_picture(path), model.resolution) for path in paths])
    decoded = model.decode(model.encode_picture(pictures).mean)
    assert (decoded - pictures).abs().mean() < 0.06


def test_classifier_and_captioner_know_the_concepts(config):
    data, classifier, captioner = build(config.dataset), build(config.classifier), build(config.captioner)
    right_class = right_caption = 0
    for name in data.names():
        concept = data.concept(name)
        picture = read_picture(concept.pictures[0])
        right_class += classifier(picture)[0].text == concept.recorded["class"]
        right_caption += concept.recorded["class"] in captioner(picture)[0].text
    assert right_class >= 10
    assert right_caption >= 9


@pytest.mark.skipif(not drawing.FONT.exists(), reason="drawing needs Debian's fonts-noto-color-emoji")
@pytest.mark.parametrize("form", [CLICK, BOX])
def test_the_segmenter_finds_the_clicked_thing_on_unseen_drawings(config, form):
    segment, generator = build(config.segmenter), torch.Generator().manual_seed(1)
    scores = []
    for index in range(2000, 2060):
        picture, thing = drawing.draw(scene("test", index), SIZE)
        mask = torch.from_numpy(thing)[None]
        asked = segmenter.prompts(mask, form, generator)
        points = () if asked.points is None else tuple((x, y) for x, y in asked.points[0].tolist())
        box = None if asked.boxes is None else tuple(asked.boxes[0].tolist())
        found = segment(picture, Clicks(points, (), box))
        scores.append(segmenter.iou(torch.from_numpy(found.mask.copy()), mask[0]).item())
    assert np.mean(scores) >= 0.85


def test_a_click_on_the_teapot(tmp_path):
    """`init=caption init.click=[120,140] image=teapot`, and what it leaves in the run folder."""
    few = ["trainer.max_steps=2", "evaluation.samples=2", "evaluation.pictures=0", "logger=csv"]
    command = [sys.executable, "-m", "mti.run", "init=caption", "init.click=[120,140]", "image=teapot", *few]
    done = subprocess.run([*command, f"folder={tmp_path}"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    folder = RunFolder(tmp_path)
    assert folder.finished
    initial, tokens = folder.read_text()
    assert "teapot" in initial.text
    assert "background" not in initial.text
    assert len(tokens) == len(initial.text.split())
    assert initial.details["click"]["inside"] == [[120, 140]]
    assert 0.15 < initial.details["click"]["area"] < 0.45
    assert initial.details["click"]["score"] > 0.5
    mask, crop = (np.asarray(initial.pictures[name]) for name in ("mask", "crop"))
    assert mask.shape == (256, 256, 3)
    assert mask[140, 120, 0] == 255
    assert mask[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0
    assert (crop[0, 0] == 255).all()
    assert initial.pictures["overlay"].size == (512, 512)


def test_the_readmes_command(tmp_path):
    """`python -m mti.run init=caption image=teapot`, and what it promises."""
    command = [sys.executable, "-m", "mti.run", "init=caption", "image=teapot", f"output_dir={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    folder = RunFolder(tmp_path / "default" / "teapot" / "caption" / "s0")
    assert folder.finished
    loss = folder.metrics()["eval/mse"]
    assert loss[max(loss)] < loss[0]
    assert "teapot" in json.loads((folder.path / "text.json").read_text())["text"]
    assert len(folder.pictures(max(loss))) == 12
    assert {"eval/lpips_pocket", "eval/lpips_pocket_std", "eval/sifid_pocket"} <= set(folder.metrics())
    assert list((folder.path / "wandb").glob("offline-run-*"))
