"""How long a thing takes, without the reading of weights: only whoever is the first to ask a model waits for that."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Made = TypeVar("Made")

_read = [0.0]  # seconds that this process has read weights for


@contextmanager
def reading() -> Iterator[None]:
    """What the block takes is not counted by `timed`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _read[0] += time.perf_counter() - began


def timed(make: Callable[[], Made]) -> tuple[Made, float]:
    """What a function gives, and the seconds that it took, but for those of `reading`."""
    began, read = time.perf_counter(), _read[0]
    made = make()
    return made, time.perf_counter() - began - (_read[0] - read)
