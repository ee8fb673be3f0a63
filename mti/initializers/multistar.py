"""As many tokens as the caption has, without its meaning."""

from __future__ import annotations

from dataclasses import replace

from mti.initializers.caption import Caption, Refiner
from mti.perception.focus import Focus
from mti.types import Concept, InitialText, Perception, Tokenize


class MultiStar:
    """As many `*` as the caption initializer's text has tokens, joined by spaces."""

    def __init__(
        self,
        captioner: Perception,
        source: str = "model",
        focus: Focus | None = None,
        refiner: Refiner | None = None,
    ) -> None:
        self.caption = Caption(captioner, source, focus, refiner)

    def check(self, concept: Concept) -> None:
        """See `Caption`."""
        self.caption.check(concept)

    def __call__(self, concept: Concept, tokenize: Tokenize) -> InitialText:
        """The stars; the caption that was counted is in the details."""
        caption = self.caption(concept, tokenize)
        stars = " ".join("*" * len(tokenize(caption.text)))
        return replace(caption, text=stars, details={**caption.details, "caption": caption.text})
