"""What the rules share: how often they are asked, and how far they look back."""

from __future__ import annotations

from collections.abc import Mapping

from mti.types import UserError


class Windowed:
    """A rule that compares the losses of the last `window` updates with those before or with all.

    Args:
        every: updates between two measurements of the evaluation loss; no pictures are drawn for them.
        window: updates that the rule looks back on.
        below: the run stops once the rule's number is lower.
    """

    def __init__(self, every: int, window: int, below: float) -> None:
        if window < 2 * every:
            raise UserError(
                f"stop.window={window}: expected at least {2 * every}, "
                f"two measurements, as the loss is measured every {every} updates (stop.every)"
            )
        self.every, self.window, self.below = every, window, below

    def split(self, losses: Mapping[int, float]) -> tuple[list[float], list[float]]:
        """The losses before the window, and those within it; none before if the run is younger than the window."""
        edge = max(losses) - self.window
        return [loss for step, loss in losses.items() if step <= edge], [
            loss for step, loss in losses.items() if step > edge
        ]
