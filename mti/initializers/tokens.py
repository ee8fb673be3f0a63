"""Learned tokens to go on from: `init=tokens init.path=…`."""

from __future__ import annotations

import os
from pathlib import Path

from mti.embeddings import Learned, read_embeddings
from mti.types import Concept, InitialText, Tokenize, UserError


class Tokens:
    """The embeddings in a file of any form, or in a run folder: as many placeholders as it has vectors."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def check(self, concept: Concept) -> None:
        """Raise a `UserError` if there is no such file, or none of learned tokens."""
        self._read()

    def __call__(self, concept: Concept, tokenize: Tokenize) -> InitialText:
        """The same for every concept."""
        learned = self._read()
        return InitialText(
            learned.placeholder,
            "tokens",
            str(Path(os.path.abspath(os.path.expanduser(str(self.path))))),
            dict(learned.metadata),
            embeddings=learned.embeddings,
        )

    def _read(self) -> Learned:
        if not self.path:
            raise UserError("init=tokens has no file: give one, such as init.path=outputs/…/s0 or init.path=mug.pt")
        return read_embeddings(self.path)
