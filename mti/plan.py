"""Plan: which runs there are, where they lie, what is done already. Nothing is loaded, all faults are told at once."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mti.checks import together
from mti.choice import Criterion, choice_faults, criteria
from mti.close import fail
from mti.concepts.captions import captions_of
from mti.concepts.clicks import resolve_clicks
from mti.concepts.identity import digest
from mti.concepts.prepared import check_concept
from mti.errors import UserError
from mti.outputs import RunFolder, safe_name
from mti.parts import Parts
from mti.ranges import INCIDENTAL
from mti.record import record_of
from mti.schema import RunConfig, defaults, flat, plain
from mti.templates import CAPTIONS
from mti.typed import settings_of, written
from mti.types import Concept

log = logging.getLogger("mti")

SHOWN = 5  # changes that are told of one run
NAMED = ("image", "init", "seed", "experiment", "experiment.name")  # in a folder's path already


@dataclass(frozen=True)
class PlannedRun:
    """A run that is to be trained: its folder is locked and holds its configuration."""

    config: RunConfig
    folder: RunFolder
    concept: Concept
    criteria: Sequence[Criterion] = ()  # what the step to take tokens from is chosen by

    @property
    def identity(self) -> dict[str, Any]:
        """What tells it from the others of its experiment."""
        return {"image": self.concept.name, "init": self.config.init.name, "seed": self.config.seed} | (
            {"settings": self.config.settings} if self.config.settings else {}
        )


# ------------------------------------------------------------------------------------------- where


def placed(config: RunConfig) -> RunConfig:
    """The configuration with its settings named, and with the folder that they lead to.

    The folder is <output_dir>/<experiment>/<image>/<init>/s<seed>, with all other settings in its last part.
    """
    matters = dict.fromkeys(flat(config, INCIDENTAL), False) | dict.fromkeys(flat(config, without=INCIDENTAL), True)
    told = [one for one in config.overrides if _tells(one.lstrip("+~").partition("=")[0].partition("@")[0], matters)]
    settings = ", ".join(sorted(one.lstrip("+") for one in told))
    if config.folder:
        return replace(config, settings=settings)
    last = "+".join([f"s{config.seed}", *(_part(one) for one in sorted(told))])
    parts = (config.experiment.name, image_part(config.image), config.init.name, last)
    return replace(config, settings=settings, folder=str(Path(config.output_dir, *map(safe_name, parts))))


def _part(override: str) -> str:
    """A setting in a folder's name: a list without its brackets, as its commas need not be told apart from others."""
    key, _, value = override.lstrip("+").partition("=")
    plain = re.fullmatch(r"\[([\w.,-]+)\]", value)
    return f"{key}-{plain[1].replace(',', '_') if plain else value}"


def _tells(key: str, matters: Mapping[str, bool]) -> bool:
    """Whether an override belongs in a run's name: it changes the result, and is not in the path already.

    `matters` says so of each setting; of a group's, one that does is enough.
    """
    around = key.partition(".")[0] in ("hydra", "hydra/launcher", "hydra/sweeper", "logger")
    own = [one for name, one in matters.items() if f"{name}.".startswith(f"{key}.")]
    return key not in NAMED and not around and (any(own) or not own)


def image_part(image: str) -> str:
    """An image's name; of a path its stem, with a short hash of where it is, since stems repeat."""
    path = Path(os.path.expanduser(image))
    if path.name == image and not path.suffix:
        return image
    return f"{path.stem}-{hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:6]}"


# -------------------------------------------------------------------------------------- what is wrong


def faults_of(configs: Sequence[RunConfig], parts: Parts) -> list[str]:
    """All that is wrong with a list of runs, as far as can be known before any weights are loaded; a line each."""
    faults = [fault for config in configs for fault in _faults(config, parts)]
    folders = Counter(config.folder for config in configs if config.folder)  # one with faults has no place yet
    faults += [
        f"{folder} would hold {count} runs: give each a folder of its own"
        for folder, count in folders.items()
        if count > 1
    ]
    return list(dict.fromkeys([*together(configs), *faults]))


def _faults(config: RunConfig, parts: Parts) -> Iterator[str]:
    for part in (
        lambda: parts.build(config.model).check(),
        lambda: parts.build(config.dataset).check(config.image),
        lambda: _check_concept(config, parts),
        lambda: getattr(parts.build(config.logger), "check", lambda: None)(),
        lambda: parts.build(config.stop) if config.stop else None,
    ):
        yield from _refusal(part)
    metrics = {name: parts.build(node) for name, node in config.metrics.items()}
    yield from choice_faults(config.evaluation.choice, metrics.values())
    for name, metric in metrics.items():
        for fault in _refusal(getattr(metric, "check", lambda: None)):
            yield f"metrics: {name}: {fault}"
        if not has_pictures(metric, config) and getattr(metric, "required", True):
            yield (
                f"metrics: {name} measures pictures of personalization.prompts, and none are drawn: "
                "say after how many updates, such as personalization.steps=[100]"
            )


def has_pictures(metric: object, config: RunConfig) -> bool:
    """Whether the pictures that a metric measures are drawn."""
    return config.personalizes or getattr(metric, "prompt_set", "reconstruction") != "personalization"


