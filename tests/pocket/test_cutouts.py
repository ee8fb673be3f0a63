import pytest
import torch

from mti.pocket.cutouts import shown, square_around


def picture(size=64):
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[20:40, 10:20] = True
    return torch.where(mask, 0.5, -0.5).expand(1, 3, size, size), mask


def test_the_square_has_the_margin_and_stays_inside():
    _, mask = picture()
    assert square_around(mask, 0.0) == (5, 20, 25, 40)
    assert square_around(mask, 0.1) == (3, 18, 27, 42)
    assert square_around(mask, 0.5) == (0, 10, 40, 50)
    assert square_around(mask, 10.0) == (0, 0, 64, 64)


@pytest.mark.parametrize(("way", "behind"), [("white", 1.0), ("kept", -0.5)])
def test_a_thing_is_cut_out_as_large_as_the_picture(way, behind):
    own, mask = picture()
    (view,) = shown(own, mask[None], [way])
    assert view.shape == own.shape[1:]
    assert view[:, 32, 32].tolist() == [0.5] * 3
    assert view[:, 2, 2].tolist() == [behind] * 3
    assert (view[0] == 0.5).float().mean().item() == pytest.approx(1 / 2 / 1.44, abs=0.06)


def test_whole_pictures_and_empty_masks_stay():
    own, mask = picture()
    assert torch.allclose(shown(own, mask[None], ["whole"]), own, atol=1e-6)
    assert torch.allclose(shown(own, torch.zeros_like(mask)[None], ["white"]), own, atol=1e-6)
