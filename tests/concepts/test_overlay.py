import numpy as np
from PIL import Image

from mti.concepts.clicks import Clicks
from mti.concepts.overlay import INSIDE, OUTSIDE, overlay


def scene():
    mask = np.zeros((20, 40), bool)
    mask[5:13, 10:18] = True
    picture = Image.new("RGB", (40, 20), "green")
    picture.paste("red", (10, 5, 18, 13))
    return picture, mask


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


def test_large_and_narrow_pictures_stay_light():
    assert overlay(Image.new("RGB", (3000, 1500)), np.ones((1500, 3000), bool), Clicks()).size == (1024, 512)
    assert overlay(Image.new("RGB", (1, 900)), np.ones((900, 1), bool), Clicks(((0, 3),))).size == (1, 900)
