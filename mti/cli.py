"""The command `mti`: each of its commands is a module that can also be started as `python -m mti.<command>`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from mti.completion import complete, script


class Command(NamedTuple):
    """What `mti --help` says of a command."""

    about: str
    example: str


COMMANDS = {
    "run": Command("learn tokens for a picture", "mti run init=caption image=teapot"),
    "generate": Command("draw with them", 'mti generate run=FOLDER prompt="a photo of {} on the beach"'),
    "report": Command("figures, tables and a page of many runs", "mti report outputs/paper"),
    "export": Command("tokens for other programs", "mti export run=FOLDER to=a1111"),
    "download": Command("what a run needs, beforehand", "mti download model=sd15 metrics=paper"),
    "dashboard": Command("a W&B workspace that compares runs", "mti dashboard ME --experiment paper"),
    "page": Command("click, start and watch in a browser", "mti page"),
}


def main() -> None:
    """Start the command that the command line names. Ends with 2 for one that does not exist."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    known = commands()
    if name in ("-h", "--help"):
        print(help_text(known))
    elif name == "-sc" or arguments[:1] == ["-sc"]:
        _complete([name, *arguments][-1], known)
    elif name in known:
        sys.argv = [f"mti {name}", *arguments]
        sys.path.append(os.getcwd())  # where parts of one's own may lie, as with `python -m`
        importlib.import_module(f"mti.{name}").main()
    else:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean mti {near[0]}?" if near else f"the commands are {', '.join(known)}"
        print(f"mti: there is no command {name}: {hint}", file=sys.stderr)
        sys.exit(2)


def commands() -> list[str]:
    """The commands that there are."""
    return [name for name in COMMANDS if importlib.util.find_spec(f"mti.{name}")]


def help_text(known: Sequence[str]) -> str:
    """A line for each command, with an example."""
    width = max(len(COMMANDS[name].about) for name in known)
    lines = [f"  {name:10} {COMMANDS[name].about:{width}}  {COMMANDS[name].example}" for name in known]
    return "\n".join(
        [
            "Multi-token textual inversion: words for a picture. Of each command, --help tells more.",
            "",
            *lines,
            "",
            'Completion: eval "$(mti -sc install=bash)" (or zsh), mti -sc install=fish | source',
        ]
    )


def _complete(asked: str, known: Sequence[str]) -> None:
    """Answer a shell: `install=bash` with the script to evaluate, `query=bash` with what may follow COMP_LINE."""
    what, _, shell = asked.partition("=")
    if what == "query":
        for found in complete(os.environ.get("COMP_LINE", ""), known):
            print(found)
    elif what == "install" and script(shell):
        print(script(shell))
    else:
        print(
            'mti: -sc takes install=bash, install=zsh or install=fish: eval "$(mti -sc install=bash)"', file=sys.stderr
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
