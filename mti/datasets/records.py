"""What a data set records of its concepts: class, caption and click."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mti.concepts.clicks import recorded_click
from mti.images import printable
from mti.types import UserError

TEXTS = ("class", "caption")
EXPECTED = "{class: …, caption: …, click: [x, y]}"


def recorded_texts(record: Mapping[str, Any]) -> dict[str, str]:
    """What a record says of class and caption."""
    return {key: record[key] for key in TEXTS if key in record}


def check_record(where: str, name: str, record: Any, others: tuple[str, ...] = (), count: str = "") -> None:
    """Raise a `UserError` unless a record has texts and a click only, or what else the data set knows.

    `others` are texts too, `count` is the name of a whole number.
    """
    if not isinstance(record, Mapping):
        raise UserError(f"{where}: the record of {name!r} is no mapping, expected {EXPECTED}")
    for key, value in record.items():
        if key == "click" and recorded_click(value) is None:
            raise UserError(f"{where}: the click of {name!r} is none, expected click: [x, y] in the picture's pixels")
        if key in (*TEXTS, *others) and not isinstance(value, str):
            raise UserError(f"{where}: the {key} of {name!r} is no text, expected {EXPECTED}")
        if count and key == count and not (isinstance(value, int) and value > 0):
            raise UserError(f"{where}: the {key} of {name!r} are no number above 0")
        if key not in (*TEXTS, *others, "click", count):
            raise UserError(f"{where}: the record of {name!r} has {key!r}, expected {EXPECTED}")


def read_records(path: Path) -> dict[str, dict[str, Any]]:
    """The records in a `concepts.yaml`, if there is one, by the names that it gives.

    All its words are taken as they are written: `01`, `no`, `1e3` and `null` are names like others.
    """
    if not path.exists():
        return {}
    name = printable(path)
    if not path.is_file():
        raise UserError(f"{name} is no file")
    try:
        records = yaml.load(path.read_text("utf-8"), yaml.BaseLoader) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{name} is no YAML ({printable(' '.join(str(error).split()))})") from error
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror})") from None
    if not isinstance(records, dict):
        raise UserError(f"{name}: expected lines like NAME: {EXPECTED}")
    for concept, record in records.items():
        check_record(name, concept, record)
    return records
