"""Pictures of a run folder: always PNG, numbered or named by what they show, and read back as RGB."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from mti.files import DamagedFile, atomic, read_bytes, safe_name, write_json
from mti.outputs.plain_data import read_shaped

BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    OverflowError,
    Image.DecompressionBombError,
)
"""What Pillow's PNG decoder raises on a broken file."""


def save_picture(path: Path, picture: Image.Image, largest: int | None = None) -> None:
    """Keep one picture, at most so many pixels wide and high."""
    small = picture.convert("RGB")
    if largest:
        small.thumbnail((largest, largest))
    with atomic(path) as draft:
        small.save(draft, "PNG")


def save_pictures(folder: Path, pictures: Mapping[str, Image.Image]) -> None:
    """Keep pictures by name, in place of what the folder holds."""
    with atomic(folder) as draft:
        draft.mkdir()
        _write({draft / f"{safe_name(name)}.png": picture for name, picture in pictures.items()})


def save_prompted(folder: Path, pictures: Mapping[str, Sequence[Image.Image]]) -> None:
    """Keep several pictures of each prompt, `<number of the prompt>-<number>.png`, and prompts.json."""
    with atomic(folder) as draft:
        draft.mkdir()
        write_json(draft / "prompts.json", list(pictures))
        names = (
            (f"{number}-{i}.png", one) for number, many in enumerate(pictures.values()) for i, one in enumerate(many)
        )
        _write({draft / name: picture for name, picture in names})


def _write(pictures: Mapping[Path, Image.Image]) -> None:
    """Several at once: 512 × 512 pixels take a core 0.07 s to compress, which a GPU would wait for."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done in [threads.submit(picture.save, path) for path, picture in pictures.items()]:
            done.result()


def prompted_pictures(folder: Path, remedy: str) -> dict[str, list[Image.Image]]:
    """What `save_prompted` kept; empty without the folder.

    Raises:
        DamagedFile: the folder, prompts.json or a picture cannot be read.
    """
    if not names_in(folder, remedy):
        return {}
    prompts = read_shaped(folder / "prompts.json", remedy, [str])
    return {prompt: numbered_pictures(folder, remedy, f"{number}-") for number, prompt in enumerate(prompts)}


def named_pictures(folder: Path, remedy: str) -> dict[str, Image.Image]:
    """The pictures of a folder by their names; none without the folder.

    Raises:
        DamagedFile: the folder or a picture cannot be read.
    """
    names = [name.removesuffix(".png") for name in names_in(folder, remedy) if name.endswith(".png")]
    return {name: read_picture(folder / f"{name}.png", remedy) for name in names}


def read_picture(path: Path, remedy: str) -> Image.Image:
    """The PNG picture in a file, as RGB.

    Raises:
        DamagedFile: the file cannot be read, or is no whole picture.
    """
    content = read_bytes(path, remedy)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            return picture.convert("RGB")
    except BROKEN:
        raise DamagedFile(path, "is not a whole picture", remedy) from None


def numbered_pictures(folder: Path, remedy: str, prefix: str = "") -> list[Image.Image]:
    """The pictures `<prefix><number>.png` of a folder, in the order of their numbers; none without the folder.

    Raises:
        DamagedFile: the folder or a picture cannot be read, or one of the numbers is missing.
    """
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)\.png", re.ASCII)
    numbers = sorted(int(match[1]) for name in names_in(folder, remedy) if (match := pattern.fullmatch(name)))
    missing = set(range(len(numbers))) - set(numbers)
    if missing:
        raise DamagedFile(folder / f"{prefix}{min(missing)}.png", "does not exist", remedy)
    return [read_picture(folder / f"{prefix}{number}.png", remedy) for number in numbers]


def numbered_folders(folder: Path, remedy: str) -> list[int]:
    """The numbers that folders in a folder have as their names, in order; none without the folder."""
    names = [name for name in names_in(folder, remedy) if re.fullmatch(r"\d+", name, re.ASCII)]
    return sorted(int(name) for name in names)


def names_in(folder: Path, remedy: str) -> list[str]:
    """The names in a folder, sorted; none without the folder.

    Raises:
        DamagedFile: it may not be read, or is no folder.
    """
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DamagedFile(folder, f"cannot be read ({error.strerror})", remedy) from error
