"""The concept that lies at a path: a picture file, or a folder of pictures."""

from __future__ import annotations

import os
from pathlib import Path

from mti.concepts.captions import caption_file
from mti.concepts.identity import concept_name
from mti.images import HEIF, HEIF_NEEDED, picture_size, printable, suffixes
from mti.types import Concept, UserError

POCKET = Path(__file__).parents[1] / "pocket" / "concepts"


def concept_at(path: Path) -> Concept:
    """The concept of a picture file, or of a folder of pictures: those of its files that can be read as such.

    Raises:
        UserError: the folder cannot be read, or has no pictures in it.
    """
    if not os.path.isdir(path):
        return Concept(concept_name(path.stem), (path,))
    skipped = {file.name: _why_skipped(file) for file in files_in(path)}
    pictures = tuple(path / name for name, why in skipped.items() if not why)
    captions = {caption_file(picture).name for picture in pictures}
    reasons = {printable(name): why for name, why in skipped.items() if why and name not in captions}
    if not pictures:
        files = "".join(f"; {name}: {why}" for name, why in list(reasons.items())[:3])
        raise UserError(f"{printable(path)} has no pictures in it that can be read{files}")
    return Concept(concept_name(path.name), pictures, skipped=reasons)


def files_in(folder: Path) -> list[Path]:
    """All that is in a folder and not hidden, sorted by name. `UserError` if it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{printable(folder)} cannot be read ({error.strerror}): change its permissions") from None


def has_picture_suffix(path: Path) -> bool:
    """Whether a file's ending is that of a picture."""
    return path.suffix.lower() in suffixes()


def _why_skipped(path: Path) -> str:
    """Why a file of a folder of pictures is not used; empty if it is."""
    if path.is_dir():
        return "a folder"
    if not has_picture_suffix(path):
        return HEIF_NEEDED if path.suffix.lower() in HEIF else "no picture"
    try:
        picture_size(path)
    except UserError as error:
        return str(error).removeprefix(printable(path)).lstrip(": ")
    return ""
