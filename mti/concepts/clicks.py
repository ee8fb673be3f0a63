"""What the user points at in a picture: clicks on a thing and beside it, and a box around it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mti.types import Concept, UserError

Number = int | float
Point = tuple[Number, Number]

RECORDED = "recorded"  # the value of `click` that stands for what the data set says


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
                        f"{name}={_written((x, y))} is out of the picture, which is {width} pixels wide and "
                        f"{height} high: give x from 0 to {width - 1} and y from 0 to {height - 1}"
                    )
        if self.box and not (self.box[0] >= 0 and self.box[1] >= 0 and self.box[2] <= width and self.box[3] <= height):
            raise UserError(
                f"box={_written(self.box)} reaches out of the picture, which is {width} pixels wide and {height} high"
            )

    def extent(self) -> tuple[int, int, int, int]:
        """The box, or the smallest one around the clicks on the thing, in whole pixels."""
        xs, ys = zip(*self.inside, strict=True) if self.inside else ((), ())
        left, top, right, bottom = self.box or (min(xs), min(ys), max(xs) + 0.5, max(ys) + 0.5)
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)

    def within(self, box: tuple[int, int, int, int], scale: int | float = 1) -> Clicks:
        """The same places in the part of the picture in `box`, scaled; points beside the thing may lie out of it."""
        left, top, right, bottom = box
        beside = [(x, y) for x, y in self.outside if left <= x < right and top <= y < bottom]
        inside, outside = (
            tuple((scale * (x - left), scale * (y - top)) for x, y in points) for points in (self.inside, beside)
        )
        edges = self.box and _four(
            scale * (edge - start) for edge, start in zip(self.box, (left, top) * 2, strict=True)
        )
        return Clicks(inside, outside, edges)

    def __str__(self) -> str:
        """As they are written on the command line."""
        given = {"click": self.inside, "outside": self.outside}
        words = [
            f"{name}={_written(points[0] if len(points) == 1 else points)}" for name, points in given.items() if points
        ]
        return " ".join([*words, *([f"box={_written(self.box)}"] if self.box else [])])


def resolve_clicks(click: Any, outside: Any, box: Any, concept: Concept) -> Clicks | None:
    """The values of `click`, `outside` and `box` for a concept, or None if nothing is pointed at.

    `click="recorded"` is the concept's recorded click, if it has one and no `box` is given.

    Raises:
        UserError: they are no points or no box, or there is nothing but points outside.
    """
    if click == RECORDED:
        click = None if box is not None else concept.click
    found = Clicks(_points("click", click), _points("outside", outside), _box(box))
    if found.outside and not found.inside and not found.box:
        raise UserError(f"{found} says only what is not meant: give click=[x,y] or box=[x0,y0,x1,y1] as well")
    return found if found.inside or found.box else None


def recorded_click(value: Any) -> tuple[Number, Number] | None:
    """The `click` of a data set's record, [x, y] in numbers or their digits, or None if it is no such thing."""
    if not _is_list(value) or len(value) != 2:
        return None
    try:
        x, y = float(value[0]), float(value[1])
    except (TypeError, ValueError):
        return None
    return (_plain(x), _plain(y)) if x >= 0 and y >= 0 and math.isfinite(x + y) else None


def _points(name: str, value: Any) -> tuple[Point, ...]:
    """[x, y] or [[x, y], …]."""
    if value is None:
        return ()
    if _numbers(value, 2):
        return ((value[0], value[1]),)
    if _is_list(value) and value and all(_numbers(point, 2) for point in value):
        return tuple((x, y) for x, y in value)
    also = f", or {RECORDED}" if name == "click" else ""
    raise UserError(f"{name}={_written(value)}: expected a point [x,y] in pixels, or several [[x,y],[x,y]]{also}")


def _box(value: Any) -> tuple[Number, Number, Number, Number] | None:
    if value is None:
        return None
    if not _numbers(value, 4) or not (value[0] < value[2] and value[1] < value[3]):
        raise UserError(
            f"box={_written(value)}: expected [x0,y0,x1,y1] in pixels, the upper left corner and the lower right"
        )
    return _four(value)


def _four(numbers: Iterable[Number]) -> tuple[Number, Number, Number, Number]:
    left, top, right, bottom = numbers
    return left, top, right, bottom


def _numbers(value: Any, count: int) -> bool:
    return (
        _is_list(value)
        and len(value) == count
        and all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in value)
    )


def _plain(number: float) -> Number:
    return int(number) if number.is_integer() else number


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _written(value: Any) -> str:
    if not _is_list(value):
        return str(value)
    return f"[{','.join(_written(part) for part in value)}]"
