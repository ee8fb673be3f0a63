"""The shipped perceptual network, on the shipped concepts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mti.images import read_picture, to_tensor
from mti.pocket import concepts, world
from mti.pocket.ranking import shifted
from mti.weights import weights_path

CONF = Path(__file__).parents[2] / "conf"
METRICS = ("lpips_pocket", "sifid_pocket")


@pytest.fixture(scope="module")
def pictures():
    return {name: to_tensor(read_picture(concepts.FOLDER / f"{name}.png"), 64) for name in world.CONCEPT_SCENES}


@pytest.fixture(params=METRICS)
def score(request):
    """The metric as its yaml builds it: one picture's distances from others."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("run", overrides=[f"metrics={request.param}", "hydra/launcher=basic"])
    metric = instantiate(config.metrics[request.param])

    def distances(reference, others):
        return metric(torch.stack(others), reference[None], ["{}"] * len(others))[request.param]

    return distances


def test_a_copy_is_nearest_then_a_shifted_one_then_other_kinds(score, pictures):
    for name, own in pictures.items():
        others = [other for kind, other in pictures.items() if kind != name]
        moved = shifted(own[None], torch.Generator().manual_seed(0))[0]
        itself, copy, *far = score(own, [own, moved, *others]).tolist()
        assert itself == pytest.approx(0, abs=1e-4 * min(far))
        assert itself < copy < min(far), name


@pytest.mark.skipif(not world.FONT.exists(), reason="drawing needs Debian's fonts-noto-color-emoji")
def test_another_individual_is_nearer_than_most_other_kinds(score, pictures):
    nearer = []
    for i, (name, own) in enumerate(pictures.items()):
        scene = world.Scene(name, "green" if i % 2 else "purple", "pink", mirror=True, angle=8.0)
        individual = to_tensor(world.draw(scene)[0], 64)
        others = [other for kind, other in pictures.items() if kind != name]
        first, *far = score(own, [individual, *others]).tolist()
        nearer += [first < other for other in far]
    assert np.mean(nearer) > 0.9


@pytest.mark.parametrize("name", METRICS)
def test_held_out_drawings_are_ranked(name):
    summary = json.loads((weights_path("pocket:perceptual") / "summary.json").read_text())
    assert summary[name]["ranked"] >= 0.95
