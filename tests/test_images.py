import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from mti.images import load_pictures, read_picture, to_pil, to_tensor
from mti.types import Concept, UserError

RED = (200, 30, 40)


def saved(picture, path, **options):
    picture.save(path, **options)
    return path


def test_exif_orientation_is_applied(tmp_path):
    lying = Image.new("RGB", (40, 20), RED)
    lying.paste((0, 0, 255), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left edge is the top
    upright = read_picture(saved(lying, tmp_path / "phone.jpg", exif=exif, quality=95))
    assert upright.size == (20, 40)
    top, bottom = upright.getpixel((10, 5)), upright.getpixel((10, 35))
    assert top[2] > 240
    assert bottom[0] > 190


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    suffix = {"CMYK": "tif", "YCbCr": "jpg", "F": "tif"}.get(mode, "png")
    if mode == "I;16":
        picture = Image.fromarray(np.full((9, 7), 0xFFFF, np.uint16))
    elif mode == "F":
        picture = Image.fromarray(np.ones((9, 7), np.float32))
    else:
        picture = Image.new("RGB", (7, 9), "white").convert(mode)
    read = read_picture(saved(picture, tmp_path / f"picture.{suffix}"))
    assert (read.mode, read.size) == ("RGB", (7, 9))
    assert read.getpixel((3, 3)) == (255, 255, 255)


def test_transparency_lies_on_white(tmp_path):
    half = read_picture(saved(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), tmp_path / "half.png"))
    assert half.getpixel((4, 4)) == (127, 127, 127)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, *RED])
    path = saved(palette, tmp_path / "palette.png", transparency=bytes([255, 0]))
    assert read_picture(path).getpixel((4, 4)) == (255, 255, 255)
    one_color = saved(Image.new("RGB", (8, 8), RED), tmp_path / "one_color.png", transparency=RED)
    assert read_picture(one_color).getpixel((4, 4)) == (255, 255, 255)


def test_sixteen_bits_keep_their_greys(tmp_path):
    greys = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    read = np.asarray(read_picture(saved(Image.fromarray(greys), tmp_path / "sixteen.png")))
    assert np.array_equal(read[0, :, 0], np.arange(256))


def test_what_is_no_picture_gets_one_line(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    whole = saved(Image.effect_noise((64, 64), 50), tmp_path / "whole.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole.read_bytes()[:600])
    for path, words in [
        (tmp_path / "missing.png", "no such file"),
        (tmp_path, "cannot be read"),
        (text, "is no picture"),
        (broken, "cannot be read"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            read_picture(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("side", [50, 100])  # Pillow warns above its limit, and refuses above twice the limit
def test_a_decompression_bomb_is_too_large(tmp_path, monkeypatch, side):
    path = saved(Image.new("L", (side, side)), tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with pytest.raises(UserError, match=r"bomb\.png is too large"):
        read_picture(path)


def test_reading_leaks_no_warnings(tmp_path):
    palette = Image.new("P", (8, 8))
    path = saved(palette, tmp_path / "palette.png", transparency=bytes([0]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_picture(path)
    assert not caught


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (64, 64), (3, 5), (640, 480)])
def test_any_shape_becomes_a_square(shape):
    tensor = to_tensor(Image.new("RGB", shape, RED), 64)
    assert tensor.shape == (3, 64, 64)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close((tensor + 1) * 127.5, torch.tensor(RED).float().view(3, 1, 1).expand(3, 64, 64))


def test_the_crop_is_in_the_middle():
    wide = Image.new("RGB", (90, 30), "black")
    wide.paste((255, 255, 255), (30, 0, 60, 30))
    assert to_tensor(wide, 30).eq(1).all()


def test_tensor_and_back_is_exact_and_clamps():
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.dstack([greys, greys[::-1], greys.T]))
    tensor = to_tensor(picture, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert to_pil(tensor).tobytes() == picture.tobytes()
    assert to_pil(torch.full((3, 2, 2), 1.7)).getpixel((0, 0)) == (255, 255, 255)
    assert to_pil(torch.full((3, 2, 2), -9.0)).getpixel((0, 0)) == (0, 0, 0)


def test_all_pictures_of_a_concept_are_stacked(tmp_path):
    paths = tuple(saved(Image.new("RGB", (20, 30), color), tmp_path / f"{color}.png") for color in ("black", "white"))
    pictures = load_pictures(Concept("two", paths), 16)
    assert pictures.shape == (2, 3, 16, 16)
    assert pictures[0].eq(-1).all()
    assert pictures[1].eq(1).all()
