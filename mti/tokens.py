"""Placeholder tokens: trainable rows behind the frozen vocabulary, and prompts as token ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mti.types import LatentDiffusion, UserError

HOLE = "{}"


class TokenTable(nn.Module):
    """The trainable rows of a list of runs: one small fp32 parameter per run.

    Each placeholder starts as a copy of one token's row of the run's initial text. Its id lies after
    the frozen vocabulary, the runs one after the other; so no run's prompt can name another's rows.
    """

    def __init__(self, model: LatentDiffusion, token_ids: Sequence[Sequence[int]]):
        super().__init__()
        table = model.embedding.detach().float()
        self.rows = nn.ParameterList([table[list(ids)].clone() for ids in token_ids])
        self._vocabulary = len(table)

    def placeholders(self, run: int) -> list[int]:
        """The ids that stand for the rows of a run."""
        start = self._vocabulary + sum(len(rows) for rows in list(self.rows)[:run])
        return list(range(start, start + len(self.rows[run])))

    def forward(self, active: Sequence[bool]) -> Float[Tensor, "rows width"]:
        """All rows in the order of their ids; no gradient reaches those of inactive runs."""
        return torch.cat([rows if on else rows.detach() for rows, on in zip(self.rows, active, strict=True)])


def prompt_ids(model: LatentDiffusion, prompt: str, placeholders: Sequence[int]) -> list[int]:
    """A prompt's framed token ids, with the placeholders in place of every `{}`.

    Raises `UserError` if the prompt does not fit the model's context: it is refused, never cut.
    """
    first, *rest = prompt.split(HOLE)
    ids = model.token_ids(first)
    for part in rest:
        ids += [*placeholders, *model.token_ids(part)]
    room = model.context_length - 2
    if len(ids) > room:
        raise UserError(
            f"the prompt {prompt!r} has {len(ids)} tokens with {len(placeholders)} placeholders for each {HOLE}, "
            f"and {model.name} takes {room}: shorten the prompt or the initial text"
        )
    return model.framed(ids)


def encode_distinct(
    model: LatentDiffusion,
    ids: Int[Tensor, "batch context"],
    rows: Float[Tensor, "rows width"],
    batch_size: int | None = None,
) -> tuple[Float[Tensor, "distinct context channels"], Int[Tensor, " batch"]]:
    """`model.encode_text` of each distinct prompt, so many at a time; and which of them each prompt is."""
    distinct, which = torch.unique(ids, dim=0, return_inverse=True)
    parts = distinct.split(batch_size or len(distinct))
    return torch.cat([model.encode_text(part, rows) for part in parts]), which
