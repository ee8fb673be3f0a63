"""What a setting may be, said beside its type: `batch_size: Annotated[int, AtLeast(1)]`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AtLeast:
    """A number that is not below the bound."""

    bound: int | float

    def __str__(self) -> str:
        return f"of at least {self.bound:g}"

    def holds(self, value: int | float) -> bool:
        """Whether a value is in the range."""
        return value >= self.bound


@dataclass(frozen=True)
class Above:
    """A number that is above the bound."""

    bound: int | float

    def __str__(self) -> str:
        return f"above {self.bound:g}"

    def holds(self, value: int | float) -> bool:
        """Whether a value is in the range."""
        return value > self.bound


@dataclass(frozen=True)
class Between:
    """A number from the lower bound to the upper one, both included."""

    lower: int | float
    upper: int | float

    def __str__(self) -> str:
        return f"from {self.lower:g} to {self.upper:g}"

    def holds(self, value: int | float) -> bool:
        """Whether a value is in the range."""
        return self.lower <= value <= self.upper


SHARED = "shared"
"""Marks a setting that runs must have in common to be trained together."""

INCIDENTAL = "incidental"
"""Marks a setting that changes no result: a resumed run may have another."""
