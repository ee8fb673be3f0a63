import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mti.images import formats, picture_size, printable, read_picture, suffixes, to_pil, to_tensor, to_tensors
from mti.types import UserError

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


@pytest.mark.parametrize("side", [1, 3, 64, 480])
def test_any_square_is_scaled(side):
    tensor = to_tensor(Image.new("RGB", (side, side), RED), 64)
    assert tensor.shape == (3, 64, 64)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close((tensor + 1) * 127.5, torch.tensor(RED).float().view(3, 1, 1).expand(3, 64, 64))


def test_what_is_no_square_is_not_squeezed():
    with pytest.raises(ValueError, match="90×30 pixels is no square"):
        to_tensor(Image.new("RGB", (90, 30)), 30)


def test_tensor_and_back_is_exact_and_clamps():
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.dstack([greys, greys[::-1], greys.T]))
    tensor = to_tensor(picture, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert to_pil(tensor).tobytes() == picture.tobytes()
    assert to_pil(torch.full((3, 2, 2), 1.7)).getpixel((0, 0)) == (255, 255, 255)
    assert to_pil(torch.full((3, 2, 2), -9.0)).getpixel((0, 0)) == (0, 0, 0)


def test_several_squares_are_stacked():
    pictures = to_tensors([Image.new("RGB", (20, 20), color) for color in ("black", "white")], 16)
    assert pictures.shape == (2, 3, 16, 16)
    assert pictures[0].eq(-1).all()
    assert pictures[1].eq(1).all()


# ----------------------------------------------------------------------------------- strangers' files


def refusal(path):
    """The line that a file is refused with, by its header and when it is decoded."""
    with pytest.raises(UserError) as error:
        read_picture(path)
    assert printable(path) in str(error.value)
    assert str(error.value).isprintable()
    return str(error.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    began = time.monotonic()
    assert "it is a pipe, a device or the like, no file" in refusal(tmp_path / "pipe.png")
    assert time.monotonic() - began < 5


def test_a_device_is_no_picture():
    from pathlib import Path

    assert "it is a pipe, a device or the like, no file" in refusal(Path("/dev/zero"))


def test_links_that_lead_nowhere_or_in_circles(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "lost.png").symlink_to("/nowhere.png")
    assert "Too many levels of symbolic links" in refusal(tmp_path / "loop.png")
    assert "is a link to /nowhere.png, which is missing" in refusal(tmp_path / "lost.png")


def test_impossible_names(tmp_path):
    assert "File name too long" in refusal(tmp_path / ("x" * 300))
    assert "embedded null byte" in refusal(tmp_path / "a\0b.png")
    assert "Not a directory" in refusal(saved(Image.new("L", (4, 4)), tmp_path / "a.png") / "b.png")


@pytest.fixture
def open_folder():
    """A folder that everybody may enter, and this process nobody in particular: root may read everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_what_may_not_be_read_is_said(open_folder):
    path = saved(Image.new("L", (4, 4)), open_folder / "secret.png")
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        assert "Permission denied" in refusal(path)
    finally:
        if root:
            os.seteuid(0)


def test_permission_is_asked_for(tmp_path, monkeypatch):
    path = saved(Image.new("L", (4, 4)), tmp_path / "secret.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "cannot be read (Permission denied)" in refusal(path)


@pytest.mark.skipif(sys.platform == "darwin", reason="names are Unicode there")
def test_names_that_are_no_text_or_have_line_ends(tmp_path):
    for name in (b"caf\xe9.png", b"a\nb.png"):
        path = tmp_path / os.fsdecode(name)
        saved(Image.new("RGB", (4, 4), RED), path)
        assert read_picture(path).getpixel((0, 0)) == RED
        path.write_text("no picture")
        assert "is no picture" in refusal(path)
    assert printable(os.fsdecode(b"caf\xe9.png")) == r"caf\udce9.png"
    assert printable("Tasse grün 茶壶") == "Tasse grün 茶壶"


def test_an_empty_file_is_said_to_be_one(tmp_path):
    (tmp_path / "empty.png").touch()
    assert "the file is empty" in refusal(tmp_path / "empty.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tif", "bmp", "jp2", "avif"])
def test_a_picture_cut_short_is_one_line(tmp_path, suffix):
    path = saved(Image.effect_noise((64, 64), 50).convert("RGB"), tmp_path / f"whole.{suffix}")
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.7):
        path.write_bytes(whole[: int(share * len(whole))])
        refusal(path)


def test_no_decoder_runs_anothers_code(tmp_path):
    assert not {"EPS", "WMF"} & set(formats())
    path = tmp_path / "harmless.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%touch /tmp/x) (w) file\n")
    assert "is no picture" in refusal(path)
    path.write_bytes(b"\x80\x04cposix\nsystem\n(Vtouch /tmp/x\ntR.")
    assert "is no picture" in refusal(path)


def test_endings_are_those_of_what_is_read():
    assert {".jpg", ".jfif", ".jpe", ".jp2", ".png", ".webp", ".avif", ".gif", ".tiff"} <= suffixes()
    assert not {".eps", ".ps", ".pdf", ".h5", ".txt", ".yaml", ".mpg"} & suffixes()


def test_heic_is_read_where_its_plugin_is_or_named(tmp_path):
    path = tmp_path / "phone.heic"
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        path.write_bytes(bytes(24))
        assert refusal(path).endswith("HEIC pictures need a plugin: pip install 'mti[heif]'")
        assert ".heic" not in suffixes()
    else:
        assert ".heic" in suffixes()
        saved(Image.new("RGB", (64, 32), RED), path)
        assert np.allclose(read_picture(path).getpixel((9, 9)), RED, atol=3)


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, "blue", "white")]
    for suffix in ("gif", "webp", "png", "tif"):
        options = {} if suffix != "webp" else {"lossless": True}
        path = saved(frames[0], tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], **options)
        assert read_picture(path).getpixel((4, 4)) == RED


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (70_000, 2)])
def test_odd_shapes_are_read(tmp_path, size):
    path = saved(Image.new("RGB", size, RED), tmp_path / "odd.png")
    assert read_picture(path).size == picture_size(path) == size


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_size_is_that_of_the_upright_picture(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.new("RGB", (40, 20), RED), tmp_path / f"phone.{suffix}", exif=exif)
    assert picture_size(path) == read_picture(path).size
    assert picture_size(path) == ((20, 40) if 5 <= orientation <= 8 else (40, 20))


def test_the_size_is_read_without_decoding(tmp_path):
    path = saved(Image.effect_noise((300, 200), 50).convert("RGB"), tmp_path / "noise.jpg")
    path.write_bytes(path.read_bytes()[:2000])
    assert picture_size(path) == (300, 200)
    refusal(path)
