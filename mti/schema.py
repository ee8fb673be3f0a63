"""The configuration's sections: of every setting its name, type, range and default, and what runs share.

`conf/` has the same settings with what each is for; Hydra composes it, and `mti.checks` makes it a `RunConfig`.
Parts (a model, a metric …) are checked against what their classes are made with: see `mti.typed`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mti.ranges import INCIDENTAL, SHARED, Above, AtLeast, Between
from mti.templates import templates_of
from mti.typed import Part, settings_of, walk, written

Steps = list[Annotated[int, AtLeast(0)]]
Count = Annotated[int, AtLeast(1)]
Pixel = Annotated[int, AtLeast(0)] | Annotated[float, AtLeast(0)]
Point = list[Pixel]
Points = Point | list[Point]


@dataclass(frozen=True)
class Training:
    """How the placeholder embeddings are trained."""

    learning_rate: Annotated[float, Above(0)] = 0.005
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: Annotated[int, AtLeast(0)] = 0
    horizon: Annotated[int | None, AtLeast(1)] = None
    average: Annotated[float | None, Between(0, 1)] = None
    timesteps: Literal["uniform", "stratified"] = "uniform"
    mask: Literal["thing"] | None = None
    background: Annotated[float, Between(0, 1)] = 0.0
    batch_size: Annotated[int, AtLeast(1), SHARED] = 4
    weight_decay: Annotated[float, AtLeast(0)] = 0.0
    max_grad_norm: Annotated[float, Above(0)] | None = None
    templates: list[str] | str = "object"  # a name of `mti.templates`, or prompts; `mti.checks` reads them from a file
    flip: bool = False
    checkpoint_every: Annotated[int, AtLeast(1), SHARED, INCIDENTAL] = 50
    runs_at_once: Annotated[int | None, AtLeast(1), SHARED, INCIDENTAL] = None
    samples_at_once: Annotated[int | None, AtLeast(1), SHARED, INCIDENTAL] = None


@dataclass(frozen=True)
class Choice:
    """Which step to take tokens from: the first whose metrics, by the names of their values, reach these levels."""

    fidelity: dict[str, float] | None = None
    following: dict[str, float] | None = None

    @property
    def wanted(self) -> bool:
        """Whether a step is to be chosen."""
        return bool(self.fidelity or self.following)


@dataclass(frozen=True)
class Evaluation:
    """How runs are evaluated while they are trained."""

    steps: Steps = field(default_factory=lambda: [0])
    prompts: list[str] = field(default_factory=list)
    negative_prompt: str = ""
    samples: Count = 60
    pictures: Annotated[int, AtLeast(0)] = 12
    sampler: Literal["ddim", "dpm++"] = "dpm++"
    num_inference_steps: Count = 12
    guidance_scale: Annotated[float, AtLeast(0)] = 4.0
    batch_size: Annotated[int, AtLeast(1), INCIDENTAL] = 192
    choice: Choice = field(default_factory=Choice)


@dataclass(frozen=True)
class Personalization:
    """Pictures that put the learned thing elsewhere."""

    steps: Steps = field(default_factory=list)
    pictures: Count = 4
    prompts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Trainer:
    """Of the Lightning trainer; a process trains on one device, and the launcher starts a process for each."""

    max_steps: Annotated[int, AtLeast(1), SHARED, INCIDENTAL] = 200
    accelerator: Annotated[Literal["auto", "cpu", "gpu", "cuda", "mps"], SHARED, INCIDENTAL] = "auto"
    devices: Annotated[Literal[1], SHARED, INCIDENTAL] = 1


@dataclass(frozen=True)
class Sweep:
    """What a job of a multirun tells Hydra's sweeper, such as Optuna's."""

    objective: str | None = None
    step: Annotated[int | None, AtLeast(0)] = None
    level: float | None = None


@dataclass(frozen=True)
class Experiment:
    """What the results are filed under."""

    name: str = "default"


@dataclass(frozen=True)
class Init:
    """The initial text, and how the thing is cut out for the model that looks at it."""

    name: str
    initializer: Part
    source: Literal["model", "recorded"] = "model"
    text: str | None = None
    path: str | None = None
    inner: dict[str, Any] | None = None
    candidates: Annotated[int | None, AtLeast(2)] = None
    cuts: list[Count] | None = None
    num_vectors: Annotated[int | None, AtLeast(1)] = None
    padding: Literal["repeat", "star", "mean", "spread"] = "repeat"
    background: Literal["white", "kept"] = "white"
    margin: Annotated[float, Between(0, 10)] = 0.1
    click: Literal["recorded"] | Points | None = None
    outside: Points | None = None
    box: Point | None = None


@dataclass(frozen=True)
class RunConfig:
    """All that a run is. `folder` and `settings` are filled in from the others and the overrides."""

    image: str
    init: Init
    model: Annotated[Part, SHARED]
    dataset: Part
    classifier: Part
    captioner: Part
    segmenter: Part
    refiner: Part | None
    metrics: Annotated[dict[str, Part], SHARED]
    logger: Annotated[Part, SHARED, INCIDENTAL]
    trainer: Trainer
    training: Training
    evaluation: Annotated[Evaluation, SHARED]
    personalization: Annotated[Personalization, SHARED]
    experiment: Experiment
    optimizer: Part = field(default_factory=lambda: Part({"_target_": "mti.optimizers.adamw.AdamW"}))
    stop: Annotated[Part | None, INCIDENTAL] = None  # like max_steps: how long it is trained, not how
    sweep: Annotated[Sweep, INCIDENTAL] = field(default_factory=Sweep)
    seed: int = 0
    click: Literal["recorded"] | Points | None = "recorded"
    outside: Points | None = None
    box: Point | None = None
    crop: Literal["centre", "thing", "pad"] | None = None
    output_dir: Annotated[str, INCIDENTAL] = "outputs"
    folder: Annotated[str | None, INCIDENTAL] = None
    download: Annotated[bool, INCIDENTAL] = False
    settings: Annotated[str, INCIDENTAL] = ""  # what it is told from its likes by, beside image, init and seed
    choices: Annotated[dict[str, Any], INCIDENTAL] = field(default_factory=dict)  # of the config groups
    overrides: Annotated[list[str], INCIDENTAL] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The run in a few words."""
        words = [self.image, self.init.name, f"seed {self.seed}", *filter(None, [self.settings])]
        return ", ".join(words)

    @property
    def personalizes(self) -> bool:
        """Whether pictures of the personalization prompts are drawn."""
        return bool(self.personalization.steps) or self.evaluation.choice.wanted

    @property
    def prompts(self) -> list[str]:
        """All prompts that its placeholders are put into."""
        elsewhere = self.personalization.prompts if self.personalizes else []
        return [*templates_of(self.training.templates), *self.evaluation.prompts, *elsewhere]


