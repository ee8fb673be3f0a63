"""What the page's buttons do, without a word of how they look."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mti.concepts.clicks import Clicks
from mti.concepts.identity import concept_name
from mti.errors import UserError
from mti.export import export
from mti.generate import check_slots
from mti.images import read_picture
from mti.page.commands import Choice, Command, Commands, export_command, generate_command
from mti.page.jobs import Job, Jobs
from mti.page.looking import Looking
from mti.page.watching import runs_below

Meaning = Literal["on the thing", "beside it", "a corner of a box"]


@dataclass(frozen=True)
class Pointed:
    """What has been clicked so far; `clicks` is None for those that the data set has recorded."""

    clicks: Clicks | None = None
    corner: tuple[int, int] | None = None  # of a box whose other corner is yet to come

    def and_then(self, x: int, y: int, meaning: Meaning) -> Pointed:
        """The same with a further click at a pixel of the picture."""
        clicks = self.clicks or Clicks()
        if meaning == "on the thing":
            return Pointed(replace(clicks, inside=(*clicks.inside, (x, y))))
        if meaning == "beside it":
            return Pointed(replace(clicks, outside=(*clicks.outside, (x, y))))
        if self.corner is None:
            return Pointed(clicks, (x, y))
        (left, right), (top, bottom) = sorted((x, self.corner[0])), sorted((y, self.corner[1]))
        return Pointed(replace(clicks, box=(left, top, right + 1, bottom + 1)))


class Actions:
    """All that can be done on the page. `UserError` for what cannot."""

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self.looking = Looking(commands)
        self.jobs = Jobs()
        self.root = Path(commands.defaults.output_dir)

    def keep_upload(self, path: Path) -> str:
        """Keep an uploaded picture below the output folder, where its runs find it again; its path there.

        Raises:
            UserError: it is no picture, too large, or cannot be written.
        """
        read_picture(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        kept = self.root / "pictures" / f"{concept_name(path.stem)[:60]}-{digest}{path.suffix.lower()}"
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
        except OSError as error:
            raise UserError(f"{kept} cannot be written ({error.strerror})") from error
        return str(kept)

    def command_text(self, choice: Choice) -> str:
        """The commands that do what is chosen, one a line; or why there are none."""
        try:
            return "\n".join(map(str, self.commands.training(choice)))
        except UserError as mistake:
            return f"# {mistake}"

    def start(self, choice: Choice) -> list[Job]:
        """Have the chosen runs trained, as soon as it is their turn."""
        commands = self.commands.training(choice)
        self.commands.check(choice)
        return [self.jobs.add(command) for command in commands]

    def draw(self, run: str, prompt: str, pictures: int, seed: int, step: int | None) -> Job:
        """Have a prompt drawn with a run's tokens, as soon as it is its turn."""
        self._learned(run)
        check_slots(prompt, 1)
        settings = {"pictures": pictures, "seed": seed, "step": step}
        return self.jobs.add(generate_command(self.root / run, prompt, settings))

    def export(self, run: str, form: str) -> tuple[list[str], Command]:
        """Export a run's tokens; the files, and the command that does the same."""
        self._learned(run)
        return [str(path) for path in export(self.root / run, form)], export_command(self.root / run, form)

    def learned(self) -> list[str]:
        """The runs whose tokens are there, the newest first."""
        return [run for run in runs_below(self.root) if (self.root / run / "tokens.safetensors").is_file()]

    def _learned(self, run: str) -> None:
        if not run or not (self.root / run / "tokens.safetensors").is_file():
            raise UserError(f"{run or 'no run'}: no tokens are there yet, choose a run that has finished")
