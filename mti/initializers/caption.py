"""A sentence about what is in the picture, or about the thing in it that was clicked."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol, runtime_checkable

from mti.initializers.described import Described, Source
from mti.perception.clean import clean
from mti.types import Concept, InitialText, Perception, PreparedConcept, UserError

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

    def release(self) -> None:
        """Let go of what was loaded."""
        ...


class Caption(Described):
    """What a captioner says of the picture, perhaps rewritten by a `refiner`; or the recorded caption.

    If the refiner fails, the captioner's words stay, and a line says so.
    """

    def __init__(self, captioner: Perception, source: Source = "model", refiner: Refiner | None = None) -> None:
        super().__init__("caption", captioner, source)
        self.refiner = refiner

    def check(self, concept: Concept) -> None:
        """Raise a `UserError` if a recorded caption is missing, or what the refiner needs."""
        super().check(concept)
        if self.refiner and self.source == "model":
            self.refiner.check()

    def release(self) -> None:
        """Let go of the captioner's weights and the refiner's."""
        super().release()
        if self.refiner:
            self.refiner.release()

    def _said(self, concept: PreparedConcept) -> InitialText:
        said = super()._said(concept)
        if not self.refiner:
            return said
        try:
            answer = self.refiner(said.text)
        except UserError as failure:
            log.warning("%s: the caption is not refined: %s", concept.name, failure)
            return replace(said, details={**said.details, "refiner": {"failure": str(failure)}})
        record = {"name": self.refiner.name, "caption": said.text, "answer": answer}
        return replace(said, text=clean(answer), details={**said.details, "refiner": record})
