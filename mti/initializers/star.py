"""Vanilla textual inversion: one meaningless token."""

from __future__ import annotations

from mti.types import InitialText, PreparedConcept, Tokenize


class Star:
    """A single `*`."""

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
        """The same for every concept."""
        return InitialText("*", "fixed", "*")
