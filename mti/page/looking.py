"""What is found where one clicks, and the text and the tokens that each start would have."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from mti.concepts.clicks import Clicks, resolve_clicks
from mti.concepts.prepared import prepare_concept
from mti.errors import UserError
from mti.images import read_picture
from mti.page.commands import STARTS, Choice, Commands
from mti.parts import Parts
from mti.schema import RunConfig
from mti.types import Concept, Guess, PreparedConcept, Tokenize

LARGE = 512  # pixels of the longer side, at least, of a picture that is shown to click on


@dataclass(frozen=True)
class StartText:
    """What a start would begin with."""

    init: str
    text: str
    tokens: Sequence[str]
    guesses: tuple[Guess, ...]  # of the model that looked, best first; empty if none did


@dataclass(frozen=True)
class Seen:
    """What is seen in a picture.

    Attributes:
        size: of the picture itself, in pixels.
        shown: the picture, or its overlay if a thing is clicked, enlarged where it is small.
        described: what the models look at, if a thing is clicked.
        clicks: None if nothing is pointed at.
        starts: the texts.
        notes: warnings, and what kept a start from having a text.
    """

    size: tuple[int, int]
    shown: Image.Image
    described: Image.Image | None
    clicks: Clicks | None
    starts: Sequence[StartText]
    notes: Sequence[str]


class Looking:
    """Looks at pictures; the models that look stay loaded, so that a second click is answered at once."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self._parts = Parts()
        self._initializers: dict[tuple[str, str], Any] = {}  # by start and, of `text`, its words
        self._one_at_a_time = threading.Lock()

    def names(self) -> list[str]:
        """The concepts of the data set; none if it has none of its own."""
        try:
            return self._parts.build(self.commands.defaults.dataset).names()
        except UserError:  # of dataset=folder without a root
            return []

    def __call__(self, choice: Choice) -> Seen:
        """Look at what is chosen.

        Raises:
            UserError: the picture cannot be read, a click is out of it, or weights are missing.
        """
        with self._one_at_a_time, _heard() as notes:
            config = self.commands.run_of(choice, "star")
            concept = self._concept(config)
            clicks = resolve_clicks(config.click, config.outside, config.box, concept)
            prepared = prepare_concept(
                concept,
                clicks,
                config.crop,
                self._parts.build(config.segmenter),
                config.init.background,
                config.init.margin,
            )
            starts = []
            for init in STARTS:
                if init == "text" and not choice.text.split():
                    continue
                try:
                    starts.append(self._start(choice, init, prepared))
                except UserError as error:
                    notes.append(f"{init}: {error}")
            picture = read_picture(concept.pictures[0])
            shown = prepared.shown.get("overlay") or _enlarged(picture)
            described = prepared.described if clicks else None
            return Seen(picture.size, shown, described, clicks, starts, list(dict.fromkeys(notes)))

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text. `UserError` if the model is not there."""
        return self._tokenize(" ".join(text.split()))

    def _concept(self, config: RunConfig) -> Concept:
        data = self._parts.build(config.dataset)
        data.check(config.image)
        return data.concept(config.image)

    def _start(self, choice: Choice, init: str, prepared: PreparedConcept) -> StartText:
        key = (init, choice.text if init == "text" else "")
        if key not in self._initializers:
            self._initializers[key] = self._parts.build(self.commands.run_of(choice, init).init.initializer)
        text = self._initializers[key](prepared, self._tokenize)
        guesses = tuple(Guess(**guess) for guess in text.details.get("guesses", []))
        return StartText(init, text.text, self._tokenize(text.text), guesses)

    @cached_property
    def _tokenize(self) -> Tokenize:
        model = self._parts.build(self.commands.defaults.model)
        if hasattr(model, "tokenize"):
            return model.tokenize
        loaded = model.load()
        return lambda text: loaded.token_names(loaded.token_ids(text))


def _enlarged(picture: Image.Image) -> Image.Image:
    scale = max(1.0, LARGE / max(picture.size))
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What this thread's warnings say meanwhile."""
    notes: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                notes.append(record.getMessage())

    listener = Listener(logging.WARNING)
    logging.getLogger("mti").addHandler(listener)
    try:
        yield notes
    finally:
        logging.getLogger("mti").removeHandler(listener)
