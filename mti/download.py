"""What a run needs from the network, fetched beforehand: `python -m mti.download model=sd15 metrics=paper`.

Takes the settings of the run. Nothing that is there already is fetched again, and nothing that is not read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, open_dict

from mti.checks import checked, raise_together
from mti.command_line import command
from mti.parts import Parts
from mti.schema import RunConfig
from mti.weights import Need

log = logging.getLogger("mti")


@command("run", RunConfig)
def main(config: DictConfig) -> None:
    """List what is needed, fetch what is missing, and say where it is."""
    with open_dict(config):
        config.pop("hydra", None)
    run, faults = checked(config, RunConfig)
    raise_together(faults)
    needs = needed_by(run, Parts()) if run else []
    if all(need.is_local for need in needs):
        log.info("there is nothing to download")
    for need in needs:
        if need.is_local:
            log.info("is there: %s, in %s", need.what, need.place)
    fetch(needs)


def needed_by(run: RunConfig, parts: Parts) -> list[Need]:
    """What the parts of a run need, each once. A part says so in its method `wanted`; making one costs nothing."""
    pointed = run.click not in (None, "recorded") or run.box is not None or run.crop == "thing"
    nodes = [run.model, run.init.initializer, *run.metrics.values(), *([run.segmenter] if pointed else [])]
    needs: dict[str, Need] = {}
    for node in nodes:
        for part in _with_inner(node):
            for need in getattr(parts.build(part), "wanted", list)():
                needs.setdefault(need.source, need)
    return list(needs.values())


def missing(needs: Sequence[Need]) -> str | None:
    """What is to be fetched, in one line; None if nothing is."""
    absent = list({need.source: need for need in needs if not need.is_local}.values())
    if not absent:
        return None
    total = sum(need.size or 0 for need in absent)
    return (
        f"to be downloaded, about {total:.2g} GB: {'; '.join(map(str, absent))}: "
        "`python -m mti.download` with the same settings does it, or download=true on the way"
    )


def fetch(needs: Sequence[Need]) -> None:
    """Fetch what is missing, one after the other. `UserError` for the first that cannot be had."""
    for need in needs:
        if not need.is_local:
            log.info("downloading %s", need)
            need.fetch()


def _with_inner(node: Any) -> Iterator[Mapping[str, Any]]:
    """A part's node, and those of the parts within it."""
    if isinstance(node, Mapping) and "_target_" in node:
        yield node
        for value in node.values():
            yield from _with_inner(value)


if __name__ == "__main__":
    main()
