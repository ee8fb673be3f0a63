"""Pictures: from any file to RGB, from RGB to the tensors that models see, and back.

A file is data of a stranger's: no decoder is asked that runs another program or code of the file's own.
"""

from __future__ import annotations

import functools
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mti.types import UserError

# EPS runs Ghostscript, WMF what Windows has; of the others Pillow knows the name alone.
REFUSED = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})
ORIENTATION = 0x0112  # the EXIF tag
HEIF = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
HEIF_NEEDED = "HEIC pictures need a plugin: pip install 'mti[heif]'"


@functools.cache
def formats() -> tuple[str, ...]:
    """The names of the formats that are read, as Pillow has them; HEIF where pillow-heif is installed."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in Image.OPEN if name not in REFUSED)


@functools.cache
def suffixes() -> frozenset[str]:
    """The endings, in lower case, of files in one of the `formats`."""
    read = formats()  # first, for it may register more
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in read)


def printable(name: str | Path) -> str:
    """A name in one line that any terminal takes: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(name))


def read_picture(path: Path) -> Image.Image:
    """The picture in a file as RGB, upright as its EXIF orientation says; the first frame if it is animated.

    Transparent parts become white, 16-bit pictures 8-bit. A file that is missing, not to be read, no
    picture, or larger than Pillow's limit against decompression bombs (`Image.MAX_IMAGE_PIXELS`) is a `UserError`.
    """
    with _opened(path) as picture:
        upright = ImageOps.exif_transpose(picture)
    return _rgb(upright)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of the picture in a file, upright, from its header alone. Errors as in `read_picture`."""
    with _opened(path) as picture:
        width, height = picture.size
        lies = picture.getexif().get(ORIENTATION) in range(5, 9) and picture.format != "TIFF"  # turned when opened
    return (height, width) if lies else (width, height)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture file whose header has been read; a file's faults become a `UserError`, now and while it is decoded."""
    check_file(path)
    name = printable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata of readable files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats()) as picture:
                yield picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(f"{name} is too large: it has more than {limit} million pixels, scale it down first") from None
    except UnidentifiedImageError:
        if path.suffix.lower() in HEIF - suffixes():
            raise UserError(f"{name} cannot be read: {HEIF_NEEDED}") from None
        raise UserError(f"{name} is no picture, or in a format that is not read: save it as PNG or JPEG") from None
    except Exception as error:  # on a broken file the decoders raise whatever they stumble over
        reason = printable(" ".join(str(error).split()))
        raise UserError(f"{name} cannot be read as a picture ({reason}): save it anew as PNG or JPEG") from error


def check_file(path: Path) -> None:
    """Raise a `UserError` unless there is a regular file that may be read: a pipe would be waited for for ever."""
    name = printable(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        what = (
            f" is a link to {printable(os.readlink(path))}, which is missing" if path.is_symlink() else ": no such file"
        )
        raise UserError(f"{name}{what}") from None
    except (OSError, ValueError) as error:  # a loop of links, a folder that may not be entered, an impossible name
        raise UserError(f"{name} cannot be read ({_reason(error)})") from None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or the like"
        raise UserError(f"{name} cannot be read as a picture: it is {what}, no file")
    if not os.access(path, os.R_OK):
        raise UserError(f"{name} cannot be read (Permission denied): change its permissions, or copy it")
    if not status.st_size:
        raise UserError(f"{name} is no picture: the file is empty")


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB. Greys of more than 8 bits are taken as 16-bit, floating-point ones as in [0, 1]."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        white = 1 if picture.mode == "F" else 65535
        grey = np.asarray(picture, np.float32) * (255 / white)
        picture = Image.fromarray(np.nan_to_num(grey).round().clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def to_tensor(square: Image.Image, size: int) -> Float[Tensor, "3 size size"]:
    """An RGB square scaled to `size` (bicubic, antialiased), in [-1, 1]."""
    if square.width != square.height:
        raise ValueError(f"a picture of {square.width}×{square.height} pixels is no square")
    scaled = square.resize((size, size), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(scaled, np.float32))
    return (pixels / 127.5 - 1).permute(2, 0, 1).contiguous()


def to_tensors(squares: Sequence[Image.Image], size: int) -> Float[Tensor, "pictures 3 size size"]:
    """Several squares as `to_tensor` gives them."""
    return torch.stack([to_tensor(square, size) for square in squares])


def to_pil(picture: Float[Tensor, "3 height width"]) -> Image.Image:
    """A picture in [-1, 1], clamped to that range, as RGB."""
    pixels = ((picture.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
