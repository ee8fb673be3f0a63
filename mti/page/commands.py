"""What is chosen on the page as command lines: those that are shown to copy are those that are done."""

from __future__ import annotations

import re
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mti.checks import raise_together
from mti.concepts.clicks import Clicks
from mti.concepts.thing import Background
from mti.errors import UserError
from mti.literals import literal
from mti.parts import Parts
from mti.run import composed, ready
from mti.schema import RunConfig

CHOSEN = ("image", "init", "click", "outside", "box", "crop", "seed", "trainer.max_steps")
"""Settings that are chosen on the page; given at its start, they are what it shows at first."""

ALSO = ("init.text", "init.background", "init.click", "init.outside", "init.box", "sweep", "folder")
STARTS = ("caption", "class", "multistar", "star", "text")


@dataclass(frozen=True)
class Choice:
    """What is chosen on the page. `clicks` is None for those that the data set has recorded."""

    image: str
    clicks: Clicks | None = None
    crop: str | None = None
    background: Background = "white"
    inits: Sequence[str] = ("caption",)
    text: str = ""  # of init=text
    seed: int = 0
    max_steps: int = 200


@dataclass(frozen=True)
class Command:
    """A command of `mti` with its arguments."""

    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        """As one types it."""
        return shlex.join(["mti", self.name, *self.arguments])

    @property
    def argv(self) -> list[str]:
        """As it is started."""
        return [sys.executable, "-m", f"mti.{self.name}", *self.arguments]


@dataclass
class Commands:
    """Makes commands.

    Args:
        overrides: that the page was started with, for every run.
        folders: with choices of one's own, as `--config-dir` names them.

    Raises:
        UserError: all that is wrong with the overrides.
    """

    overrides: Sequence[str]
    folders: Sequence[Path] = ()
    defaults: RunConfig = field(init=False)

    def __post_init__(self) -> None:
        self._composing = threading.Lock()  # Hydra has one state for all threads
        self.defaults = self.composed(*self.overrides)
        self.overrides = [one for one in self.overrides if _key(one) not in (*CHOSEN, *ALSO)]
        self._unchosen = self.composed(*self.overrides)

    def composed(self, *arguments: str) -> RunConfig:
        """The configuration of one run. `UserError` for all that is wrong with it."""
        with self._composing:
            found, faults = composed([literal(one) for one in arguments], self.folders)
        raise_together(faults)
        assert found
        return found

    def run_of(self, choice: Choice, init: str) -> RunConfig:
        """The run of one start. `UserError` for all that is wrong with it."""
        return self.composed(*self.overrides, f"init={init}", *self._shared(choice), *_own(choice, init))

    def training(self, choice: Choice) -> list[Command]:
        """The commands that train what is chosen; words of one's own in a command of their own.

        So a run without words of one's own lies in the folder that it has anywhere else.

        Raises:
            UserError: nothing is chosen.
        """
        if not choice.inits:
            raise UserError("no start is chosen: tick one or several, such as caption")
        shared = self._shared(choice)
        plain = [init for init in choice.inits if init != "text"]
        found = []
        for inits in (plain, ["text"] if "text" in choice.inits else []):
            if inits:
                several = ["-m"] if len(inits) > 1 else []
                words = [f"init={','.join(inits)}", *shared, *_own(choice, inits[0])]
                found.append(Command("run", (*several, *self._flags, *self.overrides, *words)))
        return found

    def check(self, choice: Choice) -> list[RunConfig]:
        """The runs that are chosen. `UserError` for all that would keep them from being begun, as `mti run` has it."""
        configs = [self.run_of(choice, init) for init in choice.inits]
        return ready([(config, []) for config in configs], Parts())

    def _shared(self, choice: Choice) -> list[str]:
        """What is chosen for all starts alike, as far as it is not so in any case."""
        values = {
            "crop": (choice.crop, self._unchosen.crop),
            "init.background": (choice.background, self._unchosen.init.background),
            "seed": (choice.seed, self._unchosen.seed),
            "trainer.max_steps": (choice.max_steps, self._unchosen.trainer.max_steps),
        }
        pointed = _pointed(choice.clicks) if choice.clicks is not None else []
        chosen = [f"{key}={_written(value)}" for key, (value, default) in values.items() if value != default]
        return [f"image={choice.image}", *pointed, *chosen]

    @property
    def _flags(self) -> list[str]:
        return [word for folder in self.folders for word in ("--config-dir", str(folder))]


def generate_command(run: Path, prompt: str, settings: Mapping[str, Any]) -> Command:
    """The command that draws a prompt with a run's tokens; settings that are None are left out."""
    given = [f"{key}={value}" for key, value in settings.items() if value is not None]
    return Command("generate", (f"run={run}", f"prompt={prompt}", *given))


def export_command(run: Path, form: str) -> Command:
    """The command that exports a run's tokens."""
    return Command("export", (f"run={run}", f"to={form}"))


def _own(choice: Choice, init: str) -> list[str]:
    return [f"init.text={' '.join(choice.text.split())}"] if init == "text" else []


def _pointed(clicks: Clicks) -> list[str]:
    """Clicks as the command line has them; `click=null` where nothing is clicked on the thing."""
    found = str(clicks).split()
    return found if clicks.inside else ["click=null", *found]


def _written(value: Any) -> str:
    return "null" if value is None else str(value)


def _key(override: str) -> str:
    return re.split(r"[=@]", override.lstrip("+~"), maxsplit=1)[0]
