"""As many tokens as the caption has, without its meaning."""

from __future__ import annotations

from dataclasses import replace

from mti.initializers.caption import Caption
from mti.types import InitialText, PreparedConcept, Tokenize


class MultiStar(Caption):
    """As many `*` as the caption initializer's text has tokens, joined by spaces."""

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
        """The stars; the caption that was counted is in the details."""
        caption = super().__call__(concept, tokenize)
        stars = " ".join("*" * len(tokenize(caption.text)))
        return replace(caption, text=stars, details={**caption.details, "caption": caption.text})
