"""What the class and the caption initializer share: words seen in the picture, or recorded with it."""

from __future__ import annotations

from mti.images import read_picture
from mti.perception.clean import clean
from mti.types import Concept, InitialText, Perception, Tokenize, UserError

SOURCES = ("model", "recorded")


class Perceived:
    """The cleaned text that a perception model says of the concept's first picture, or that its record has.

    Raises `UserError` when made with another `source` than those, and when called for a concept
    without the record.
    """

    def __init__(self, name: str, record: str, perception: Perception, source: str) -> None:
        if source not in SOURCES:
            raise UserError(f"init.source={source} is none of {', '.join(SOURCES)}")
        self.name = name
        self.record = record
        self.perception = perception
        self.source = source

    def __call__(self, concept: Concept, tokenize: Tokenize) -> InitialText:
        """The text, with all guesses and their scores in its details."""
        return self._seen(concept) if self.source == "model" else self._recorded(concept)

    def _seen(self, concept: Concept) -> InitialText:
        guesses = self.perception(read_picture(concept.pictures[0]))
        details = {"guesses": [guess._asdict() for guess in guesses]}
        return InitialText(clean(guesses[0].text), self.perception.name, guesses[0].text, details)

    def _recorded(self, concept: Concept) -> InitialText:
        raw = concept.recorded.get(self.record)
        if not raw:
            raise UserError(
                f"no {self.record} is recorded for {concept.name}: let a model look with init.source=model, "
                'or give the words with init=text init.text="…"'
            )
        return InitialText(clean(raw), "recorded", raw)
