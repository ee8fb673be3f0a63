"""Composing the jobs of a multirun: Hydra's own loader takes a tenth of a second for each, and is asked twice."""

from __future__ import annotations

import pickle
from typing import Any

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class ComposedOnce:
    """Hydra's loader, which composes jobs that differ in plain values only once, and sets their values in copies.

    What it does not know to be a plain value, such as a choice from a group, an addition or a mistake, is left to
    Hydra's.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._parser = OverridesParser.create(loader)
        self._kept: dict[tuple[str, ...], bytes] = {}  # as pickles, which are copied twice as fast as configurations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The configuration of one job."""
        choices = master_config.hydra.runtime.choices
        overrides = self._parser.parse_overrides(sweep_overrides)
        chosen = tuple(one.input_line or "" for one in overrides if one.key_or_group in choices)
        values = [one for one in overrides if one.key_or_group not in choices]
        if not all(_is_change(one) for one in overrides):
            return self._loader.load_sweep_config(master_config, sweep_overrides)
        if chosen not in self._kept:
            self._kept[chosen] = pickle.dumps(self._loader.load_sweep_config(master_config, list(chosen)))
        config: DictConfig = pickle.loads(self._kept[chosen])
        try:
            for one in values:
                if isinstance(OmegaConf.select(config, one.key_or_group), DictConfig):
                    return self._loader.load_sweep_config(master_config, sweep_overrides)
                OmegaConf.update(config, one.key_or_group, one.value())
        except OmegaConfBaseException:
            return self._loader.load_sweep_config(master_config, sweep_overrides)
        job = config.hydra.job
        config.hydra.overrides.task = list(sweep_overrides)
        job.override_dirname = get_overrides_dirname(overrides, **job.config.override_dirname)
        return config


def _is_change(override: Override) -> bool:
    """Whether it sets what is there, and is not of Hydra's own."""
    plain = override.type is OverrideType.CHANGE and override.package is None
    return plain and not override.is_hydra_override()
