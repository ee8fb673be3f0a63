import pytest
import torch

from mti.metrics.features.small_vgg import SmallVGG
from mti.metrics.lpips import distance
from mti.pocket.ranking import Ranked, shifted
from mti.pocket.train_perceptual import fit_heads, patches, ranking_loss, scale


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
