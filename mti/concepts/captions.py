"""Prompts of a picture's own: what its caption says of the surroundings, the learned rows need not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mti.files import read_lines
from mti.images import printable
from mti.templates import SLOT
from mti.types import UserError


def caption_file(picture: Path) -> Path:
    """Where a picture's prompts are: `mug/1.txt` of `mug/1.png`."""
    return picture.with_suffix(".txt")


def captions_of(pictures: Sequence[Path]) -> list[list[str]]:
    """The prompts in the text file beside each picture, one a line, such as "a photo of {} on a table".

    Files of that kind are those of kohya's sd-scripts and OneTrainer.

    Raises:
        UserError: a picture has no such file, or a line in it has no `{}`.
    """
    return [_prompts(caption_file(picture), picture) for picture in pictures]


def _prompts(file: Path, picture: Path) -> list[str]:
    remedy = f"write a prompt for {printable(picture.name)} into it, such as 'a photo of {SLOT} on a table'"
    prompts = read_lines(file, remedy)
    for prompt in prompts:
        if SLOT not in prompt:
            raise UserError(f"{printable(file)} has {prompt!r}: put {SLOT} where the learned tokens go")
    return prompts
