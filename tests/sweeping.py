"""Small multiruns on a tiny model, in this process or in forked ones."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

CONF = str(Path(__file__).parent.parent / "conf")
SMALL = [
    *("logger=csv", "trainer=cpu", "init=text", "init.text='a photo'", "trainer.max_steps=4"),
    *("evaluation.steps=[0,2]", "evaluation.samples=4", "evaluation.pictures=1", "evaluation.num_inference_steps=1"),
    *("metrics=none", "training.batch_size=2", "training.checkpoint_every=2", "training.runs_at_once=48"),
]


def configured(folder: Path, model: Path, *overrides: str) -> DictConfig:
    """The configuration of one run, as the launcher hands it to `invert`."""
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("run", [*SMALL, f"model.path={model}", "model.name=tiny", *overrides])
    OmegaConf.set_struct(config, False)
    config.folder = str(folder)
    return config
