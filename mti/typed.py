"""Settings against type annotations: what is given becomes what is expected, or one line says why it cannot.

A dataclass's fields and a part's constructor are read alike, so that a setting's type, range and default stand in
one place. A *part* is a node with a `_target_`, the class that Hydra builds of it.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

HYDRAS_OWN = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}


class Part(dict[str, Any]):
    """A node with a `_target_`, whose other keys are the arguments of that class."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a dataclass or a constructor."""

    name: str
    hint: Any
    required: bool

    @property
    def marks(self) -> tuple[Any, ...]:
        """What stands beside its type in `Annotated`."""
        return self.hint.__metadata__ if get_origin(self.hint) is Annotated else ()


@functools.cache
def settings_of(kind: Any) -> dict[str, Setting]:
    """The settings of a dataclass, or of what a part's class is made with, by name.

    A class that takes any keywords has the entry "**".
    """
    maker = kind if inspect.isfunction(kind) else kind.__init__
    try:
        hints = typing.get_type_hints(maker, include_extras=True)
    except NameError:  # of names that exist for type checkers only
        hints = {}
    found = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            found["**"] = Setting("**", Any, False)
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            found[name] = Setting(name, hints.get(name, Any), parameter.default is parameter.empty)
    return found


def convert(value: Any, hint: Any, key: str, faults: list[str]) -> Any:
    """The value as the hint wants it. What is wrong is added to the faults, a line each, and None is returned."""
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        marks, hint = hint.__metadata__, hint.__origin__
    if hint is Any or isinstance(hint, typing.TypeVar):
        return value
    if dataclasses.is_dataclass(hint):
        return _section(value, hint, key, faults)
    if hint is Part:
        return part(value, key, faults)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(value, get_args(hint), marks, key, faults)
    if origin is Literal:
        if any(value == one and type(value) is type(one) for one in get_args(hint)):
            return value
    elif origin in (list, tuple, Sequence, Iterable) or hint in (list, tuple):
        if isinstance(value, list | tuple):
            item = (get_args(hint) or (Any,))[0]
            return [convert(one, item, f"{key}[{i}]", faults) for i, one in enumerate(value)]
    elif origin in (dict, Mapping) or hint is dict:
        if isinstance(value, Mapping):
            inner = (get_args(hint) or (str, Any))[1]
            odd = [name for name in value if not isinstance(name, str)]
            faults += [f"{key} has a name {name!r} that is no text: put it in quotes" for name in odd]
            return {str(name): convert(one, inner, f"{key}.{name}", faults) for name, one in value.items()}
    elif hint in NAMES:
        if _is(value, hint) and all(mark.holds(value) for mark in _ranges(marks)):
            return (
                None
                if value is None
                else str(value).lower()
                if hint is str and isinstance(value, bool)
                else hint(value)
            )
    elif isinstance(value, Mapping):
        return part(value, key, faults)
    choices = [str(one) for one in get_args(hint)] if origin is Literal else []
    faults.append(f"{key}={written(value)}: expected {described(hint, marks)}{near(str(value), choices)}")
    return None


def _is(value: Any, kind: type) -> bool:
    """Whether a scalar is of a kind: numbers are no truth values, whole numbers are numbers, all are texts."""
    if kind is type(None):
        return value is None
    if kind is str:
        return isinstance(value, str | int | float)
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def _one_of(value: Any, hints: tuple[Any, ...], marks: tuple[Any, ...], key: str, faults: list[str]) -> Any:
    """The first of several hints that takes the value; null comes first, and a text last."""
    closest: list[str] = []
    for hint in sorted(hints, key=lambda hint: (hint is not type(None), hint is str)):
        tried: list[str] = []
        found = convert(value, Annotated[(hint, *marks)] if marks and hint is not type(None) else hint, key, tried)
        if not tried:
            return found
        # of a node or list, the faults within it say more than that it is none of the kinds
        if isinstance(value, Mapping | list) and not tried[0].startswith(f"{key}="):
            closest = tried
    words = " or ".join(described(hint, marks if hint is not type(None) else ()) for hint in hints)
    faults += closest or [f"{key}={written(value)}: expected {words}"]
    return None


def _section(value: Any, kind: Any, key: str, faults: list[str]) -> Any:
    """A dataclass from a mapping; what is wrong is as if it were not given, so that the rest can be looked at too."""
    if dataclasses.is_dataclass(value) and isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        faults.append(f"{key}={written(value)}: expected the keys {', '.join(settings_of(kind))}")
        return None
    settings = settings_of(kind)
    found = _arguments(value, settings, key, faults)
    return kind(**found) if all(name in found for name in settings if settings[name].required) else None


