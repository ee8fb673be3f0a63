"""The shipped models do what they are for, through the adapters that load the large ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from mti.config import build
from mti.images import load_pictures, read_picture
from mti.outputs import RunFolder
from mti.pocket_weights import WEIGHTS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def config():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("run")


def test_the_suite_is_small_enough_to_ship():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 60 * 2**20


def test_the_autoencoder_keeps_the_concepts_recognisable(config):
    model, data = build(config.model), build(config.dataset)
    pictures = torch.cat([load_pictures(data.concept(name), model.resolution) for name in data.names()])
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
    assert len(folder.pictures(max(loss))) == 3
    assert list((folder.path / "wandb").glob("offline-run-*"))
