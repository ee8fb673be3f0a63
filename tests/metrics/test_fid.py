import pytest
import torch

from mti.metrics.fid import FID
from mti.metrics.sifid import frechet_distance
from mti.types import UserError

fidelity = pytest.importorskip("torch_fidelity")


class Means(fidelity.FeatureExtractorBase):
    """A picture's mean colour, as a network for torch-fidelity."""

    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list():
        return ("64",)

    def forward(self, input):
        return (input.float().mean((2, 3)),)


@pytest.fixture(scope="module", autouse=True)
def means():
    fidelity.register_feature_extractor("means", Means)


def pictures(count, seed):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_it_is_the_distance_between_two_sets():
    first, second = pictures(9, 0), pictures(5, 1) * 0.7 + 0.3
    colors = [((own + 1) * 127.5).round().mean((2, 3)) for own in (first, second)]
    found = FID(layer="64", extractor="means")(first, second, ["{}"] * 9)["fid"]
    assert found == pytest.approx(frechet_distance(*colors).item(), rel=1e-4)


def test_a_set_is_no_distance_from_itself():
    own = pictures(6, 0)
    assert FID(layer="64", extractor="means")(own, own, ["{}"] * 6)["fid"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("generated", "reference"), [(6, 1), (1, 6)])
def test_one_picture_is_no_set_and_that_is_said_once(generated, reference, caplog):
    metric = FID(layer="64", extractor="means")
    for _ in range(2):
        assert metric(pictures(generated, 0), pictures(reference, 1), ["{}"] * generated) == {}
    assert caplog.text.count(f"{generated} generated pictures and {reference} of the concept") == 1


def test_missing_weights_are_one_line_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    with pytest.raises(
        UserError, match=r"not found at .*weights-inception-2015-12-05-6726825d.pth; get it with `"
    ) as it:
        FID().check()
    assert "\n" not in str(it.value)
    assert FID().record()["layer"] == "2048"
