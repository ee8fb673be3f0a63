"""Small multiruns on a tiny model, in this process or in forked ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from mti.checks import checked
from mti.parts import Parts
from mti.plan import faults_of, placed
from mti.run import Executor, run_all
from mti.schema import RunConfig

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


def invert(configs: Sequence[RunConfig], executor: Executor | None = None) -> bool:
    """Train runs that are right; whether all of them ended well."""
    parts = Parts()
    assert not faults_of(configs, parts)
    return run_all(configs, parts, executor)
