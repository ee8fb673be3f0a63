"""The rows that a run starts from: those of its initial text's tokens, in the number that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mti.noise import generator
from mti.types import InitialText, LatentDiffusion, UserError

Padding = Literal["repeat", "star", "mean", "spread"]


@dataclass(frozen=True)
class Start:
    """The tokens that name the rows in records, and the rows themselves where they are no copies of those tokens'."""

    token_ids: list[int]
    rows: Float[Tensor, "num_vectors width"] | None = None


def start_of(
    model: LatentDiffusion,
    text: InitialText,
    seed: int,
    image: str,
    num_vectors: int | None = None,
    padding: Padding = "repeat",
) -> Start:
    """The rows for a text, padded or spread to `num_vectors`.

    Raises:
        UserError: the text's embeddings are of another width than the model's, or it has more tokens than asked for.
    """
    ids, rows = model.token_ids(text.text), None
    if text.rows is not None:
        rows = text.rows(model, ids, generator("start", seed, image))
    if text.embeddings is not None:
        ids, rows = model.token_ids("*") * len(text.embeddings), text.embeddings
    if rows is not None:
        width, wanted = rows.shape[1], model.embedding.shape[1]
        if width != wanted:
            raise UserError(f"{text.raw} has tokens of width {width}, {model.name} takes {wanted}: give another")
    if num_vectors is None or num_vectors == len(ids):
        return Start(ids, rows)
    if num_vectors < len(ids) and padding != "spread":
        raise UserError(
            f"init.num_vectors={num_vectors}: {text.text!r} has {len(ids)} tokens; give at least as many, "
            "or init.padding=spread"
        )
    return resized(model, ids, rows, num_vectors, padding)


def starts_of(
    model: LatentDiffusion,
    text: InitialText,
    seed: int,
    image: str,
    num_vectors: int | None = None,
    padding: Padding = "repeat",
) -> list[tuple[InitialText, Start]]:
    """A text with its rows; of a text that is to be found by a race, all candidates, with equally many rows.

    Those are `num_vectors`, or as many as the longest has tokens. A candidate that is too long is left out.

    Raises:
        UserError: see `start_of`.
    """
    if not text.candidates:
        return [(text, start_of(model, text, seed, image, num_vectors, padding))]
    lengths = [len(model.token_ids(one.text)) for one in text.candidates]
    wanted = num_vectors or max(lengths)
    fit = [one for one, own in zip(text.candidates, lengths, strict=True) if own <= wanted or padding == "spread"]
    return [(one, start_of(model, one, seed, image, wanted, padding)) for one in fit or text.candidates]


def resized(model: LatentDiffusion, ids: list[int], rows: Tensor | None, num_vectors: int, padding: Padding) -> Start:
    """Rows in another number.

    `repeat` begins the text anew where it ends, `star` goes on with `*`, `mean` with the mean of the vocabulary's
    rows. `spread` puts as many points as are asked for along the line through the text's rows, evenly from the first
    to the last; only it can make them fewer.
    """
    table, (star,) = model.embedding.detach(), model.token_ids("*")
    own = (table[ids] if rows is None else rows).float().cpu()
    if padding == "repeat":
        turns = [i % len(ids) for i in range(num_vectors)]
        return Start([ids[i] for i in turns], None if rows is None else own[turns])
    if padding in ("star", "mean"):
        more = num_vectors - len(ids)
        row = table[star].float() if padding == "star" else table.float().mean(dim=0)
        copied = padding == "star" and rows is None
        return Start(ids + [star] * more, None if copied else torch.cat([own, row.cpu().expand(more, -1)]))
    line = F.interpolate(own.T[None], num_vectors, mode="linear", align_corners=True)[0].T
    return Start([star] * num_vectors, line.contiguous())
