"""Data of the shape that is expected, whoever wrote the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mti.files import DamagedFile, read_json, read_text

NUMBER = (int, float, type(None))
TEXT = {"text": str, "tokens": [str], "source": str, "raw": str, "details": dict}
LEVELS = {str: {str: NUMBER}}
PLAIN = (str, int, float, type(None))


def read_yaml(path: Path, remedy: str) -> dict[str, Any]:
    """The mapping in a YAML file, of strings, numbers, lists and mappings.

    Raises:
        DamagedFile: the file cannot be read, or holds anything else: tags, anchors (which may unfold to
            gigabytes), dates, other keys than strings.
    """
    text = read_text(path, remedy)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
            raise DamagedFile(path, "uses YAML's anchors", remedy)
        value = yaml.load(text, Loader=yaml.CSafeLoader)
        plain = isinstance(value, dict) and _is_plain(value)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise DamagedFile(path, f"is not YAML{where}", remedy) from None
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, f"is not YAML ({error})", remedy) from None
    if not plain:
        raise DamagedFile(path, "is not a mapping of plain values", remedy)
    return value


def read_shaped(path: Path, remedy: str, shape: Any) -> Any:
    """The value in a JSON file, of a shape: a type or several, `[shape]`, `{str: shape}`, or `{"key": shape, …}`.

    Raises:
        DamagedFile: the file cannot be read, or its value has another shape.
    """
    value = read_json(path, remedy)
    if not fits(value, shape):
        raise DamagedFile(path, "does not hold what is expected", remedy)
    return value


def fits(value: Any, shape: Any) -> bool:
    """Whether a value has a shape. Further keys do no harm."""
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(one, shape[0]) for one in value)
    if isinstance(shape, dict) and str in shape:
        return isinstance(value, dict) and all(fits(one, shape[str]) for one in value.values())
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key in value and fits(value[key], inner) for key, inner in shape.items())
    return isinstance(value, shape) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN)