def part(value: Any, key: str, faults: list[str]) -> Part | None:
    """A part's node, its arguments as its class wants them; nothing is built."""
    if not isinstance(value, Mapping) or not isinstance(value.get("_target_"), str):
        faults.append(f"{key}={written(value)}: expected a part, which names its class as _target_")
        return None
    try:
        kind = located(value["_target_"])
    except LookupError as error:
        faults.append(f"{key}._target_={value['_target_']}: {error.args[0]}")
        return None
    own = {name: one for name, one in value.items() if name in HYDRAS_OWN}
    rest = {name: one for name, one in value.items() if name not in HYDRAS_OWN}
    before = len(faults)
    found = Part(own | _arguments(rest, settings_of(kind), key, faults))
    return found if len(faults) == before else None


def _arguments(
    given: Mapping[Any, Any], settings: Mapping[str, Setting], key: str, faults: list[str]
) -> dict[str, Any]:
    found = {}
    for name, value in given.items():
        path = f"{key}.{name}" if key else str(name)
        if name in settings:
            wrong: list[str] = []
            converted = convert(value, settings[name].hint, path, wrong)
            faults += wrong
            if not wrong or dataclasses.is_dataclass(converted):
                found[name] = converted
        elif "**" in settings:
            found[name] = value
        else:
            faults.append(f"{path}: there is no such key{near(str(name), settings, key)}")
    missing = [name for name, setting in settings.items() if setting.required and name not in given]
    faults += [f"{f'{key}.' if key else ''}{name} is missing: give it a value" for name in missing]
    return found


def located(target: str) -> Any:
    """The class or function of a dotted name.

    Raises:
        LookupError: it cannot be imported; the argument says why, in the words of the cause.
    """
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module that somebody wrote may fail with anything while it is imported
        raise LookupError(f"cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise LookupError(f"the module {module_name} has no {name}{near(name, vars(module))}")
    return found


def walk(value: Any, hint: Any, key: str = "") -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Every setting of a checked value: its key, its value, and the marks of its type and of those around it."""
    marks: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        marks, hint = hint.__metadata__, hint.__origin__
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner: Any = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        settings = settings_of(type(value))
    elif isinstance(value, Mapping):
        inner, settings = value, {}
        if "_target_" in value:
            settings = settings_of(located(value["_target_"]))
        elif get_args(hint):
            settings = {name: Setting(name, get_args(hint)[-1], False) for name in value}
    else:
        yield key, value, marks
        return
    for name, one in inner.items():
        path = f"{key}.{name}" if key else name
        for path_, found, others in walk(one, settings[name].hint if name in settings else Any, path):
            yield path_, found, (*marks, *others)


def described(hint: Any, marks: Iterable[Any] = ()) -> str:
    """A hint in words."""
    if get_origin(hint) is Annotated:
        return described(hint.__origin__, hint.__metadata__)
    ranges = " and ".join(str(mark) for mark in _ranges(marks))
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(described(one, marks) for one in inner)
    if origin is Literal:
        return f"one of {', '.join(map(written, inner))}" if inner[1:] else "".join(map(written, inner))
    if hint in NAMES:
        return f"{NAMES[hint]} {ranges}".strip()
    if origin in (list, tuple, Sequence, Iterable):
        items = described(inner[0]).removeprefix("a ") if inner else "values"
        return f"a list [a, b, …], each a {items}"
    if origin in (dict, Mapping) or hint is dict:
        return "keys with values"
    return "a part, which names its class as _target_"


def near(name: str, names: Iterable[str], key: str = "") -> str:
    """The likeliest name that was meant, in words; nothing if none is like it."""
    known = [one for one in names if one != "**"]
    found = difflib.get_close_matches(name, known, 1, 0.5)
    if not found:
        return f"; the keys are {', '.join(known)}" if key and known else ""
    return f" (did you mean {key + '.' if key else ''}{found[0]}?)"


def _ranges(marks: Iterable[Any]) -> list[Any]:
    return [mark for mark in marks if hasattr(mark, "holds")]


def written(value: Any) -> str:
    """A value as it is written on the command line, cut where it is long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        text = f"[{', '.join(written(one) for one in value)}]"
    elif isinstance(value, Mapping):
        text = f"{{{', '.join(f'{name}: {written(one)}' for name, one in value.items())}}}"
    else:
        text = " ".join(str(value).split()) if str(value).strip() else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"
