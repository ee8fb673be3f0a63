"""What a perception model is shown of a drawing: all of it, or the thing cut out, as a click in a picture does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

WAYS = ("whole", "white", "kept")  # the whole picture; the thing on white; the thing and what is behind it
MARGIN = 0.1  # as conf has it


def shown(
    pictures: Float[Tensor, "batch 3 size size"],
    masks: Bool[Tensor, "batch size size"],
    how: Sequence[str],
    margins: Sequence[float] = (),
) -> Float[Tensor, "batch 3 size size"]:
    """Pictures in [-1, 1] as they are looked at, each in one of `WAYS`; an empty mask leaves the whole picture."""
    size = pictures.shape[-1]
    boxes, white = [], torch.zeros(len(pictures), 1, 1, 1, dtype=torch.bool)
    for index, way in enumerate(how):
        box = (0, 0, size, size)
        if way != "whole" and masks[index].any():
            box = square_around(masks[index], margins[index] if margins else MARGIN)
            white[index] = way == "white"
        boxes.append(box)
    on_white = torch.where(masks[:, None].to(pictures.device), pictures, torch.ones_like(pictures))
    return cropped(torch.where(white.to(pictures.device), on_white, pictures), boxes)


def square_around(mask: Bool[Tensor, "height width"], margin: float) -> tuple[int, int, int, int]:
    """The square around a mask with a margin, moved and cut so as to stay inside: left, top, right, bottom."""
    spans = []
    for axis, size in ((0, mask.shape[1]), (1, mask.shape[0])):
        places = mask.any(axis).nonzero().flatten()
        spans.append((int(places[0]), int(places[-1]) + 1, size))
    side = round((1 + 2 * margin) * max(last - first for first, last, _ in spans))
    ends = []
    for first, last, size in spans:
        length = min(side, size)
        start = min(max(round((first + last - length) / 2), 0), size - length)
        ends.append((start, start + length))
    (left, right), (top, bottom) = ends
    return left, top, right, bottom


def cropped(
    pictures: Float[Tensor, "batch 3 size size"], boxes: Sequence[tuple[int, int, int, int]]
) -> Float[Tensor, "batch 3 size size"]:
    """Each picture's square box (left, top, right, bottom in pixels), as large as the whole picture."""
    size = pictures.shape[-1]
    places = torch.tensor(boxes, dtype=torch.float32, device=pictures.device) / size * 2 - 1
    middle, half = (places[:, :2] + places[:, 2:]) / 2, (places[:, 2:] - places[:, :2]) / 2
    affine = torch.diag_embed(half)
    grid = F.affine_grid(torch.cat([affine, middle[:, :, None]], 2), list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, "bilinear", "border", align_corners=False)
