import pytest
import torch
from PIL import Image

from mti.metrics.individual import SameIndividual, kind_folder
from mti.types import UserError


class MeanColour:
    """A picture's vector is its mean colour."""

    def record(self):
        return {"network": "colours"}

    def check(self):
        pass

    def pictures(self, pictures):
        return torch.nn.functional.normalize(pictures.mean((2, 3)) + 1.001, dim=-1)


def one_colour(*colours):
    return torch.stack([torch.tensor(colour).float().view(3, 1, 1).expand(3, 8, 8) / 127.5 - 1 for colour in colours])


@pytest.fixture
def same(tmp_path):
    for index, colour in enumerate([(0, 255, 0), (0, 0, 255)]):
        path = tmp_path / "coffee_mug" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)
    return SameIndividual(MeanColour(), str(tmp_path))


def test_a_picture_nearer_to_its_own_than_to_every_other_is_of_the_individual(same):
    generated = one_colour((255, 0, 0), (200, 150, 0), (100, 200, 0), (60, 0, 255))
    assert same.there(generated, one_colour((255, 0, 0)), "coffee mug").tolist() == [True, True, False, False]


def test_several_pictures_of_a_concept_are_averaged(same):
    generated = one_colour((180, 181, 0))
    assert same.there(generated, one_colour((255, 0, 0)), "coffee mug").tolist() == [False]
    assert same.there(generated, one_colour((255, 0, 0), (255, 255, 0)), "coffee mug").tolist() == [True]


def test_a_kind_without_others_is_not_judged(same):
    assert same.there(one_colour((255, 0, 0)), one_colour((255, 0, 0)), "teapot") is None


def test_missing_pictures_are_told(tmp_path):
    with pytest.raises(UserError, match=r"no folder .* with pictures of other individuals"):
        SameIndividual(MeanColour(), str(tmp_path / "none")).check()


def test_the_folder_of_a_kind():
    assert [kind_folder(kind) for kind in ("teddy bear", "go-kart", "cup")] == ["teddy_bear", "go_kart", "cup"]


def test_the_record_names_network_and_others(same, tmp_path):
    assert same.record() == {"individual": {"network": "colours", "others": str(tmp_path)}}
