"""What a run folder says, as plain text: whoever wrote it, none of it is code, markup or a path."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mti.types import UserError

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")
LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # builds nothing but texts, lists and mappings
MOST_SETTINGS = 5000
DEEPEST = 20


def plain(text: str) -> str:
    """A text in one line: control characters, and marks that turn or hide what follows, become spaces."""
    return UNPRINTABLE.sub(" ", text)


def settings(text: str, name: str) -> dict[str, str]:
    """A `config.yaml` as texts by dotted key: `{"training.learning_rate": "0.005", "seed": "01", …}`.

    Values stay as they are written, so that `01` is not `1` and `no` is not `false`; interpolations stay too.

    Raises:
        UserError: it is no mapping of settings; `name` says which file.
    """
    try:
        found = yaml.load(text, LOADER)
    except (yaml.YAMLError, RecursionError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{name} holds no settings: it is damaged, or of another program")
    flat: dict[str, str] = {}
    for key, value in _leaves(found, "", 0):
        if len(flat) >= MOST_SETTINGS:
            raise UserError(f"{name} holds more than {MOST_SETTINGS:,} settings: it is of another program")
        flat[sys.intern(key)] = sys.intern(value)
    return flat


def _leaves(node: Any, prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and depth < DEEPEST:
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}.{plain(str(key))}" if prefix else plain(str(key)), depth + 1)
    elif isinstance(node, str):
        yield prefix, plain(node)
    elif isinstance(node, list) and all(isinstance(one, str) for one in node):
        yield prefix, plain(f"[{', '.join(node)}]")
    elif isinstance(node, list) and depth < DEEPEST:
        for i, one in enumerate(node):
            yield from _leaves(one, f"{prefix}.{i}", depth + 1)
    else:
        yield prefix, "…"


def read_record(path: Path) -> dict[str, Any]:
    """A JSON object with plain texts; empty without the file.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return cleaned(found) if isinstance(found, dict) else _damaged(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return _damaged(path)


def cleaned(found: Any) -> Any:
    """The same JSON value with plain texts."""
    if isinstance(found, str):
        return plain(found)
    if isinstance(found, dict):
        return {plain(str(key)): cleaned(value) for key, value in found.items()}
    if isinstance(found, list):
        return [cleaned(value) for value in found]
    return found


def section(record: dict[str, Any], key: str) -> dict[str, Any]:
    """A part of a record that should be a mapping; empty if it is missing or something else."""
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def _damaged(path: Path) -> Any:
    raise UserError(f"{path.name} is damaged")
