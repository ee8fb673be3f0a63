"""How the perceptual network is fitted, and the shipped one on the shipped concepts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mti.images import read_picture, to_tensor
from mti.metrics.features.small_vgg import SmallVGG
from mti.metrics.lpips import distance
from mti.pocket import concepts
from mti.pocket.drawing import FONT, draw
from mti.pocket.held_out import CONCEPTS
from mti.pocket.perceptual import fit_heads, patches, ranking_loss, scale
from mti.pocket.ranking import Ranked, shifted
from mti.pocket.world import Individual, Scene
from mti.weights import weights_path

CONF = Path(__file__).parents[2] / "conf"
METRICS = ("lpips_pocket", "sifid_pocket")


@pytest.fixture(scope="module")
def pictures():
    return {name: to_tensor(read_picture(concepts.FOLDER / f"{name}.png"), 64) for name in CONCEPTS}


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


@pytest.mark.skipif(not FONT.exists(), reason="drawing needs Debian's fonts-noto-color-emoji")
def test_another_individual_is_nearer_than_most_other_kinds(score, pictures):
    nearer = []
    for i, (name, own) in enumerate(pictures.items()):
        thing = Individual(name, "green" if i % 2 else "purple")
        scene = Scene(thing, "pink", mirror=True, angle=8.0)
        individual = to_tensor(draw(scene)[0], 64)
        others = [other for kind, other in pictures.items() if kind != name]
        first, *far = score(own, [individual, *others]).tolist()
        nearer += [first < other for other in far]
    assert np.mean(nearer) > 0.9


@pytest.mark.parametrize("name", METRICS)
def test_held_out_drawings_are_ranked(name):
    summary = json.loads((weights_path("pocket:perceptual") / "perceptual.json").read_text())
    assert summary[name]["ranked"] >= 0.93


def noise(seed):
    return torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_ranking_loss_sees_order_and_not_scale():
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    assert ranking_loss(near, far) < ranking_loss(near, near) < ranking_loss(far, near)
    assert ranking_loss(near, far).item() == pytest.approx(ranking_loss(100 * near, 100 * far).item(), rel=1e-5)


def test_heads_are_positive_and_put_two_kinds_at_one():
    torch.manual_seed(0)
    network = SmallVGG((4, 8)).requires_grad_(False)
    own = noise(0)
    pictures = Ranked(own, shifted(own, torch.Generator().manual_seed(0)), 0.5 * own + 0.5 * noise(1), noise(2))
    heads = fit_heads(network, pictures, steps=30)
    assert min(weights.min().item() for weights in heads.values()) > 0
    apart = distance(network(own), network(pictures.other), heads)
    assert apart.mean().item() == pytest.approx(1, abs=0.1)
    even = {name: torch.ones(weights.shape) for name, weights in heads.items()}

    def loss(weights):
        copy, individual, other = (distance(network(own), network(second), weights) for second in pictures[1:])
        return ranking_loss(copy, individual) + ranking_loss(individual, other)

    assert loss(heads) < loss(even)


def test_scaled_maps_put_two_kinds_at_one_in_sifid_and_leave_lpips_alone():
    torch.manual_seed(0)
    network = SmallVGG((4, 4, 4, 4, 8)).requires_grad_(False)
    for block in network.blocks:
        torch.nn.init.normal_(block.bias, std=0.1)
    own, other = noise(0), noise(2)
    even = {name: torch.ones(maps.shape[1]) for name, maps in network(own).items()}
    before = distance(network(own), network(other), even)
    scale(network, Ranked(own, own, own, other))
    assert patches(network(own), network(other)).mean().item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(distance(network(own), network(other), even), before, rtol=1e-4, atol=1e-6)
