"""A text of the user's own."""

from __future__ import annotations

from mti.types import InitialText, PreparedConcept, Tokenize, UserError


class Text:
    """The given text, as it is. `UserError` if there is none."""

    def __init__(self, text: str | int | float | None) -> None:
        self.raw = "" if text is None else str(text)
        self.text = " ".join(self.raw.split())
        if not self.text:
            raise UserError('init=text has no text: give one, such as init.text="a red teapot"')

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
        """The same for every concept."""
        return InitialText(self.text, "given", self.raw)