@dataclass(frozen=True)
class Generate:
    """What `mti.generate` draws; null is what the run was evaluated with."""

    run: str | list[str]
    prompt: str | None = None
    negative_prompt: str | None = None
    pictures: Annotated[int | None, AtLeast(1)] = None
    seed: int | None = None
    step: Annotated[int, AtLeast(0)] | Literal["chosen"] | None = None
    sampler: Literal["ddim", "dpm++"] | None = None
    num_inference_steps: Annotated[int | None, AtLeast(1)] = None
    guidance_scale: Annotated[float | None, AtLeast(0)] = None
    batch_size: Count = 48
    base_model: str | None = None
    device: str | None = None
    output: str | None = None


def plain(config: Any) -> dict[str, Any]:
    """A checked configuration as plain data, as it is kept in a run folder."""
    return _plain(config)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


@functools.cache
def defaults(kind: Any = RunConfig, key: str = "") -> dict[str, Any]:
    """The default of every setting that has one, by its dotted key."""
    found: dict[str, Any] = {}
    for one in dataclasses.fields(kind):
        path, made = f"{key}.{one.name}" if key else one.name, one.default_factory
        value = made() if made is not dataclasses.MISSING else one.default
        inner = settings_of(kind)[one.name].hint
        inner = getattr(inner, "__origin__", inner)
        if dataclasses.is_dataclass(inner):
            found |= defaults(inner, path)
        elif isinstance(value, Part):
            found |= {f"{path}.{name}": argument for name, argument in value.items()}
        elif value is not dataclasses.MISSING:
            found[path] = value
    return found


def flat(config: RunConfig, mark: str | None = None, without: str | None = None) -> dict[str, Any]:
    """Every setting by its dotted key; only those with a mark, or without one."""
    return {
        key: value
        for key, value, marks in walk(config, RunConfig)
        if (mark is None or mark in marks) and (without is None or without not in marks)
    }


def groups(configs: Sequence[RunConfig]) -> list[tuple[str, list[int]]]:
    """The runs that can be trained together, as their indices, with what sets each group apart from the others.

    The words are empty for a single group, and such as "model.precision=bf16, trainer.max_steps=100" for several.
    """
    members: dict[str, list[int]] = {}
    shared = [flat(config, SHARED) for config in configs]
    for i, part in enumerate(shared):
        members.setdefault(repr(sorted(part.items(), key=lambda item: item[0])), []).append(i)
    firsts = [shared[indices[0]] for indices in members.values()]
    apart = differing(firsts)
    words = [", ".join(f"{key}={written(one[key])}" for key in apart if key in one) for one in firsts]
    return list(zip(words, members.values(), strict=True))


def differing(flats: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all."""
    keys: Iterable[str] = sorted({key for one in flats for key in one})
    return [key for key in keys if len({repr(one.get(key, "")) for one in flats}) > 1]
