import numpy as np
import pytest
from PIL import Image

from mti.concepts.squares import (
    box_around,
    box_of,
    centre_square,
    cut_square,
    share_inside,
    thing_square,
    whole_square,
    window_around,
)


def test_the_centre_is_the_largest_square_in_the_middle():
    assert centre_square(40, 20) == (10, 0, 30, 20)
    assert centre_square(20, 40) == (0, 10, 20, 30)
    assert centre_square(7, 4) == (1, 0, 5, 4)


def test_the_whole_picture_lies_in_the_middle_of_its_square():
    assert whole_square(40, 20) == (0, -10, 40, 30)
    assert whole_square(1, 1) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("thing", "square"),
    [
        ((18, 5, 22, 9), (10, 0, 30, 20)),  # in the middle, where it is
        ((0, 5, 6, 9), (0, 0, 20, 20)),  # at the left edge
        ((33, 5, 40, 9), (20, 0, 40, 20)),
        ((6, 0, 20, 20), (3, 0, 23, 20)),
        ((0, 0, 20, 20), (0, 0, 20, 20)),
        ((4, 5, 36, 9), (4, -6, 36, 26)),  # longer than the picture is high
        ((0, 0, 40, 20), (0, -10, 40, 30)),
    ],
)
def test_the_square_of_a_thing_holds_it(thing, square):
    assert thing_square(thing, 40, 20) == square
    left, top, right, bottom = thing
    turned = thing_square((top, left, bottom, right), 20, 40)
    assert turned == (square[1], square[0], square[3], square[2])


def test_every_square_of_a_thing_holds_it_and_wastes_nothing():
    chance = np.random.default_rng(0)
    for _ in range(300):
        width, height = chance.integers(1, 50, 2).tolist()
        left, top = int(chance.integers(0, width)), int(chance.integers(0, height))
        right, bottom = int(chance.integers(left, width)) + 1, int(chance.integers(top, height)) + 1
        square = thing_square((left, top, right, bottom), width, height)
        assert square[2] - square[0] == square[3] - square[1] == max(min(width, height), right - left, bottom - top)
        assert square[0] <= left < right <= square[2]
        assert square[1] <= top < bottom <= square[3]
        if square[2] - square[0] == min(width, height):
            assert min(square) >= 0
            assert square[2] <= width
            assert square[3] <= height


@pytest.mark.parametrize(
    ("thing", "margin", "box"),
    [
        ((10, 5, 18, 13), 0, (10, 5, 18, 13)),
        ((10, 5, 18, 9), 0, (10, 3, 18, 11)),  # made square
        ((0, 0, 8, 8), 0.25, (0, 0, 12, 12)),  # moved into the picture
        ((32, 12, 40, 20), 0.25, (28, 8, 40, 20)),
        ((5, 2, 35, 10), 0.1, (2, 0, 38, 20)),  # as high as the picture is
        ((0, 0, 40, 20), 0.5, (0, 0, 40, 20)),
        ((7, 7, 8, 8), 0, (7, 7, 8, 8)),
    ],
)
def test_the_box_around_a_thing_is_a_square_that_stays_in_the_picture(thing, margin, box):
    assert box_around(thing, margin, 40, 20) == box


@pytest.mark.parametrize(
    ("thing", "size", "window"),
    [
        ((10, 5, 18, 13), (40, 20), (0, 0, 40, 20)),  # not too long
        ((0, 5, 8, 13), (100, 20), (0, 0, 40, 20)),
        ((48, 5, 52, 13), (100, 20), (30, 0, 70, 20)),
        ((90, 5, 98, 13), (100, 20), (60, 0, 100, 20)),
        ((20, 5, 80, 13), (100, 20), (20, 0, 80, 20)),  # as long as the thing
        ((5, 48, 13, 52), (20, 100), (0, 30, 20, 70)),
        ((0, 3, 1, 4), (1, 900), (0, 2, 1, 4)),
    ],
)
def test_the_window_of_a_long_picture_is_about_the_thing(thing, size, window):
    assert window_around(thing, *size, elongation=2) == window


def test_the_box_of_a_mask_and_what_of_it_lies_inside_another():
    mask = np.zeros((20, 40), bool)
    mask[5:13, 10:18] = True
    assert box_of(mask) == (10, 5, 18, 13)
    assert share_inside(mask, (0, 0, 40, 20)) == 1
    assert share_inside(mask, (14, -5, 40, 30)) == 0.5
    assert share_inside(mask, (20, 0, 40, 20)) == 0


def noise(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def test_a_square_in_the_picture_is_cut_exactly():
    picture = noise(40, 20)
    assert cut_square(picture, (3, 2, 13, 12)).tobytes() == picture.crop((3, 2, 13, 12)).tobytes()


def test_over_the_edge_the_edge_goes_on_and_the_mask_ends():
    picture = noise(40, 20)
    pixels, square = np.asarray(picture), np.asarray(cut_square(picture, (0, -10, 40, 30)))
    assert np.array_equal(square[10:30], pixels)
    assert (square[:10] == pixels[0]).all()
    assert (square[30:] == pixels[-1]).all()
    mask = np.asarray(cut_square(Image.new("1", (40, 20), 1), (0, -10, 40, 30)))
    assert mask[10:30].all()
    assert not mask[:10].any()
    assert not mask[30:].any()


@pytest.mark.parametrize("size", [(100, 40), (40, 100), (1, 1), (1, 300), (300, 1), (64, 64), (97, 31)])
def test_any_shape_becomes_a_square_of_at_most_the_largest_side(size):
    for box in (centre_square(*size), whole_square(*size), thing_square((0, 0, *size), *size)):
        side = min(box[2] - box[0], 50)
        assert cut_square(Image.new("RGB", size, "red"), box, 50).size == (side, side)
        assert np.asarray(cut_square(Image.new("RGB", size, "red"), box, 50)).reshape(-1, 3).tolist() == [
            [255, 0, 0]
        ] * (side * side)
        assert cut_square(Image.new("1", size, 1), box, 50).size == (side, side)


def test_a_long_line_takes_little_memory_and_leaves_a_pixel_of_mask():
    mask = cut_square(Image.new("1", (60_000, 1), 1), whole_square(60_000, 1))
    assert mask.size == (2048, 2048)
    assert np.asarray(mask).sum() == 2048


def test_scaled_down_the_mask_stays_on_its_thing():
    picture, mask = Image.new("RGB", (400, 200), "green"), Image.new("1", (400, 200))
    picture.paste("red", (100, 40, 200, 160))
    mask.paste(1, (100, 40, 200, 160))
    square, small = (np.asarray(cut_square(one, whole_square(400, 200), 100)) for one in (picture, mask))
    assert small.sum() == 25 * 30
    assert (square[small][:, 0] > 200).mean() > 0.9
    assert (square[~small][:, 0] < 50).mean() > 0.98
