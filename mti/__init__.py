"""Multi-token textual inversion: words for a picture, learned against a frozen latent diffusion model.

import mti

run = mti.invert("teapot", init="caption")
run.curve("eval/mse")
run.pictures(100)
run.generate("a photo of {} on the beach", seed=3)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mti.errors import UserError
    from mti.library import InvertedRun, Pictures, invert, load

__all__ = ["InvertedRun", "Pictures", "UserError", "invert", "load"]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module 'mti' has no attribute {name!r}")
    return getattr(importlib.import_module("mti.errors" if name == "UserError" else "mti.library"), name)


def __dir__() -> list[str]:
    """The public names."""
    return __all__
