"""Small multiruns on a tiny model, in this process or in forked ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from mti.checks import checked
from mti.inversion import Run
from mti.optimizers.adamw import AdamW
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.plan import PlannedRun, faults_of, placed
from mti.prepare import PreparedRun
from mti.run import Executor, run_all
from mti.schema import RunConfig, Training
from mti.types import Concept, InitialText, PreparedConcept

CONF = str(Path(__file__).parent.parent / "conf")
SMALL = [
    *("logger=csv", "trainer=cpu", "init=text", "init.text='a photo'", "trainer.max_steps=4"),
    *("evaluation.steps=[0,2]", "evaluation.samples=4", "evaluation.pictures=1", "evaluation.num_inference_steps=1"),
    *("metrics=none", "training.batch_size=2", "training.checkpoint_every=2", "training.runs_at_once=48"),
]


def composed(*overrides: str) -> DictConfig:
    """What Hydra makes of overrides."""
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("run", list(overrides))
    OmegaConf.set_struct(config, False)
    config.overrides = list(overrides)
    config.choices = {"model": "pocket"}
    return config


def configured(folder: Path | None, *overrides: str) -> RunConfig:
    """The configuration of one run, as `mti.run` makes it; with a folder of its own if one is given."""
    found, faults = checked(composed(*overrides), RunConfig)
    assert found, faults
    return replace(placed(found), folder=str(folder)) if folder else placed(found)


def small(folder: Path, model: Path, *overrides: str) -> RunConfig:
    """The same, small, on a tiny model."""
    return configured(folder, *SMALL, f"model.path={model}", "model.name=tiny", *overrides)


def prepared(folder: Path, at_once: int | str = 4, raced: int = 0) -> PreparedRun:
    """A run in a folder that cannot be trained: of one token, of which at most so many are to be trained at once."""
    picture = Image.new("RGB", (8, 8))
    config = configured(folder, f"training.runs_at_once={at_once}")
    planned = PlannedRun(config, RunFolder(folder), Concept("x", ()))
    concept, text = PreparedConcept("x", {}, (picture,), picture), InitialText("a", "given", "a")
    run = Run("x", 0, [1], [], Training(), AdamW())
    return PreparedRun(planned, concept, text, ["a"], torch.zeros(1, 3, 8, 8), None, run, raced)


def invert(configs: Sequence[RunConfig], executor: Executor | None = None) -> bool:
    """Train runs that are right; whether all of them ended well."""
    parts = Parts()
    assert not faults_of(configs, parts)
    return run_all(configs, parts, executor)
