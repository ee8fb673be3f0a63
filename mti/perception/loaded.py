"""A model that is loaded when it is first asked, and let go of when it is no longer needed."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from mti.clock import reading

Model = TypeVar("Model")


class LoadedOnce(ABC, Generic[Model]):
    """Owns what `load` gives: `loaded` loads it on first use, `release` lets go of it."""

    @abstractmethod
    def load(self) -> Model:
        """Load it. `UserError` if it cannot be had."""

    @functools.cached_property
    def loaded(self) -> Model:
        """The model and what belongs to it; kept until `release`."""
        with reading():
            return self.load()

    def release(self) -> None:
        """Let go of the model; it is loaded again when it is needed."""
        vars(self).pop("loaded", None)
