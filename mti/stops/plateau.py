"""The loss no longer falls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from mti.ranges import AtLeast
from mti.stops.rule import Windowed


class Plateau(Windowed):
    """(best loss before the window − best loss within it) / best before < `below`: early stopping with patience.

    Prechelt 1998, "Early Stopping: but when?", and the patience of Keras' `EarlyStopping`, with a relative gain.
    """

    def __init__(
        self,
        every: Annotated[int, AtLeast(1)] = 5,
        window: Annotated[int, AtLeast(2)] = 50,
        below: Annotated[float, AtLeast(0)] = 0.01,
    ) -> None:
        super().__init__(every, window, below)

    def __call__(self, losses: Mapping[int, float]) -> bool:
        """Whether to stop."""
        before, within = self.split(losses)
        return bool(before) and min(before) - min(within) <= self.below * min(before)
