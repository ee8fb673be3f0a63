"""Textual inversion from the command line: `python -m mti.run init=caption image=teapot`.

A single run is a list of one; with `-m`, the fused launcher hands a whole list to the same function:
plan, prepare, train and close, each in the file of that name.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from mti.checks import checked, raise_together
from mti.command_line import COMPOSING, CONF, DRY_RUN, command, composition_faults, own_folders
from mti.errors import UserError
from mti.schema import RunConfig, groups
from mti.typed import part

log = logging.getLogger("mti")

Executor = Callable[[Sequence[RunConfig]], None]
"""Has runs trained by other processes, and waits for them; see `mti.executors`."""


@command("run", RunConfig, dry_run=True)
def main(config: DictConfig) -> None:
    """Train one run."""
    start([typed(config)])


def typed(config: DictConfig) -> tuple[RunConfig | None, list[str]]:
    """A run as its configuration, or all that is wrong with it. Hydra's current configuration must be the run's."""
    about = HydraConfig.get()
    os.chdir(about.runtime.cwd)  # whatever hydra.job.chdir says: every run has a folder of its own
    return configured(config, about)


def composed(overrides: Sequence[str], folders: Sequence[Path] = ()) -> tuple[RunConfig | None, list[str]]:
    """The configuration of one run that is composed of overrides, or all that is wrong with it.

    Not for within an entry. `folders` are such as `--config-dir` names.
    """
    words = [*own_folders(folders), *overrides]
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra.compose("run", words, return_hydra_config=True)
    except COMPOSING as error:
        return None, composition_faults(words, "run", RunConfig, error)
    return configured(config, config.hydra)


def configured(config: DictConfig, about: Any) -> tuple[RunConfig | None, list[str]]:
    """The same of what was composed; `about` is the node `hydra` of it."""
    from mti.plan import placed  # torch and its company, which --help need not wait for

    with open_dict(config):
        config.pop("hydra", None)
    found, faults = checked(config, RunConfig)
    overrides: Any = OmegaConf.to_container(about.overrides.task, resolve=False)  # as they were typed
    choices = {key: choice for key, choice in about.runtime.choices.items() if not key.startswith("hydra/")}
    found = replace(found, overrides=overrides, choices=choices) if found else None
    return (placed(found) if found and not faults else found), faults


def start(
    runs: Sequence[tuple[RunConfig | None, list[str]]],
    executor_node: Mapping[str, Any] | None = None,
    worst: float = math.inf,
) -> list[float | None]:
    """Train all runs; ends the process with 1 if one of them failed, and as a shell would if it was told to stop.

    Gives what each run is worth to Hydra's sweeper, `worst` if it failed; None if there is no `sweep.objective`.

    Raises:
        UserError: all that is wrong with the configurations, a line each.
    """
    from mti.objective import objective
    from mti.parts import Parts
    from mti.termination import TERMINATION, Terminated

    parts, faults = Parts(), list[str]()
    node = part(executor_node, "hydra.launcher.executor", faults) if executor_node else None
    if DRY_RUN.get():
        for line in foretold(runs, parts, faults):
            print(line, flush=True)
        sys.exit(0)
    configs = ready(runs, parts, faults)
    executor = parts.build(node) if node else None
    try:
        with TERMINATION.handled():
            good = run_all(configs, parts, None if getattr(executor, "here", False) else executor)
    except Terminated as stopped:
        print("mti: stopped; the same command goes on from the last checkpoints", file=sys.stderr)
        sys.exit(stopped.exit_code)
    if not any(config.sweep.objective for config in configs):
        return [None] * len(configs) if good else sys.exit(1)
    return [objective(config, worst) for config in configs]


def ready(
    runs: Sequence[tuple[RunConfig | None, list[str]]], parts: Any, faults: Sequence[str] = ()
) -> list[RunConfig]:
    """The configurations of runs that can be begun; what they lack is fetched if they say so.

    Raises:
        UserError: all that is wrong with them, and the faults of before, a line each.
    """
    from mti.download import fetch, missing
    from mti.plan import faults_of

    configs, faults, needs = gathered(runs, parts, faults)
    if not faults and any(config.download for config in configs):
        fetch(needs)
    raise_together([*faults, *filter(None, [missing(needs)]), *faults_of(configs, parts)])
    return configs


def foretold(
    runs: Sequence[tuple[RunConfig | None, list[str]]], parts: Any, faults: Sequence[str] = ()
) -> Iterator[str]:
    """What the runs would take, in lines; what they lack is named, and not fetched. Nothing is begun or written.

    Raises:
        UserError: all that is wrong with them, a line each.
    """
    from mti.download import missing
    from mti.dry_run import forecast
    from mti.plan import faults_of
    from mti.weights import GET

    configs, faults, needs = gathered(runs, parts, faults)
    raise_together([*faults, *(fault for fault in faults_of(configs, parts) if GET not in fault)])
    trials = HydraConfig.get().sweeper.get("n_trials") if HydraConfig.initialized() else None
    if trials:
        yield f"trials: {trials}, which the sweeper chooses as it goes; this is its first batch"
    yield from forecast(configs, parts, missing(needs))


def gathered(
    runs: Sequence[tuple[RunConfig | None, list[str]]], parts: Any, faults: Sequence[str]
) -> tuple[list[RunConfig], list[str], list[Any]]:
    """The configurations that there are, all that is known to be wrong, and the files that they need."""
    from mti.download import needed_by

    configs = [config for config, _ in runs if config]
    needs = [need for config in configs for need in needed_by(config, parts)]
    return configs, [*(fault for _, found in runs for fault in found), *faults], needs


def run_all(configs: Sequence[RunConfig], parts: Any, executor: Executor | None = None) -> bool:
    """Train, evaluate and write every run that is not finished yet; whether all of them ended well."""
    from mti.callbacks.progress import closing_table
    from mti.plan import closing_row

    refused: dict[str, str] = {}
    if executor:
        executor(configs)
    else:
        refused = run_pending(configs, parts)
    if len(refused) == len(configs):
        sys.exit(2)
    rows = [closing_row(config, refused) for config in configs]
    closing_table(rows)
    return all(row["status"] == "finished" for row in rows)


def run_pending(configs: Sequence[RunConfig], parts: Any) -> dict[str, str]:
    """Do all that is left to do of checked configurations in this process, group by group of what they share.

    Returns the folders of the runs that could not be begun, with the reasons.
    """
    from mti.close import fail
    from mti.lightning import device_of
    from mti.outputs import allow_locks
    from mti.plan import opened
    from mti.prepare import Preparation
    from mti.train import train

    refused: dict[str, str] = {}
    waiting = []
    allow_locks(len(configs))
    with ExitStack() as locks:
        for config in configs:
            try:
                waiting += [run] if (run := opened(config, parts, locks)) else []
            except UserError as error:
                refused[str(config.folder)] = str(error)
                log.error("mti: %s", error)
        together = groups([run.config for run in waiting])
        for number, (words, indices) in enumerate(together, 1):
            members = [waiting[i] for i in indices]
            if len(together) > 1:
                log.info("group %d of %d: %s; runs: %d", number, len(together), words, len(members))
            config = members[0].config
            log.info("loading %s", config.model.get("name", "the model"))
            try:
                model = parts.build(config.model).load().to(device_of(config.trainer))
            except UserError as mistake:
                for run in members:
                    fail(run, str(mistake))
                continue
            train(Preparation(model, parts)(members), model, parts)
            if number < len(together) and config.model != waiting[together[number][1][0]].config.model:
                parts.forget(config.model)
    return refused


if __name__ == "__main__":
    main()
