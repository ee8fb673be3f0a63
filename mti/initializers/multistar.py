"""As many tokens as the caption has, without its meaning."""

from __future__ import annotations

from mti.initializers.caption import Caption
from mti.types import Concept, InitialText, Perception, Tokenize


class MultiStar:
    """As many `*` as the caption initializer's text has tokens, joined by spaces."""

    def __init__(self, captioner: Perception, source: str = "model", name: str = "multistar") -> None:
        self.name = name
        self.caption = Caption(captioner, source)

    def __call__(self, concept: Concept, tokenize: Tokenize) -> InitialText:
        """The stars; the caption that was counted is in the details."""
        caption = self.caption(concept, tokenize)
        stars = " ".join("*" * len(tokenize(caption.text)))
        return InitialText(stars, caption.source, caption.raw, {**caption.details, "caption": caption.text})
