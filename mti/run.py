"""Textual inversion from the command line: `python -m mti.run init=caption image=teapot`.

A single run is a list of one; with `-m`, the fused launcher hands a whole list to the same function.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf


@hydra.main(version_base="1.3", config_path="../conf", config_name="run")
def main(config: DictConfig) -> None:
    """Train one run."""
    start([prepared(config)])


def prepared(config: DictConfig) -> DictConfig:
    """A run's own configuration, its folder filled in. Hydra's current configuration must be the run's."""
    from mti.config import run_folder

    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    config.folder = str(run_folder(config, HydraConfig.get().overrides.task))
    return config


def start(configs: Sequence[DictConfig], spread: Any = None) -> None:
    """Train all runs, here or as `spread` has it.

    Ends the process with 1 if one of them failed, and with 2 for a mistake of the user's.
    """
    from mti.training import invert  # torch and its company, which --help need not wait for
    from mti.types import UserError

    try:
        good = invert(configs, spread)
    except UserError as mistake:
        print("\n".join(f"mti: {line}" for line in str(mistake).splitlines()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit("mti: interrupted; the same command goes on from the last checkpoints")
    if not good:
        sys.exit(1)


if __name__ == "__main__":
    main()
