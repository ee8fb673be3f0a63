"""The command lines that Hydra composes: what is typed is taken literally, and mistakes are told in lines.

What Hydra or OmegaConf find wrong while they compose is put into words here, all of it at once, exit code 2.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mti.checks import checked
from mti.errors import UserError
from mti.files import safe_name
from mti.literals import literal, quoted
from mti.usage import help_text

CONF = next(
    folder for folder in (Path(__file__).parent / "conf", Path(__file__).parents[1] / "conf") if folder.is_dir()
)
"""Every choice: within the package where it is installed, beside it in the repository."""

VALUED = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")
OWN_FOLDERS = "hydra.searchpath="
COMPOSING = (HydraException, OmegaConfBaseException, ValueError)  # Hydra raises all of them for mistakes
DRY_RUN: ContextVar[bool] = ContextVar("dry_run", default=False)
"""Whether what a command would take is only to be told: the flag --dry-run, which Hydra does not know."""

OmegaConf.register_new_resolver("safe_name", lambda text: safe_name(str(text)), replace=True)


def command(
    config_name: str, kind: type, dry_run: bool = False
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a function of a composed configuration, which is to be of a kind, an entry.

    `@command("run", RunConfig) def main(config)`. With `dry_run`, it takes the flag --dry-run.
    """

    def entry(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def main() -> None:
            started: list[bool] = []

            @functools.wraps(task)
            def start(config: DictConfig) -> Any:
                started.append(True)
                try:
                    return task(config)
                except UserError as mistake:
                    tell(mistake)

            prepare_streams()
            if {"-h", "--help"} & set(sys.argv[1:]):
                print(f"{task.__doc__}\n\n{help_text(CONF / f'{config_name}.yaml', dry_run)}")
                return
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here as they are
            try:
                arguments = [literal(argument) for argument in checked_arguments(sys.argv[1:])]
                dry = dry_run and "--dry-run" in arguments
                with tempfile.TemporaryDirectory() if dry else nullcontext("") as nowhere:
                    if dry:
                        DRY_RUN.set(True)
                        arguments = without_traces(arguments, nowhere)
                    sys.argv[1:] = flags_first(arguments)
                    hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(start)()
            except UserError as mistake:
                tell(mistake)
            except COMPOSING as error:
                if started or not _of_hydra(error):
                    raise
                tell(UserError("\n".join(composition_faults(sys.argv[1:], config_name, kind, error))))

        return main

    return entry


def tell(mistake: UserError) -> NoReturn:
    """Print a user's mistake, every line marked, and end with 2."""
    print("\n".join(f"mti: {line}" for line in str(mistake).splitlines()), file=sys.stderr)
    sys.exit(2)


def prepare_streams() -> None:
    """Let any text be printed in any locale."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]


def checked_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments, as long as they are such as Hydra can take."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            name = os.fsencode(argument)
            raise UserError(
                f"the argument {name!r} is no text in UTF-8: rename the file, or set LANG=C.UTF-8"
            ) from None
        if argument.startswith("--experimental-rerun"):
            raise UserError("--experimental-rerun would run what a file holds: give the command itself again")
    if any(a in ("-sc", "--shell-completion", "--shell_completion") for a in arguments) and len(arguments) < 2:
        raise UserError('--shell-completion needs the shell: eval "$(mti run -sc install=bash)", or zsh, or fish')
    return list(arguments)


def flags_first(arguments: Sequence[str]) -> list[str]:
    """The overrides behind the flags and their values: Hydra takes no overrides on both sides of a flag."""
    flags: list[str] = []
    overrides: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_value = before in VALUED or argument.startswith("-") or ("=" not in argument and argument[:1] != "~")
        (flags if is_value else overrides).append(argument)
    return [*flags, *overrides]


def without_traces(arguments: Sequence[str], folder: str) -> list[str]:
    """The arguments of a dry run for Hydra: its sweepers write to a folder that is thrown away, and keep no study."""
    own = ("--dry-run", "hydra.sweep.dir=", "hydra.sweeper.storage=")
    kept = [argument for argument in arguments if not argument.startswith(own)]
    return [*kept, f"hydra.sweep.dir={quoted(folder)}"]


# ------------------------------------------------------------------------------------ what is wrong


def composition_faults(arguments: Sequence[str], config_name: str, kind: type, error: Exception) -> list[str]:
    """All that is wrong with the overrides of a command line, a line each; `error` is what ended it.

    What composes without the others is also checked against the configuration's kind.
    """
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    overrides += [argument for argument in arguments if argument.startswith("~")]
    overrides += own_folders(list(_folders(arguments)))
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        composed: Any = OmegaConf.to_container(hydra.compose(config_name))
        known = list(_keys(composed))
        lines, choices, good = [], [], []
        for override in sorted(overrides, key=lambda one: (not one.startswith(OWN_FOLDERS), not _is_choice(one))):
            for single in _singles(override):
                try:
                    hydra.compose(config_name, [*choices, single])
                except COMPOSING as found:
                    lines.append(explained(single, found, known))
                else:
                    choices += [single] if _is_choice(single) or single.startswith(OWN_FOLDERS) else []
                    good.append(single)
        if lines:
            try:
                config = hydra.compose(config_name, good)
            except COMPOSING:  # what does not compose together is told when the rest is mended
                return lines
            lines += checked(config, kind)[1]
    return lines or [explained("", error, known)]


def own_folders(folders: Sequence[str | Path]) -> list[str]:
    """The override that has Hydra look into folders with choices of one's own, as `--config-dir` does; none of none."""
    where = ",".join(quoted(f"file://{os.path.abspath(folder)}") for folder in folders)
    return [f"{OWN_FOLDERS}[{where}]"] if folders else []


def _folders(arguments: Sequence[str]) -> Iterator[str]:
    """The folders with choices of one's own that `--config-dir` or `-cd` names."""
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equal, joined = flag.partition("=")
        if name in ("--config-dir", "-cd"):
            yield joined if equal else value


def _is_choice(override: str) -> bool:
    """Whether an override chooses from a config group."""
    return (CONF / override.partition("=")[0].lstrip("+~").partition("@")[0]).is_dir()


def _singles(override: str) -> Iterator[str]:
    """The values of a sweep, each as an override of its own."""
    key = override.partition("=")[0]
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
        values = list(parsed.sweep_string_iterator()) if parsed.is_sweep_override() else []
    except HydraException:  # of its grammar; or of a glob, which only a sweep can look up
        values = []
    yield from [f"{key}={one}" for one in values] or [override]


def explained(override: str, error: Exception, known: Sequence[str] = ()) -> str:
    """What Hydra or OmegaConf found wrong with an override, in one line."""
    text = "\n".join(str(one) for one in (error, error.__cause__) if one)
    missing = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if missing:
        group, name = missing.groups()
        options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
        return f"{group}={name}: there is no such choice (expected one of {', '.join(options)}){_near(name, options)}"
    key = re.search(r"Could not (?:override|delete|append)[^']*'([^']+)'", text)
    if key and "Key" in text:
        return f"{override or key[1]}: there is no such key{_near(key[1], known)}"
    several = re.search(r"Ambiguous value for argument '(.*)'$", text, re.MULTILINE)
    if several:
        return f"{several[1]}: several values need -m, which runs each of them; of one text with commas, quote it"
    if "mismatched input" in text or "extraneous input" in text or "token recognition" in text or "no viable" in text:
        name, _, value = override.partition("=")
        return f"{override}: these characters mean something to Hydra: put the value in quotes, {name}=\"'{value}'\""
    first = " ".join(text.split("\n\n")[0].split())
    return f"{override}: {first}" if override and override not in first else first


def _keys(node: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{name}.")


def _near(name: str, names: Sequence[str]) -> str:
    """The likeliest name that was meant, in words; or the names that stand beside it."""
    above = name.rpartition(".")[0]
    if above in names and not any(one.startswith(f"{above}.") for one in names):
        return f"; {above} is given as a whole"
    last = [one for one in names if one.rpartition(".")[2] == name.rpartition(".")[2]]
    beside = [one for one in names if one.rpartition(".")[0] == above]
    likely = (
        last[:1] or difflib.get_close_matches(name, beside, 1, 0.6) or difflib.get_close_matches(name, names, 1, 0.8)
    )
    if likely:
        return f" (did you mean {likely[0]}?)"
    return f"; there are {', '.join(beside)}" if beside else ""


def _of_hydra(error: Exception) -> bool:
    """Whether an error was raised by the code of Hydra or OmegaConf."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    return bool(frame) and bool({"hydra", "omegaconf"} & set(Path(frame.tb_frame.f_code.co_filename).parts))
