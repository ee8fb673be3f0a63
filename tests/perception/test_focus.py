import numpy as np
import pytest
from PIL import Image

from mti.perception.clicks import Clicks
from mti.perception.focus import Focus, crop_box, on_white
from mti.perception.overlay import INSIDE, OUTSIDE, overlay
from mti.perception.segmenter import Segment
from mti.types import UserError


class Finds:
    """A segmenter that knows where the thing is: a red square on green."""

    name = "oracle"

    def __init__(self, mask):
        self.mask = mask
        self.asked = []

    def check(self):
        self.asked.append("check")

    def __call__(self, picture, clicks):
        self.asked.append(clicks)
        return Segment(self.mask, 0.75)


def scene(width=40, height=20, left=10, top=5, side=8):
    mask = np.zeros((height, width), bool)
    mask[top : top + side, left : left + side] = True
    picture = Image.new("RGB", (width, height), "green")
    picture.paste("red", (left, top, left + side, top + side))
    return picture, mask


def test_without_a_click_the_whole_picture_is_seen():
    picture, mask = scene()
    finds = Finds(mask)
    focus = Focus(finds)
    focus.check(picture)
    sight = focus(picture)
    assert sight.picture is picture
    assert not sight.replaced
    assert not sight.details
    assert not sight.pictures
    assert finds.asked == []


@pytest.mark.parametrize("background", ["white", "kept"])
def test_the_clicked_thing_is_cropped_and_its_background_treated(background):
    picture, mask = scene()
    sight = Focus(Finds(mask), [12, 8], [1, 1], background=background, margin=0.25)(picture)
    assert sight.picture.size == (12, 12)  # 8 and a quarter of it on either side
    assert sight.picture.getpixel((6, 6)) == (255, 0, 0)
    assert sight.picture.getpixel((0, 0)) == ((255, 255, 255) if background == "white" else (0, 128, 0))
    assert sight.replaced == (background == "white")
    details = sight.details["click"]
    assert details == {
        "inside": [[12, 8]],
        "outside": [[1, 1]],
        "box": None,
        "segmenter": "oracle",
        "score": 0.75,
        "area": pytest.approx(64 / 800),
        "crop": [8, 3, 20, 15],
        "background": background,
    }
    assert sorted(sight.pictures) == ["crop", "mask", "overlay"]
    assert sight.pictures["crop"] is sight.picture
    assert np.array_equal(np.asarray(sight.pictures["mask"]) > 0, mask)


def test_all_that_is_pointed_at_reaches_the_segmenter():
    picture, mask = scene()
    finds = Finds(mask)
    Focus(finds, [[12, 8], [13, 9]], [1, 1], [9, 4, 19, 14])(picture)
    assert finds.asked[-1] == Clicks(((12, 8), (13, 9)), ((1, 1),), (9, 4, 19, 14))


def test_a_click_out_of_the_picture_asks_no_segmenter():
    picture, mask = scene()
    finds = Finds(mask)
    focus = Focus(finds, [12, 20])
    for look in (focus.check, focus):
        with pytest.raises(UserError, match=r"init.click=\[12,20\] is out of the picture"):
            look(picture)
    assert finds.asked == []


def test_an_empty_mask_is_refused():
    picture, mask = scene()
    with pytest.raises(UserError, match=r"oracle finds nothing at init.click=\[\[12,8\]\]: click elsewhere"):
        Focus(Finds(mask & False), [12, 8])(picture)


@pytest.mark.parametrize(("key", "value"), [("background", "black"), ("margin", -0.1), ("margin", 11)])
def test_a_wrong_option_is_refused_at_once(key, value):
    with pytest.raises(UserError, match=rf"init.{key}={value}: expected"):
        Focus(Finds(scene()[1]), **{key: value})


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
def test_the_crop_is_a_square_that_stays_in_the_picture(thing, margin, box):
    mask = np.zeros((20, 40), bool)
    left, top, right, bottom = thing
    mask[top:bottom, left:right] = True
    assert crop_box(mask, margin) == box


def test_on_white_keeps_the_thing_alone():
    picture, mask = scene()
    pixels = np.asarray(on_white(picture, mask))
    assert (pixels[mask] == (255, 0, 0)).all()
    assert (pixels[~mask] == 255).all()


def test_the_overlay_shows_thing_clicks_and_box_and_enlarges_small_pictures():
    picture, mask = scene()
    page = overlay(picture, mask, Clicks(((12, 8),), ((30, 10),), (9, 4, 19, 14)))
    assert page.size == (512, 256)
    scale = 512 / 40
    assert page.getpixel((round(12.5 * scale), round(8.5 * scale))) == INSIDE
    assert page.getpixel((round(30.5 * scale), round(10.5 * scale))) == OUTSIDE
    assert page.getpixel((round(9 * scale) + 1, round(8 * scale))) == INSIDE
    red, _, blue = page.getpixel((round(16.5 * scale), round(11 * scale)))
    assert red > 128
    assert blue > 50
    assert max(page.getpixel((round(25 * scale), round(17 * scale)))) < 64
    assert overlay(picture.resize((1000, 500)), np.ones((500, 1000), bool), Clicks()).size == (1000, 500)
