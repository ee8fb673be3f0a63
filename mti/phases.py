"""Long silences are broken: what takes more than a few seconds says what it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("mti")

PATIENCE = 3.0  # seconds


@contextmanager
def phase(words: str) -> Iterator[None]:
    """Log what the block does, if it takes more than a few seconds; nothing if it is quick."""
    timer = threading.Timer(PATIENCE, log.info, ("%s …", words))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
