import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.models import inception_v3

from mti.metrics.features.inception import LAYERS, InceptionV3
from mti.metrics.sifid import SIFID, frechet_distance
from mti.types import UserError


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def formula(first, second):
    """Fréchet distance in float64, with the eigenvalues of the product of the covariances."""
    first, second = first.double().numpy(), second.double().numpy()
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(one @ two).astype(complex)).real.sum()
    gap = first.mean(0) - second.mean(0)
    return gap @ gap + np.trace(one) + np.trace(two) - 2 * root


@pytest.fixture(scope="module")
def state():
    """Random weights of Inception-v3's first layers."""
    with torch.device("meta"):
        shapes = inception_v3(init_weights=False).state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, own in shapes.items():
        if name.split(".")[0] in LAYERS:
            spread = torch.randn(own.shape, generator=generator) if own.dtype.is_floating_point else torch.zeros(())
            fan = own[0].numel() if own.dim() == 4 else 25
            centre = 1.0 if name.endswith(("bn.weight", "running_var")) else 0.0
            tensors[name] = (spread * (2 / fan) ** 0.5 + centre).abs() if centre else spread * (2 / fan) ** 0.5
    return tensors


@pytest.fixture(scope="module")
def inception(state, tmp_path_factory):
    file = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save(state, file)
    return InceptionV3(str(file))


def maps(state, pictures):
    """The map after Conv2d_4a_3x3, written out."""
    x = pictures
    for name, stride, padding in (
        ("Conv2d_1a_3x3", 2, 0),
        ("Conv2d_2a_3x3", 1, 0),
        ("Conv2d_2b_3x3", 1, 1),
        ("pool", 2, 0),
        ("Conv2d_3b_1x1", 1, 0),
        ("Conv2d_4a_3x3", 1, 0),
    ):
        if name == "pool":
            x = F.max_pool2d(x, 3, 2)
            continue
        x = F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=padding)
        mean, var = state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"]
        x = F.relu(F.batch_norm(x, mean, var, state[f"{name}.bn.weight"], state[f"{name}.bn.bias"], eps=0.001))
    return x


@pytest.mark.parametrize(("samples", "channels"), [(500, 16), (60, 16), (3000, 64)])
def test_the_distance_is_the_formulas(samples, channels):
    mixing = normal(channels, channels, seed=1)
    first, second = normal(samples, channels) @ mixing, normal(samples + 7, channels, seed=2) + 0.3
    assert frechet_distance(first, second).item() == pytest.approx(formula(first, second), rel=1e-4)


@pytest.mark.parametrize("samples", [5, 400])
def test_shifted_and_scaled_gaussians_have_closed_forms(samples):
    sample = normal(samples, 12).double()
    shift = normal(12, seed=1).double()
    centred = sample - sample.mean(0)
    spread = centred.square().sum() / (samples - 1)
    assert frechet_distance(sample, sample + shift).item() == pytest.approx(shift.square().sum().item(), rel=1e-9)
    assert frechet_distance(centred, 3 * centred).item() == pytest.approx(4 * spread.item(), rel=1e-9)


@pytest.mark.parametrize("samples", [9, 300])
def test_a_sample_is_no_distance_from_itself_nor_in_another_order(samples):
    sample = normal(samples, 40)
    assert frechet_distance(sample, sample).item() == pytest.approx(0, abs=1e-9)
    assert frechet_distance(sample, sample.flip(0)).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("size", [(64, 64), (71, 90)])
def test_it_is_the_distance_between_the_places_of_two_maps(state, inception, size):
    generated, reference = (normal(count, 3, *size, seed=count).clamp(-1, 1) for count in (2, 3))
    found = SIFID(inception, "Conv2d_4a_3x3")(generated, reference, ["{}"] * 2)["sifid"]
    places = [[one.flatten(1).T for one in maps(state, own)] for own in (generated, reference)]
    assert places[0][0].shape[1] == 192
    expected = [np.mean([formula(own, target) for target in places[1]]) for own in places[0]]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)


def test_batches_change_nothing_and_a_copy_is_no_distance_away(inception):
    reference = normal(1, 3, 48, 48).clamp(-1, 1)
    generated = torch.cat([reference, normal(3, 3, 48, 48, seed=1).clamp(-1, 1)])
    whole, single = (
        SIFID(inception, "Conv2d_4a_3x3", batch_size=size)(generated, reference, ["{}"] * 4)["sifid"] for size in (4, 1)
    )
    assert torch.allclose(whole, single, rtol=1e-4, atol=1e-5)
    assert whole[0].item() == pytest.approx(0, abs=1e-5)
    assert whole[1:].min() > 0.01


def test_the_layer_before_the_first_pooling_is_an_option(inception):
    metric = SIFID(inception, "Conv2d_2b_3x3")
    metric.check()
    assert metric.record()["layer"] == "Conv2d_2b_3x3"
    assert metric.record()["preprocessing"] == "at the pictures' own size, in [-1, 1]"
    assert inception(normal(1, 3, 32, 32))["Conv2d_2b_3x3"].shape[1] == 64


def test_an_unknown_layer_is_refused(inception):
    with pytest.raises(UserError, match=r"no layer Mixed_7c here: expected one of .*Conv2d_4a_3x3"):
        SIFID(inception, "Mixed_7c").check()


def test_missing_weights_are_one_line_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    with pytest.raises(UserError, match=r"Inception-v3.* not found at .*google-0cc3c7bd.pth; get it with `") as error:
        SIFID(InceptionV3(), "Conv2d_4a_3x3").check()
    assert "\n" not in str(error.value)
