"""Values on a command line, taken literally: Hydra has a grammar for them, and what is typed is quoted for it."""

from __future__ import annotations

import os
import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

TEXTS = {"text", "prompt", "negative_prompt"}
PATHS = {"image", "run", "output", "output_dir", "folder", "root", "path", "tokens", "cache", "weights", "name"}
FUNCTION = re.compile(r"\w+\(.*\)$|\[.*\]$|\$\{.*\}$", re.DOTALL)


def literal(argument: str) -> str:
    """An override whose value is a path, a name or a text, in quotes; what is quoted already as it is.

    A path that exists is taken as a whole. Otherwise commas part the values of a sweep, and a list, a function
    such as `glob(*)` or an interpolation stays what it is. Values of other keys stay as they are if Hydra can read
    them, and are in quotes if not.
    """
    key, equal, value = argument.partition("=")
    name = key.lstrip("+").rpartition(".")[2]
    if key.startswith("-") or not equal or not value:
        return argument
    if name not in TEXTS | PATHS:
        return argument if _is_read(argument) or not _is_read(f"{key}=") else f"{key}={quoted(value)}"
    if name in PATHS and os.path.exists(os.path.expanduser(value)):
        return f"{key}={quoted(value)}"
    if _is_quoted(value) or FUNCTION.match(value) or (name in PATHS and "${" in value):
        return argument
    if name in TEXTS and not _sweeps(value):
        return f"{key}={quoted(value)}"
    return f"{key}={','.join(_element(part) for part in _parts(value))}"


def quoted(value: str) -> str:
    """A text in Hydra's quotes, which stands for itself: no escapes, no interpolation."""
    value = re.sub(r"(\\*)'", lambda found: found[1] * 2 + r"\'", value)
    value = re.sub(r"(\\+)$", lambda found: found[1] * 2, value)
    return "'" + re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value) + "'"


def _is_read(argument: str) -> bool:
    """Whether Hydra's grammar takes an override."""
    try:
        return bool(OverridesParser.create().parse_overrides([argument]))
    except HydraException:
        return False


def _element(value: str) -> str:
    return value if _is_quoted(value) or FUNCTION.match(value) or not value.strip() else quoted(value.strip())


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]


def _sweeps(value: str) -> bool:
    """Whether commas part several values that are in quotes each, as in 'a cat','a dog'."""
    parts = _parts(value)
    return len(parts) > 1 and all(_is_quoted(part.strip()) for part in parts)


def _parts(value: str) -> list[str]:
    """A value at its commas, those within quotes or brackets left out."""
    return re.findall(r"""(?:'[^']*'|"[^"]*"|\[[^\]]*\]|\([^)]*\)|[^,])+""", value) or [value]
