"""What the class and the caption initializer share: words of a model that looks at the concept, or recorded ones."""

from __future__ import annotations

from typing import Literal

from mti.perception.clean import clean, without_white_background
from mti.types import Concept, Guess, InitialText, Perception, PreparedConcept, Tokenize, UserError

Source = Literal["model", "recorded"]


class Described:
    """The cleaned text that a perception model says of `PreparedConcept.described`, or that the concept's record has.

    `record` is what the text is called there. `UserError` if the concept has no such record, or the model's
    words are none.
    """

    def __init__(self, record: str, perception: Perception, source: Source) -> None:
        self.record = record
        self.perception = perception
        self.source = source

    def check(self, concept: Concept) -> None:
        """Raise a `UserError` if the text is to be the recorded one, and there is none."""
        if self.source == "recorded":
            self._recorded(concept)

    def release(self) -> None:
        """Let go of the perception model's weights."""
        self.perception.release()

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
        """The text, with all guesses and their scores in its details."""
        return self._said(concept) if self.source == "model" else self._recorded(concept)

    def _said(self, concept: PreparedConcept) -> InitialText:
        guesses = self.perception(concept.described)
        raw, text = _first_words(guesses)
        if concept.on_white:
            text = without_white_background(text)
        return InitialText(text, self.perception.name, raw, {"guesses": [guess._asdict() for guess in guesses]})

    def _recorded(self, concept: Concept | PreparedConcept) -> InitialText:
        raw = concept.recorded.get(self.record)
        if not raw:
            raise UserError(
                f"no {self.record} is recorded for {concept.name}: let a model look with init.source=model, "
                'or give the words with init=text init.text="…"'
            )
        return InitialText(clean(raw), "recorded", raw)


def _first_words(guesses: list[Guess]) -> tuple[str, str]:
    """The best guess that has words in it, as it came and cleaned."""
    for guess in guesses[:-1]:
        try:
            return guess.text, clean(guess.text)
        except UserError:
            continue
    return guesses[-1].text, clean(guesses[-1].text)
