"""One run's end is only its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from mti.errors import UserError
from mti.memory import is_out_of_memory

log = logging.getLogger("mti")

One = TypeVar("One")
Result = TypeVar("Result")


def isolated(
    ones: Iterable[One], action: Callable[[One], Result], fail: Callable[[One, str], object]
) -> list[tuple[One, Result]]:
    """What an action gives for each; one for which it raises an error is failed with the reason, and no other is.

    Memory that is short is nobody's own, and is raised.
    """
    done = []
    for one in ones:
        try:
            done.append((one, action(one)))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            fail(one, reason(error))
    return done


def reason(error: Exception) -> str:
    """An error in one line. One that is none of the user's mistakes is logged in full."""
    if isinstance(error, UserError):
        return " ".join(str(error).split("\n"))
    log.error("an unexpected error:", exc_info=error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
