"""What the class and the caption initializer share: words seen in the picture, or recorded with it."""

from __future__ import annotations

from mti.images import read_picture
from mti.perception.clean import clean, without_white_background
from mti.perception.focus import Focus, Sight
from mti.types import Concept, InitialText, Perception, Tokenize, UserError

SOURCES = ("model", "recorded")


class Perceived:
    """The cleaned text that a perception model says of the concept's first picture, or that its record has.

    The model is shown what `focus` leaves of the picture; without one, all of it. Raises `UserError` when
    made with another `source` than those, or with clicks that a record knows nothing of, and when called
    for a concept without the record.
    """

    def __init__(self, record: str, perception: Perception, source: str, focus: Focus | None) -> None:
        if source not in SOURCES:
            raise UserError(f"init.source={source} is none of {', '.join(SOURCES)}")
        if source == "recorded" and focus and focus.clicks:
            raise UserError(f"{focus.clicks} is for a model to look at: leave it out, or init.source=recorded")
        self.record = record
        self.perception = perception
        self.source = source
        self.focus = focus

    def check(self, concept: Concept) -> None:
        """Raise a `UserError` if what is clicked cannot be looked at, without loading any weights."""
        if self.focus and self.focus.clicks:
            self.focus.check(read_picture(concept.pictures[0]))

    def __call__(self, concept: Concept, tokenize: Tokenize) -> InitialText:
        """The text, with all guesses and their scores in its details."""
        return self._seen(concept) if self.source == "model" else self._recorded(concept)

    def _seen(self, concept: Concept) -> InitialText:
        picture = read_picture(concept.pictures[0])
        sight = self.focus(picture) if self.focus else Sight(picture)
        guesses = self.perception(sight.picture)
        raw = guesses[0].text
        text = without_white_background(clean(raw)) if sight.replaced else clean(raw)
        details = {**sight.details, "guesses": [guess._asdict() for guess in guesses]}
        return InitialText(text, self.perception.name, raw, details, sight.pictures)

    def _recorded(self, concept: Concept) -> InitialText:
        raw = concept.recorded.get(self.record)
        if not raw:
            raise UserError(
                f"no {self.record} is recorded for {concept.name}: let a model look with init.source=model, "
                'or give the words with init=text init.text="…"'
            )
        return InitialText(clean(raw), "recorded", raw)
