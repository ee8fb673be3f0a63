"""The public interface for notebooks and programs: `mti.invert`, `mti.load`, `mti.InvertedRun`.

It composes the configuration that the command line composes and calls the same functions.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, overload

import hydra
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mti.checks import raise_together
from mti.choice import chosen_step
from mti.command_line import CONF
from mti.errors import UserError
from mti.figures import grid
from mti.generate import generate
from mti.literals import PATHS, TEXTS, quoted
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.run import composed, ready, run_pending
from mti.schema import Generate
from mti.termination import TERMINATION, Terminated
from mti.typed import convert

Source = str | Path
LEVELS = {"evaluation.choice.fidelity", "evaluation.choice.following"}  # settings that are mappings themselves
WORDS_OF_HYDRA = ("null", "true", "false", "nan", "inf")  # values, where no quotes are around them


class Pictures(list[Image.Image]):
    """Pictures; a notebook shows them side by side."""

    def _repr_png_(self) -> bytes | None:
        return _png(grid(self, columns=min(len(self), 6))) if self else None


@dataclass(frozen=True)
class InvertedRun:
    """A run whose tokens are learned. All that it has is read from its folder.

    Attributes:
        folder: where its results lie.
    """

    folder: Path

    @property
    def text(self) -> str:
        """The initial text."""
        return self._read.read_text()[0].text

    @property
    def tokens(self) -> list[str]:
        """The initial text's tokens; each has become a learned embedding."""
        return self._read.read_text()[1]

    @property
    def placeholder(self) -> str:
        """What stands for the learned tokens in other programs' prompts, such as "<teapot>"."""
        return self._read.read_tokens()[1]

    @property
    def chosen_step(self) -> int:
        """The step to take tokens from, as `evaluation.choice` found it.

        Raises:
            UserError: no choice was asked for, or no step qualified, with the reason.
        """
        return chosen_step(self._read)

    def embeddings(self, step: int | None = None) -> Float[Tensor, "num_vectors width"]:
        """The learned embeddings: after so many updates, or at the end."""
        return self._read.read_tokens(step)[0]

    def curve(self, name: str = "eval/mse") -> dict[int, float]:
        """A measured value by steps.

        Raises:
            UserError: nothing of that name was measured.
        """
        curves = self._read.metrics()
        if name not in curves:
            raise UserError(f"{self.folder} has no curve {name!r}: there are {', '.join(curves)}")
        return dict(curves[name])

    def pictures(self, step: int | None = None) -> Pictures:
        """What the model draws for the evaluation prompts after so many updates, or at the end.

        Raises:
            UserError: none were drawn then.
        """
        steps = self._read.sampled_steps()
        chosen = step if step is not None else max(steps, default=None)
        if chosen not in steps:
            raise UserError(f"{self.folder} has no pictures of step {chosen}: there are those of {steps}")
        return Pictures(self._read.pictures(chosen))

    def generate(self, prompt: str, **settings: Any) -> Pictures:
        """Draw pictures of a prompt, with `{}` where the learned tokens go.

        Args:
            prompt: such as "a photo of {} on the beach".
            settings: `pictures` (how many), `seed`, `step` (or "chosen"), `negative_prompt`, `guidance_scale`, and
                what else `mti generate --help` shows.
        """
        faults: list[str] = []
        wanted = convert({"run": str(self.folder), "prompt": prompt, **settings}, Generate, "", faults)
        raise_together(faults)
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            folder = generate(wanted).parent
        paths = sorted(folder.glob("[0-9]*.png"), key=lambda path: int(path.stem))
        return Pictures(Image.open(path).convert("RGB") for path in paths)

    @property
    def _read(self) -> RunFolder:
        return RunFolder(self.folder)

    def _repr_png_(self) -> bytes | None:
        path = self.folder / "comparison.png"
        return _png(Image.open(path)) if path.exists() else None


@overload
def invert(image: Source, init: str = "caption", **settings: Any) -> InvertedRun: ...
@overload
def invert(image: Sequence[Source], init: str | Sequence[str] = "caption", **settings: Any) -> list[InvertedRun]: ...
@overload
def invert(image: Source, init: Sequence[str], **settings: Any) -> list[InvertedRun]: ...
def invert(
    image: Source | Sequence[Source], init: str | Sequence[str] = "caption", **settings: Any
) -> InvertedRun | list[InvertedRun]:
    """Learn tokens for a picture; of lists, for every combination, all in one batch against one frozen model.

    Results lie in `outputs`, below the working directory, or below `output_dir`. A run that is finished is not
    trained again, an interrupted one goes on.

    Args:
        image: a picture, a folder with several of one thing, or a name in the data set, such as "teapot".
        init: what the tokens start from: "caption", "class", "text" (with `**{"init.text": …}`), "multistar", "star".
        settings: any setting of `mti run --help`: `seed=1`, `click=[120, 140]`, `model="sd15"`,
            `trainer={"max_steps": 60}` or `**{"trainer.max_steps": 60}`. The logger is "csv" if none is given.

    Returns:
        the run; of lists, the runs, image by image.

    Raises:
        UserError: a mistake in what was given, or a run that failed, with its reason. The others are finished then.
        KeyboardInterrupt: the kernel was interrupted; the same call goes on from the last checkpoints.
    """
    images = [image] if isinstance(image, Source) else list(image)
    inits = [init] if isinstance(init, str) else list(init)
    given = list(_overrides({"logger": "csv", **settings}))
    found = [composed([f"image={quoted(str(one))}", f"init={start}", *given]) for one, start in product(images, inits)]
    parts = Parts()
    configs = ready(found, parts)
    try:
        with TERMINATION.handled():
            refused = run_pending(configs, parts)
    except Terminated as stopped:
        raise KeyboardInterrupt from stopped
    raise_together(refused.values())
    runs = [InvertedRun(Path(str(config.folder)).absolute()) for config in configs]
    raise_together(_failures(runs))
    return runs[0] if isinstance(image, Source) and isinstance(init, str) else runs


def load(folder: str | Path) -> InvertedRun:
    """A run of earlier, from its folder.

    Raises:
        UserError: the folder holds no run that has learned tokens.
    """
    run = InvertedRun(Path(folder).expanduser().absolute())
    run.embeddings()
    return run


def _overrides(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Settings as the command line has them; those of a mapping by their dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and f"{prefix}{name}" not in LEVELS:
            yield from _overrides(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}={_written(value, name.rpartition('.')[2] in TEXTS | PATHS)}"


def _written(value: Any, as_text: bool = False) -> str:
    """A value in Hydra's grammar: a name such as `caption` as it is, any other text in quotes."""
    if value is None or isinstance(value, bool | int | float):
        return "null" if value is None else repr(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{name}:{_written(one)}' for name, one in value.items())}}}"
    plain = re.fullmatch(r"[A-Za-z_]\w*", str(value)) and str(value).lower() not in WORDS_OF_HYDRA
    return str(value) if plain and not as_text else quoted(str(value))


def _failures(runs: Sequence[InvertedRun]) -> Iterator[str]:
    for run in runs:
        summary = RunFolder(run.folder).summary() or {}
        if summary.get("status") != "finished":
            yield f"{run.folder}: {summary.get('reason', 'not finished')}"


def _png(picture: Image.Image) -> bytes:
    """A picture for a notebook, at most 700 pixels wide."""
    picture.thumbnail((700, 2800))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
