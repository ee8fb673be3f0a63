"""Lets `conf/hydra/launcher` use the names joblib, submitit and ray beside the plugins that have them too."""

from __future__ import annotations

from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.search_path_plugin import SearchPathPlugin

OURS = ("joblib", "submitit_slurm", "submitit_local", "ray")


class Names(SearchPathPlugin):
    """Where hydra-joblib-launcher and its like are installed, Hydra would check our configs against theirs.

    Their launchers start a process for each run; those of `conf/hydra/launcher` start one for a share of runs.
    Hydra calls this when all plugins have registered what they have.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Take the schemas of those names out of Hydra's store; the search path stays as it is."""
        launchers: dict[str, Any] = ConfigStore.instance().repo.get("hydra", {}).get("launcher", {})
        for name in OURS:
            launchers.pop(f"{name}.yaml", None)
