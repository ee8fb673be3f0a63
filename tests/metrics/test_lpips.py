import warnings

import pytest
import torch

from mti.metrics.features.small_vgg import SmallVGG, SmallVGGFeatures, save
from mti.metrics.features.vgg16 import VGG16
from mti.metrics.lpips import LPIPS, MaskedLPIPS
from mti.types import UserError


def pictures(count, height, width, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(scope="module")
def package():
    """LPIPS of the package lpips: its own heads, random VGG16 weights."""
    lpips = pytest.importorskip("lpips")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, of the argument that lpips still uses
        return lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).requires_grad_(False)


@pytest.fixture(scope="module")
def vgg16(package, tmp_path_factory):
    """The same weights in a file as torchvision writes it."""
    file = tmp_path_factory.mktemp("vgg16") / "vgg16.pth"
    slices = [getattr(package.net, f"slice{i}").state_dict() for i in range(1, 6)]
    torch.save({f"features.{name}": own for part in slices for name, own in part.items()}, file)
    return VGG16(str(file))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("small")
    save(folder, SmallVGG((8, 8, 16)), {f"relu{i}": torch.rand(c) for i, c in ((1, 8), (2, 8), (3, 16))})
    return SmallVGGFeatures(str(folder))


@pytest.mark.parametrize("size", [(64, 64), (37, 50), (96, 16)])
def test_it_is_what_the_package_computes(package, vgg16, size):
    generated, reference = pictures(3, *size), pictures(2, *size, seed=1)
    found = LPIPS(vgg16)(generated, reference, ["a {}"] * 3)["lpips"]
    expected = torch.stack([package(generated, one[None].expand_as(generated)).flatten() for one in reference])
    assert expected.min() > 0.1
    assert torch.allclose(found, expected.mean(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("features", ["vgg16", "small"])
def test_batches_change_nothing(features, request):
    network = request.getfixturevalue(features)
    generated, reference = pictures(5, 32, 32), pictures(2, 32, 32, seed=1)
    whole, single, uneven = (
        LPIPS(network, batch_size=size)(generated, reference, ["{}"] * 5)["lpips"] for size in (5, 1, 3)
    )
    assert whole.shape == (5,)
    assert torch.allclose(whole, single, rtol=0, atol=1e-6)
    assert torch.allclose(whole, uneven, rtol=0, atol=1e-6)


@pytest.mark.parametrize("features", ["vgg16", "small"])
def test_a_copy_is_no_distance_away(features, request):
    network = request.getfixturevalue(features)
    one = pictures(1, 32, 32)
    near = one + 0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(0))
    copy, close, far = LPIPS(network)(torch.cat([one, near, pictures(1, 32, 32, seed=2)]), one, ["{}"] * 3)["lpips"]
    assert copy == pytest.approx(0, abs=1e-9)
    assert copy < close < far


def test_the_heads_are_the_packages(package, vgg16):
    for own, module in zip(vgg16.heads().values(), package.lins, strict=True):
        assert torch.equal(own, module.model[1].weight.flatten())


def test_the_record_names_network_and_version(vgg16):
    record = LPIPS(VGG16()).record()
    assert record["metric"] == "LPIPS v0.1"
    assert record["network"] == "VGG16"
    assert "IMAGENET1K_V1" in record["weights"]
    assert LPIPS(vgg16).record()["weights"].endswith("vgg16.pth")


def test_missing_weights_are_one_line_with_the_way_out(monkeypatch, tmp_path):
    pytest.importorskip("lpips")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    place = tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"
    with pytest.raises(
        UserError, match=rf"VGG16.* not found at {place}; get it with `python -m mti.download` .*vgg16-397923af"
    ) as it:
        LPIPS(VGG16()).check()
    assert "\n" not in str(it.value)
    place.parent.mkdir(parents=True)
    place.touch()
    LPIPS(VGG16()).check()


def test_a_missing_small_network_says_how_to_train_it(tmp_path):
    with pytest.raises(UserError, match=r"lacks config.json, model.safetensors; train it with .*build perceptual"):
        LPIPS(SmallVGGFeatures(str(tmp_path))).check()


def test_building_a_metric_reads_nothing():
    assert LPIPS(VGG16("/no/such/file")).name == "lpips"
    with pytest.raises(UserError, match="there is no file /no/such/file"):
        LPIPS(VGG16("/no/such/file"))(pictures(1, 16, 16), pictures(1, 16, 16), ["{}"])


def left_half(count, side):
    mask = torch.zeros(count, side, side, dtype=torch.bool)
    mask[:, :, : side // 2] = True
    return mask


def test_what_is_beside_the_thing_costs_nothing(small):
    reference, mask = pictures(1, 32, 32), left_half(1, 32)
    elsewhere = reference.where(mask, pictures(1, 32, 32, seed=1))
    changed = reference.where(~mask, pictures(1, 32, 32, seed=1))
    generated = torch.cat([reference, elsewhere, changed])
    whole = LPIPS(small)(generated, reference, ["{}"] * 3)["lpips"]
    copy, beside, within = MaskedLPIPS(small)(generated, reference, ["{}"] * 3, mask=mask)["lpips"]
    assert copy == beside == pytest.approx(0, abs=1e-9)
    assert whole[1] > 0.01
    assert within > 0.01


def test_a_mask_of_everything_is_lpips(small):
    generated, reference = pictures(3, 32, 32), pictures(2, 32, 32, seed=1)
    everything = torch.ones(2, 32, 32, dtype=torch.bool)
    masked = MaskedLPIPS(small)(generated, reference, ["{}"] * 3, mask=everything)["lpips"]
    assert torch.allclose(masked, LPIPS(small)(generated, reference, ["{}"] * 3)["lpips"], rtol=0, atol=1e-6)


def test_each_reference_masks_with_its_own_and_those_without_a_mask_are_left_out(small):
    generated, reference, mask = pictures(2, 32, 32), pictures(3, 32, 32, seed=1), left_half(3, 32)
    mask[1], mask[2] = ~mask[1], False
    own = [MaskedLPIPS(small)(generated, reference[[i]], ["{}"] * 2, mask=mask[[i]])["lpips"] for i in range(2)]
    together = MaskedLPIPS(small)(generated, reference, ["{}"] * 2, mask=mask)["lpips"]
    assert torch.allclose(together, torch.stack(own).mean(0), rtol=0, atol=1e-6)
    assert not torch.allclose(own[0], own[1], rtol=0, atol=1e-3)


@pytest.mark.parametrize("mask", [None, torch.zeros(1, 32, 32, dtype=torch.bool)])
def test_without_a_mask_there_is_no_score_and_that_is_said_once(small, mask, caplog):
    metric = MaskedLPIPS(small, name="lpips_thing")
    for _ in range(2):
        assert metric(pictures(2, 32, 32), pictures(1, 32, 32), ["{}"] * 2, mask=mask) == {}
    (record,) = caplog.records
    assert record.getMessage() == "no lpips_thing: the concept has no mask; click on the thing with click=[x,y]"


def test_weights_are_read_at_first_use_shared_and_released(small, monkeypatch):
    reads = []
    real = SmallVGGFeatures._load

    def load(self, *files):
        reads.append(files)
        return real(self, *files)

    monkeypatch.setattr(SmallVGGFeatures, "_load", load)
    metrics = [LPIPS(SmallVGGFeatures(small.path)) for _ in range(2)]
    small.release()
    assert not reads
    expected, again = (metric(pictures(1, 32, 32), pictures(1, 32, 32, seed=1), ["{}"]) for metric in metrics)
    assert len(reads) == 1
    metrics[0].release()
    metrics[0](pictures(1, 32, 32), pictures(1, 32, 32), ["{}"])
    assert len(reads) == 1, "the other one still has them"
    for metric in metrics:
        metric.release()
    assert torch.equal(metrics[0](pictures(1, 32, 32), pictures(1, 32, 32, seed=1), ["{}"])["lpips"], expected["lpips"])
    assert torch.equal(expected["lpips"], again["lpips"])
    assert len(reads) == 2


def test_it_computes_where_it_is_told_to(small):
    metric = LPIPS(SmallVGGFeatures(small.path))
    assert metric.features.device.type == "cpu"
    metric.to(torch.device("meta"))
    assert metric.features.loaded.network.blocks[0].weight.device.type == "meta"
    metric.to(torch.device("cpu"))
    assert metric.features.loaded.network.blocks[0].weight.device.type == "cpu"
