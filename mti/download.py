"""What a run needs from the network, fetched beforehand: `python -m mti.download model=sd15 metrics=[paper]`.

Takes the settings of the run. Nothing that is there already is fetched again, and nothing that is not read.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from mti.types import UserError
from mti.weights import Need

log = logging.getLogger("mti")

PARTS = ("model", "init.initializer", "metrics", "dataset")  # of the configuration, with all that is in them


@hydra.main(version_base="1.3", config_path="../conf", config_name="run")
def main(config: DictConfig) -> None:
    """List what is needed, fetch what is missing, and say where it is."""
    try:
        needs = needed_by(config)
        for need in needs:
            log.info("%s: %s", f"is in {need.place}" if need.is_local else "is fetched", need)
        fetch(needs)
    except UserError as mistake:
        print(f"mti: {mistake}", file=sys.stderr)
        sys.exit(2)


def needed_by(config: DictConfig) -> list[Need]:
    """What the parts of a run need, each once. A part says so in its method `wanted`; making one costs nothing."""
    needs: dict[str, Need] = {}
    for node in (OmegaConf.select(config, name) for name in PARTS):
        for part in _parts(node):
            for need in getattr(part, "wanted", list)():
                needs.setdefault(need.source, need)
    return list(needs.values())


def missing(needs: Sequence[Need]) -> str | None:
    """What is to be fetched, in one line; None if nothing is."""
    absent = [need for need in needs if not need.is_local]
    if not absent:
        return None
    total = sum(need.size or 0 for need in absent)
    return (
        f"{len(absent)} downloads of about {total:.1f} GB are missing: {'; '.join(map(str, absent))}. "
        "Get them with `python -m mti.download` and the same settings, or on the way with download=true"
    )


def fetch(needs: Sequence[Need]) -> None:
    """Fetch what is missing, one after the other. `UserError` for the first that cannot be had."""
    for need in needs:
        if not need.is_local:
            need.fetch()


def _parts(node: Any) -> Iterator[Any]:
    """The parts that a node describes, those within others too."""
    if not isinstance(node, DictConfig):
        return
    if "_target_" in node:
        yield hydra.utils.instantiate(node)
    for value in node.values():
        yield from _parts(value)


if __name__ == "__main__":
    main()
