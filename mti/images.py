"""Pictures: from any file to RGB, from RGB to the tensors that models see, and back."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mti.types import Concept, UserError


def read_picture(path: Path) -> Image.Image:
    """The picture in a file as RGB, upright as its EXIF orientation says; the first frame if it is animated.

    Transparent parts become white, 16-bit pictures 8-bit. A file that is missing, no picture, or larger
    than Pillow's limit against decompression bombs (`Image.MAX_IMAGE_PIXELS`) is a `UserError`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata of readable files
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return _rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(f"{path} is too large: it has more than {limit} million pixels, scale it down first") from None
    except UnidentifiedImageError:
        raise UserError(f"{path} is no picture, or in a format that cannot be read: save it as PNG or JPEG") from None
    except Exception as error:  # on a broken file the decoders raise whatever they stumble over
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as a picture ({reason}): save it anew as PNG or JPEG") from error


def _rgb(picture: Image.Image) -> Image.Image:
    """Any mode to RGB. Greys of more than 8 bits are taken as 16-bit, floating-point ones as in [0, 1]."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        white = 1 if picture.mode == "F" else 65535
        grey = np.asarray(picture, np.float32) * (255 / white)
        picture = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def to_tensor(picture: Image.Image, size: int) -> Float[Tensor, "3 size size"]:
    """The largest square in the middle of an RGB picture, scaled to `size` (bicubic, antialiased), in [-1, 1]."""
    square = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(square, np.float32))
    return (pixels / 127.5 - 1).permute(2, 0, 1).contiguous()


def to_pil(picture: Float[Tensor, "3 height width"]) -> Image.Image:
    """A picture in [-1, 1], clamped to that range, as RGB."""
    pixels = ((picture.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def load_pictures(concept: Concept, size: int) -> Float[Tensor, "pictures 3 size size"]:
    """All pictures of a concept as `to_tensor` gives them."""
    return torch.stack([to_tensor(read_picture(path), size) for path in concept.pictures])
