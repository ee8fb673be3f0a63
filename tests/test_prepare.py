"""What a run is trained with, from its picture and mask."""

import pytest
import torch

from mti.prepare import loss_weights
from mti.schema import Training
from mti.types import UserError

SHAPE = (4, 4, 4)  # of the latents of pictures of 8 × 8


def masks():
    """Of two pictures: the left half and a pixel of the first is the thing; of the second it is not known."""
    found = torch.zeros(2, 8, 8, dtype=torch.bool)
    found[0, :, :4] = True
    found[0, 0, 4] = True
    return found


def test_without_a_choice_all_places_count_the_same():
    assert loss_weights(masks(), SHAPE, Training()) is None


def test_a_place_counts_by_the_share_of_its_pixels_that_are_the_things():
    (weight,) = loss_weights(masks(), SHAPE, Training(mask="thing", background=0.2))
    expected = torch.tensor([1.0, 1.0, 0.2, 0.2]).repeat(4, 1)
    expected[0, 2] = 0.2 + 0.8 / 4
    torch.testing.assert_close(weight[0, 0], expected)
    assert torch.equal(weight[1], torch.ones(1, 4, 4))


def test_mirrored_pictures_have_mirrored_weights():
    plain, mirrored = loss_weights(masks(), SHAPE, Training(mask="thing", flip=True))
    assert torch.equal(mirrored, plain.flip(-1))


def test_without_a_click_there_is_one_line():
    with pytest.raises(UserError, match=r"training.mask=thing: no thing is clicked on .* give click=\[x,y\]"):
        loss_weights(None, SHAPE, Training(mask="thing"))