def _check_concept(config: RunConfig, parts: Parts) -> None:
    """What is wrong with a concept's clicks, or for its initializer, as long as nothing is to be downloaded for it."""
    initializer, data = parts.build(config.init.initializer), parts.build(config.dataset)
    if data.is_local(config.image):
        concept = data.concept(config.image)
        clicks = resolve_clicks(config.click, config.outside, config.box, concept)
        if config.training.mask and clicks is None:
            raise UserError(f"training.mask=thing: no click on {config.image}; give click=[x,y], or no mask")
        check_concept(concept, clicks, config.crop, parts.build(config.segmenter))
        prompts_of(config, concept)
        getattr(initializer, "check", lambda _: None)(concept)


def prompts_of(config: RunConfig, concept: Concept) -> list[list[str]]:
    """The prompts that each picture of a concept has by itself; none where `training.templates` are those of all."""
    return captions_of(concept.pictures) if config.training.templates == CAPTIONS else []


def _refusal(part: Callable[[], object]) -> Iterator[str]:
    try:
        part()
    except UserError as error:
        yield str(error)


# -------------------------------------------------------------------------------------- what is done


class Standing(NamedTuple):
    """How far a run has come."""

    finished: bool
    step: int  # of its newest checkpoint
    stopped: bool = False  # finished before its last step, by the rule that it still has


def standing(config: RunConfig, folder: RunFolder) -> Standing:
    """How far a run has come, as its folder says.

    Raises:
        UserError: the folder holds a run of another configuration, or cannot be read.
    """
    if folder.has_config:
        _refuse(folder, changes(folder.read_config(), config))
    steps = folder.checkpoints()  # a damaged file ends this run here, before it is in company
    folder.metrics()
    summary = folder.summary() or {}
    ended = summary.get("status") == "finished"
    finished = ended and summary.get("steps", 0) >= config.trainer.max_steps
    rule = (summary.get("stopped") or {}).get("rule")
    stopped = ended and not finished and config.stop is not None and rule == plain(config)["stop"]
    return Standing(finished or stopped, max(steps, default=0), stopped)


def opened(config: RunConfig, parts: Parts, locks: ExitStack) -> PlannedRun | None:
    """The run, its folder locked and its configuration written; None if there is nothing left to do for it.

    Raises:
        UserError: another process holds the folder, it holds another run, or cannot be read or written.
    """
    folder = RunFolder(Path(str(config.folder)))
    locks.enter_context(folder.locked())
    stands = standing(config, folder)
    try:
        concept = parts.build(config.dataset).concept(config.image)
        identity = {"name": concept.name, "sha256": digest(concept), "captions": prompts_of(config, concept)}
    except UserError as error:
        if folder.finished:  # it stays as it is
            raise
        folder.write_config(as_yaml(config))
        fail(PlannedRun(config, folder, Concept(config.image, ())), str(error))
        return None
    begun = (folder.read_record() or {}).get("concept", {})
    if begun and [begun.get("name"), begun.get("sha256")] != [concept.name, identity["sha256"]]:
        _refuse(folder, [f"image={config.image} is another picture now"])
    if begun and begun.get("captions", []) != identity["captions"]:
        _refuse(folder, [f"the pictures of image={config.image} have other captions now"])
    if stands.stopped:
        log.info("stopped by its rule at step %s, skipped: %s; another stop=… goes on", stands.step, folder.path)
        return None
    if stands.finished:
        log.info("finished before, skipped: %s", folder.path)
        return None
    folder.write_config(as_yaml(config))
    folder.write_record(record_of(config, {**identity, "path": str(concept.pictures[0])}))
    metrics = [parts.build(node) for node in config.metrics.values()]
    return PlannedRun(config, folder, concept, criteria(config.evaluation.choice, metrics))


def as_yaml(config: RunConfig) -> str:
    """The configuration as it is kept."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True)


def _refuse(folder: RunFolder, changed: Sequence[str]) -> None:
    more = [f"and {len(changed) - SHOWN} more"] * (len(changed) > SHOWN)
    if changed:
        raise UserError(
            f"{folder.path} holds a run of another configuration ({'; '.join([*changed[:SHOWN], *more])}): "
            "delete it, or choose another experiment.name"
        )


def changes(begun: Mapping[str, Any], config: RunConfig) -> list[str]:
    """What a configuration says otherwise than the one that a run was begun with: "key: old -> new".

    A run that was begun before there was a setting has its default.
    """
    after = _flattened(plain(config))
    before = {key: value for key, value in defaults().items() if key in after} | _flattened(begun)
    incidental = flat(config, INCIDENTAL)
    sections = tuple(f"{name}." for name, one in settings_of(RunConfig).items() if INCIDENTAL in one.marks)
    return [
        f"{key}: {written(before.get(key))} -> {written(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and key not in (*incidental, "image") and not key.startswith(sections)
    ]


def _flattened(node: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {key: node}
    return {
        k: v for name, value in node.items() for k, v in _flattened(value, f"{key}.{name}" if key else name).items()
    }


def closing_row(config: RunConfig, refused: Mapping[str, str]) -> dict[str, Any]:
    """The run's line in the table that ends a session."""
    folder = RunFolder(Path(str(config.folder)))
    about: dict[str, Any] = {"folder": config.folder, "image": config.image, "init": config.init.name}
    about |= {"seed": config.seed, "settings": config.settings.split(", ") if config.settings else []}
    if str(config.folder) in refused:
        return {**about, "status": "not begun"}
    try:
        summary = folder.summary() or {"status": "unfinished"}
        curve = list(folder.metrics().get("eval/mse", {}).values())
    except UserError as error:
        log.error("%s", error)
        return {**about, "status": "damaged"}
    ends = {"first": curve[0], "final": curve[-1]} if curve else {}
    return {**summary, **about, **ends}
