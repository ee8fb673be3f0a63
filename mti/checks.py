"""A composed configuration as its dataclass, and all that is wrong with it, a line each."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, ListConfig
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mti.errors import UserError
from mti.files import DamagedFile, read_lines
from mti.schema import RunConfig
from mti.templates import SLOT, TEMPLATES, templates_of
from mti.typed import convert, located, near, written

Section = TypeVar("Section")


def checked(config: DictConfig, kind: type[Section]) -> tuple[Section | None, list[str]]:
    """A composed configuration as its dataclass, and every fault of it in a line.

    With faults, the dataclass has defaults in their place, to see what else is wrong; or is None.
    """
    faults: list[str] = []
    plain = _resolved(config, "", faults)
    if faults:
        return None, faults
    found: Any = convert(plain, kind, "", faults)
    if isinstance(found, RunConfig):
        found = with_templates(with_clicks(found), faults)
        faults += meant(found)
    return found, faults


def _resolved(node: Any, key: str, faults: list[str]) -> Any:
    """A node as plain data, its interpolations resolved; what cannot be is a fault."""
    if not isinstance(node, DictConfig | ListConfig):
        return node
    if node._is_none():
        return None
    names: Any = list(node) if isinstance(node, DictConfig) else range(len(node))
    found: dict[Any, Any] = {}
    for name in names:
        path = f"{key}[{name}]" if isinstance(node, ListConfig) else f"{key}.{name}".lstrip(".")
        try:
            value = node[name]
        except MissingMandatoryValue:
            faults.append(f"{path} is missing: give it a value")
        except OmegaConfBaseException as error:
            faults.append(f"{path}: {' '.join(str(error).splitlines()[0].split())}")
        else:
            found[name] = _resolved(value, path, faults)
    return found if isinstance(node, DictConfig) else list(found.values())


def with_clicks(config: RunConfig) -> RunConfig:
    """`init.click`, `init.outside` and `init.box` are other spellings of `click`, `outside` and `box`."""
    given = {name: getattr(config.init, name) for name in ("click", "outside", "box")}
    given = {name: value for name, value in given.items() if value is not None}
    plain = dataclasses.replace(config.init, click=None, outside=None, box=None)
    return dataclasses.replace(config, init=plain, **given)


def with_templates(config: RunConfig, faults: list[str]) -> RunConfig:
    """`training.templates` as the prompts of its file, one a line, unless it is a name or a list of prompts."""
    choice = config.training.templates
    if not isinstance(choice, str) or choice in TEMPLATES:
        return config
    try:
        prompts: list[str] | str = read_lines(Path(os.path.expanduser(choice)), "give another")
    except DamagedFile:
        names = ", ".join(TEMPLATES)
        faults.append(
            f"training.templates={written(choice)}: expected {names}, a list of prompts, or a file of one a line"
            f"{near(choice, TEMPLATES)}"
        )
        prompts = "object"
    return dataclasses.replace(config, training=dataclasses.replace(config.training, templates=prompts))


def meant(config: RunConfig) -> Iterator[str]:
    """What is allowed by itself, and makes no sense beside the rest."""
    if not re.fullmatch(r"[^/\\\0]{1,120}", config.experiment.name) or config.experiment.name.strip(". ") == "":
        yield f"experiment.name={written(config.experiment.name)}: expected the name of one folder"
    for key, prompts in (
        ("training.templates", templates_of(config.training.templates)),
        ("evaluation.prompts", config.evaluation.prompts),
        ("personalization.prompts", config.personalization.prompts),
    ):
        for prompt in prompts:
            if SLOT not in prompt:
                yield f"{key} has {prompt!r}: put {SLOT} where the learned tokens go"
    if not config.training.templates:
        yield "training.templates has no prompt: expected at least one, such as 'a photo of {}'"
    if not config.evaluation.prompts:
        yield "evaluation.prompts=[]: expected at least one prompt, such as 'a photo of {}'"
    training = config.training
    if training.schedule == "cosine" and training.horizon is None:
        yield "training.schedule=cosine: say where it ends, such as training.horizon=200"
    if training.average is not None and getattr(located(config.optimizer["_target_"]), "keeps_norms", False):
        yield f"training.average={training.average:g}: averaged rows are shorter than rows; choose optimizer=adamw"
    if training.horizon is not None and training.horizon <= training.warmup:
        yield f"training.horizon={training.horizon}: expected more than training.warmup={training.warmup}"
    if config.init.cuts and max(config.init.cuts) >= config.trainer.max_steps:
        yield (
            f"init.cuts has {max(config.init.cuts)}, past the end: expected steps below "
            f"trainer.max_steps={config.trainer.max_steps}"
        )
    for step in config.personalization.steps:
        if step > config.trainer.max_steps:
            yield (
                f"personalization.steps has {step}, past the end: expected steps from 0 to "
                f"trainer.max_steps={config.trainer.max_steps}"
            )
    if config.personalization.steps and not config.personalization.prompts:
        yield "personalization.prompts=[]: personalization.steps asks for pictures; give prompts, or no steps"
    yield from _choice(config)


def _choice(config: RunConfig) -> Iterator[str]:
    """The same of the step to take tokens from. What its metrics are, `mti.choice` looks at."""
    choice, drawn = config.evaluation.choice, config.personalization
    for given, other, example in (("fidelity", "following", "clip_t: 0.3"), ("following", "fidelity", "lpips: 0.4")):
        if getattr(choice, given) and not getattr(choice, other):
            told = f"evaluation.choice.{given}={written(getattr(choice, given))}"
            yield f"{told}: say evaluation.choice.{other} too, such as {{{example}}}"
    if choice.wanted and not drawn.prompts:
        yield "personalization.prompts=[]: evaluation.choice needs their pictures; give prompts, or no choice"
    evaluated = [*config.evaluation.steps, config.trainer.max_steps]
    if choice.wanted and drawn.steps and not set(drawn.steps) & set(evaluated):
        yield (
            f"personalization.steps={written(drawn.steps)}: evaluation.choice chooses among evaluated steps, and none "
            "of these is one; name some of evaluation.steps, or none for all of them"
        )


def together(configs: Sequence[RunConfig]) -> Iterator[str]:
    """What makes no sense in a whole list of runs."""
    names = list(dict.fromkeys(config.init.name for config in configs))
    for key, owner in (("text", "text"), ("path", "tokens")):
        given = [value for config in configs if (value := getattr(config.init, key)) is not None]
        if given and owner not in names:
            told = f"init.{key}={written(given[0])}: init={', '.join(names)} takes no {key}"
            yield f"{told}; choose init={owner}, or leave it out"


def raise_together(faults: Iterable[str]) -> None:
    """Raise a `UserError` with all faults, each once, if there are any."""
    lines = list(dict.fromkeys(faults))
    if lines:
        raise UserError("\n".join(lines))
