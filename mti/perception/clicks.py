"""What the user points at in a picture: clicks on a thing and beside it, and a box around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mti.types import UserError

Number = int | float
Point = tuple[Number, Number]


@dataclass(frozen=True)
class Clicks:
    """Places in a picture's own pixels, x to the right and y downwards from its upper left corner."""

    inside: tuple[Point, ...] = ()
    outside: tuple[Point, ...] = ()
    box: tuple[Number, Number, Number, Number] | None = None  # left, top, right, bottom

    def check(self, width: int, height: int) -> None:
        """Raise a `UserError` for what lies out of a picture of that size."""
        for name, points in (("click", self.inside), ("outside", self.outside)):
            for x, y in points:
                if not (0 <= x < width and 0 <= y < height):
                    raise UserError(
                        f"init.{name}={_written((x, y))} is out of the picture, which is {width} pixels wide and "
                        f"{height} high: give x from 0 to {width - 1} and y from 0 to {height - 1}"
                    )
        if self.box and not (self.box[0] >= 0 and self.box[1] >= 0 and self.box[2] <= width and self.box[3] <= height):
            raise UserError(
                f"init.box={_written(self.box)} reaches out of the picture, which is {width} pixels wide and "
                f"{height} high"
            )

    def __str__(self) -> str:
        """As they are written on the command line."""
        given = {"click": self.inside, "outside": self.outside, "box": self.box}
        return " ".join(f"init.{name}={_written(value)}" for name, value in given.items() if value)


def clicks(click: Any, outside: Any, box: Any) -> Clicks | None:
    """The values of `init.click`, `init.outside` and `init.box`, or None if nothing is pointed at.

    Raises:
        UserError: they are no points or no box, or there is nothing but points outside.
    """
    found = Clicks(_points("click", click), _points("outside", outside), _box(box))
    if found.outside and not found.inside and not found.box:
        raise UserError(f"{found} says only what is not meant: give init.click=[x,y] or init.box=[x0,y0,x1,y1] as well")
    return found if found.inside or found.box else None


def _points(name: str, value: Any) -> tuple[Point, ...]:
    """[x, y] or [[x, y], …]."""
    if value is None:
        return ()
    if _numbers(value, 2):
        return ((value[0], value[1]),)
    if _is_list(value) and value and all(_numbers(point, 2) for point in value):
        return tuple((x, y) for x, y in value)
    raise UserError(f"init.{name}={_written(value)}: expected a point [x,y] in pixels, or several [[x,y],[x,y]]")


def _box(value: Any) -> tuple[Number, Number, Number, Number] | None:
    if value is None:
        return None
    if not _numbers(value, 4) or not (value[0] < value[2] and value[1] < value[3]):
        raise UserError(
            f"init.box={_written(value)}: expected [x0,y0,x1,y1] in pixels, the upper left corner and the lower right"
        )
    return (value[0], value[1], value[2], value[3])


def _numbers(value: Any, count: int) -> bool:
    return (
        _is_list(value)
        and len(value) == count
        and all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in value)
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _written(value: Any) -> str:
    if not _is_list(value):
        return str(value)
    return f"[{','.join(_written(part) for part in value)}]"
