"""What a user is told."""

from __future__ import annotations


class UserError(Exception):
    """A mistake of the user's: one line that says what was given, what was expected and what to do."""
