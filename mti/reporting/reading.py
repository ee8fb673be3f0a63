"""What a run folder says, as plain text: whoever wrote it, none of it is code, markup or a path."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")


def plain(text: str) -> str:
    """A text in one line: control characters, and marks that turn or hide what follows, become spaces."""
    return UNPRINTABLE.sub(" ", text)


def settings(config: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as texts by dotted key: `{"training.learning_rate": "0.005", "image": "01", …}`.

    A list is one text. Interpolations are texts like any other.
    """
    return {sys.intern(plain(key)): sys.intern(plain(value)) for key, value in _leaves(config, "")}


def _leaves(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cleaned(found: Any) -> Any:
    """The same JSON value with plain texts."""
    if isinstance(found, str):
        return plain(found)
    if isinstance(found, dict):
        return {plain(str(key)): cleaned(value) for key, value in found.items()}
    if isinstance(found, list):
        return [cleaned(value) for value in found]
    return found


def section(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of a record that should be a mapping; empty if it is missing or something else."""
    found = record.get(key)
    return found if isinstance(found, dict) else {}
