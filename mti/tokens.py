"""Placeholder tokens: trainable embeddings behind the frozen vocabulary, and prompts as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mti.templates import SLOT
from mti.types import LatentDiffusion, UserError


class PlaceholderTable(nn.Module):
    """The trainable embeddings of a list of runs: one small fp32 parameter per run.

    Each placeholder starts as a copy of one token's row of the run's initial text, or as it is given. Its id lies
    after the frozen vocabulary, the runs one after the other; so no run's prompt can name another's embeddings.
    """

    def __init__(
        self, model: LatentDiffusion, starts: Sequence[Sequence[int] | Float[Tensor, "num_vectors width"]]
    ) -> None:
        super().__init__()
        table = model.embedding.detach().float()
        rows = [start.to(table) if isinstance(start, Tensor) else table[list(start)] for start in starts]
        self.embeddings = nn.ParameterList([row.clone() for row in rows])
        self._first = list(accumulate((len(row) for row in rows), initial=len(table)))

    def placeholders(self, run: int) -> list[int]:
        """The ids that stand for the embeddings of a run."""
        return list(range(self._first[run], self._first[run + 1]))

    def forward(self, active: Sequence[bool]) -> Float[Tensor, "num_vectors width"]:
        """All embeddings in the order of their ids; no gradient reaches those of inactive runs."""
        return torch.cat(
            [embeddings if on else embeddings.detach() for embeddings, on in zip(self.embeddings, active, strict=True)]
        )


def prompt_ids(model: LatentDiffusion, prompt: str, placeholders: Sequence[int]) -> list[int]:
    """A prompt's token ids with special tokens, padded, with the placeholders in place of every `{}`.

    Raises `UserError` if the prompt does not fit the model's context: it is refused, never cut.
    """
    return slotted_ids(model, prompt, [placeholders])


def slotted_ids(model: LatentDiffusion, prompt: str, placeholders: Sequence[Sequence[int]]) -> list[int]:
    """The same with the placeholders of several runs, which take turns in the places of `{}`."""
    first, *rest = prompt.split(SLOT)
    ids = model.token_ids(first)
    for i, part in enumerate(rest):
        ids += [*placeholders[i % len(placeholders)], *model.token_ids(part)]
    room = model.context_length - 2
    if len(ids) > room:
        counts = ", ".join(str(len(ones)) for ones in placeholders)
        raise UserError(
            f"the prompt {prompt!r} has {len(ids)} tokens with {counts} placeholders for each {SLOT}, "
            f"and {model.name} takes {room}: shorten the prompt or the initial text"
        )
    return model.with_special_tokens(ids)


def encode_distinct(
    model: LatentDiffusion,
    ids: Int[Tensor, "batch context"],
    embeddings: Float[Tensor, "num_vectors width"],
    batch_size: int | None = None,
) -> tuple[Float[Tensor, "distinct context channels"], Int[Tensor, " batch"]]:
    """`model.encode_text` of each distinct prompt, so many at a time; and which of them each prompt is."""
    distinct, which = torch.unique(ids, dim=0, return_inverse=True)
    parts = distinct.split(batch_size or len(distinct))
    return torch.cat([model.encode_text(part, embeddings) for part in parts]), which
