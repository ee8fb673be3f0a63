"""A sentence about what is in the picture, or about the thing in it that was clicked."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol, runtime_checkable

from mti.initializers.perceived import Perceived
from mti.perception.clean import clean
from mti.perception.focus import Focus
from mti.types import Concept, InitialText, Perception, UserError

log = logging.getLogger("mti")


@runtime_checkable
class Refiner(Protocol):
    """Rewrites a caption, or raises a `UserError`."""

    name: str

    def check(self) -> None:
        """Raise a `UserError` for what is known to be missing before it is asked."""
        ...

    def __call__(self, caption: str) -> str:
        """The caption in other words."""
        ...


class Caption(Perceived):
    """What a captioner says of the picture, perhaps rewritten by a `refiner`; or the recorded caption.

    If the refiner fails, the captioner's words stay, and a line says so.
    """

    def __init__(
        self,
        captioner: Perception,
        source: str = "model",
        focus: Focus | None = None,
        refiner: Refiner | None = None,
    ) -> None:
        super().__init__("caption", captioner, source, focus)
        self.refiner = refiner

    def check(self, concept: Concept) -> None:
        """See `Perceived`; and so for the refiner."""
        super().check(concept)
        if self.refiner and self.source == "model":
            self.refiner.check()

    def _seen(self, concept: Concept) -> InitialText:
        seen = super()._seen(concept)
        if not self.refiner:
            return seen
        try:
            answer = self.refiner(seen.text)
        except UserError as failure:
            log.warning("%s: the caption is not refined: %s", concept.name, failure)
            return replace(seen, details={**seen.details, "refiner": {"failure": str(failure)}})
        record = {"name": self.refiner.name, "caption": seen.text, "answer": answer}
        return replace(seen, text=clean(answer), details={**seen.details, "refiner": record})
