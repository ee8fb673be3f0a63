"""The name of what is in the picture."""

from __future__ import annotations

from mti.initializers.perceived import Perceived
from mti.perception.focus import Focus
from mti.types import Perception


class Class(Perceived):
    """The label that a classifier gives the picture, or the thing in it that was clicked; or the recorded one."""

    def __init__(self, classifier: Perception, source: str = "model", focus: Focus | None = None) -> None:
        super().__init__("class", classifier, source, focus)
