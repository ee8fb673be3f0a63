"""AdamW, after whose steps rows are as long as the vocabulary's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mti.optimizers.adamw import AdamW
from mti.rows import Group, Vocabulary, set_norms


class KeepNorm(AdamW):
    """After each step of AdamW every row gets the median norm of the vocabulary's rows.

    Learned rows reach many times the vocabulary's norm, and drown the words beside them. The idea is that of
    OneTrainer's `preserve_embedding_norm`. The first step changes the norm of the initial rows too.
    """

    keeps_norms = True

    def __call__(self, groups: Sequence[Group], vocabulary: Vocabulary) -> torch.optim.Optimizer:
        """One torch optimizer for the rows of all runs."""
        optimizer = super().__call__(groups, vocabulary)

        def rescale(*_: Any) -> None:
            for group in optimizer.param_groups:
                for rows in group["params"]:
                    if rows.grad is not None:
                        set_norms(rows, vocabulary.widths, vocabulary.medians)

        optimizer.register_step_post_hook(rescale)
        return optimizer
