"""From Hydra's configurations to checked plans: where runs go, what is wrong with them, which belong together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mti.templates import TEMPLATES
from mti.tokens import SLOT
from mti.types import Concept, UserError

# Overrides that are folders already, or that change nothing about the result.
UNNAMED = re.compile(
    r"^\+*(image|init|seed|experiment|experiment\..*|segmenter\.download|logger|logger\..*|output_dir|folder|hydra.*"
    r"|training\.runs_at_once|evaluation\.batch_size)$"
)
# What runs trained together must have in common.
SHARED = (
    *("model", "trainer", "evaluation", "personalization", "metrics", "logger"),
    *("training.batch_size", "training.checkpoint_every"),
)
# What may differ between a run and its continuation.
INCIDENTAL = (
    *("folder", "output_dir", "logger", "trainer.accelerator", "trainer.devices"),
    *(
        "training.runs_at_once",
        "evaluation.batch_size",
        "segmenter.download",
        "init.initializer.focus.segmenter.download",
    ),
)
# What may be left to the program, as null.
OPTIONAL = ("training.runs_at_once", "training.max_grad_norm")
LONGEST_NAME = 120
LEAST = {
    "trainer.max_steps": 1,
    "training.batch_size": 1,
    "training.checkpoint_every": 1,
    "training.runs_at_once": 1,
    "training.weight_decay": 0,
    "evaluation.samples": 1,
    "evaluation.pictures": 0,
    "evaluation.num_inference_steps": 1,
    "evaluation.batch_size": 1,
    "personalization.pictures": 1,
}


def run_folder(config: DictConfig, overrides: Sequence[str]) -> Path:
    """outputs/<experiment>/<image>/<init>/s<seed>, with all other overrides in the last part of the name."""
    if config.folder:
        return Path(config.folder)
    others = sorted(o.lstrip("+") for o in overrides if not UNNAMED.match(o.partition("=")[0]))
    name = "+".join([f"s{config.seed}", *(other.replace("=", "-", 1) for other in others)])
    return Path(
        config.output_dir, config.experiment.name, _image_part(str(config.image)), config.init.name, _safe(name)
    )


def _image_part(image: str) -> str:
    """An image's name; a path's stem with a short hash of the path, since stems repeat."""
    path = Path(image).expanduser()
    if path.name == image and not path.suffix:
        return _safe(image)
    return _safe(f"{path.stem}-{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:6]}")


def _safe(name: str) -> str:
    """A name that any file system takes, and Hydra without quotes; still telling from its neighbours."""
    safe = re.sub(r"[^\w.+-]+", "_", name)
    if safe == name and len(safe) <= LONGEST_NAME:
        return safe
    return f"{safe[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def build(node: Any) -> Any:
    """Hydra's `instantiate`, with a user's mistake raised as itself."""
    try:
        return instantiate(node)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def check(configs: Sequence[DictConfig]) -> None:
    """Find all faults of all configurations, before any weights are loaded, and raise them together."""
    faults: dict[str, None] = {}  # in order, each once
    for config in configs:
        for fault in _faults(config):
            faults[fault] = None
    folders = [str(config.folder) for config in configs]
    for folder in {folder for folder in folders if folders.count(folder) > 1}:
        faults[f"{folder} would hold {folders.count(folder)} runs: give each a folder of its own"] = None
    if faults:
        raise UserError("\n".join(faults))


def _faults(config: DictConfig) -> Iterable[str]:
    training, evaluation = config.training, config.evaluation
    for part in (
        lambda: build(config.model).check(),
        lambda: build(config.dataset).check(str(config.image)),
        lambda: _check_initializer_at_hand(config),
    ):
        fault = _refusal(part)
        if fault:
            yield fault
    if training.templates not in TEMPLATES:
        yield f"training.templates={training.templates}: expected one of {', '.join(TEMPLATES)}"
    for key, prompts in (("evaluation", evaluation.prompts), ("personalization", config.personalization.prompts)):
        for prompt in prompts:
            if SLOT not in prompt:
                yield f"{key}.prompts has {prompt!r}: put {SLOT} where the learned tokens go"
    for name, node in (config.metrics or {}).items():
        metric = build(node)
        fault = _refusal(getattr(metric, "check", lambda: None))
        if fault:
            yield f"metrics: {name}: {fault}"
        if getattr(metric, "prompt_set", "") == "personalization" and not config.personalization.steps:
            yield (
                f"metrics: {name} prompt_set pictures of personalization.prompts, and none are drawn: "
                "say after how many updates, such as personalization.steps=[100]"
            )
    for name, least in LEAST.items():
        value = OmegaConf.select(config, name)
        if not (isinstance(value, int | float) and value >= least) and not (value is None and name in OPTIONAL):
            yield f"{name}={value}: expected a number of at least {least}"
    for name in ("training.learning_rate", "training.max_grad_norm"):
        value = OmegaConf.select(config, name)
        if not (isinstance(value, int | float) and value > 0) and not (value is None and name in OPTIONAL):
            yield f"{name}={value}: expected a number above 0"


def check_initializer(config: DictConfig, concept: Concept) -> None:
    """Raise a `UserError` for what an initializer finds wrong with a concept before it loads any weights."""
    getattr(build(config.init.initializer), "check", lambda _: None)(concept)


def _check_initializer_at_hand(config: DictConfig) -> None:
    """The same, as long as nothing is to be downloaded for it."""
    build(config.init.initializer)
    data = build(config.dataset)
    if data.is_local(str(config.image)):
        check_initializer(config, data.concept(str(config.image)))


def _refusal(part: Callable[[], object]) -> str | None:
    try:
        part()
    except UserError as error:
        return str(error)
    return None


def groups(configs: Sequence[DictConfig]) -> list[tuple[str, list[int]]]:
    """The runs that can be trained together, as their indices, with what sets each group apart from the others.

    The words are empty for a single group, and such as "model.precision=bf16, trainer.max_steps=100" for several.
    """
    members: dict[str, list[int]] = {}
    shared = [OmegaConf.masked_copy(config, [key.partition(".")[0] for key in SHARED]) for config in configs]
    parts = [{key: value for key, value in _flat(one).items() if _is_shared(key)} for one in shared]
    for i, part in enumerate(parts):
        members.setdefault(repr(sorted(part.items())), []).append(i)
    firsts = [parts[indices[0]] for indices in members.values()]
    apart = sorted({key for one in firsts for key in one if any(one[key] != other.get(key) for other in firsts)})
    words = [", ".join(f"{key}={one[key]}" for key in apart if key in one) for one in firsts]
    return list(zip(words, members.values(), strict=True))


def _is_shared(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in SHARED)


def changes(old: DictConfig, new: DictConfig) -> list[str]:
    """What a configuration says otherwise than the one that a run was started with: "key: old -> new"."""
    before, after = _flat(old), _flat(new)
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not key.startswith(INCIDENTAL)
    ]


def _flat(config: DictConfig) -> dict[str, Any]:
    flat: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                flat[f"{prefix}{key}"] = value

    walk(OmegaConf.to_container(config, resolve=True), "")
    return flat
