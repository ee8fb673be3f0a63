"""Bad and odd inputs to every entry: `python tests/faults/inputs.py`. Prints how many there were, and every failure.

Every key of `mti.run` and `mti.generate` gets every kind of value, and what is odd in other ways stands in
`faults.odd`. Whatever the input: no traceback, no hang, and the exit code 2 for a mistake, with lines that name the
key and say each thing once. An input that is taken is followed to the end of planning, and no further.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
os.environ.update(WANDB_MODE="offline", HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")

from faults.odd import EITHER, GENERATE, REFUSED, Input, odd  # noqa: E402
from faults.odd_files import make  # noqa: E402
from faults.processes import CONTEXT, run  # noqa: E402

LIMIT = 120  # seconds after which an entry hangs
LONGEST = 700  # characters of a line that somebody reads
TAKEN = ("mti.schema.groups", "mti.executors.chunks", "mti.tokens.slotted_ids", "mti.reporting.charts.Charts")
"""What the entries ask for once an input is taken; nothing that reads inputs comes after it."""

SMALL = ("init=text", "init.text=teapot", "image=teapot", "logger=csv", "trainer=cpu", "output_dir=o")

VALUES = {
    "text": "abc",
    "negative": "-3",
    "zero": "0",
    "fraction": "2.5",
    "huge": "1" + "0" * 30,
    "nan": "nan",
    "null": "null",
    "list": "[1,b]",
    "dict": "{a: 1}",
    "bool": "true",
    "empty": "",
    "interpolation": "${nowhere.to.be.found}",
    "unicode": "\u200b茶\U0001f600\u202e",
}
NO_NUMBER = {"text", "nan", "list", "dict", "bool", "empty", "interpolation", "unicode"}
REFUSALS: dict[type, set[str]] = {
    int: NO_NUMBER | {"fraction"},
    float: NO_NUMBER,
    bool: set(VALUES) - {"bool"},
    list: set(VALUES) - {"null", "list"},
    str: {"dict", "interpolation"},
    dict: {"text", "negative", "zero", "fraction", "huge", "nan", "bool", "empty", "interpolation", "unicode"},
    type(None): {"interpolation"},
}
"""The values that a key must refuse, by the type of its default."""

FILLED_IN = {"overrides", "choices", "settings"}
PARTS = {
    "": ("metrics=pocket", "personalization.steps=[0]"),
    "refiner": ("refiner=openai",),
    "segmenter": ("segmenter=sam_vit_b",),
    "dataset": ("dataset=folder", "dataset.root=pictures", "image=cup"),
    "logger": ("logger=wandb",),
    "hydra.launcher.executor": ("-m", "hydra/launcher=fused_local"),
}
"""Further choices that have keys of their own, by the key that these begin with; the first is asked for all keys."""


@dataclass(frozen=True)
class Before:
    """What a process does before its entry: it goes to its place, and ends well once the input is taken."""

    place: Path
    environment: tuple[tuple[str, str], ...]

    def __call__(self) -> None:
        """Do it."""
        os.chdir(self.place)
        os.environ.update(self.environment)
        for name in TAKEN:
            module, _, function = name.rpartition(".")
            setattr(importlib.import_module(module), function, _end)


def _end(*_: object, **__: object) -> None:
    sys.exit(0)


def faults_of(given: Input, place: Path, log: Path) -> list[str]:
    """Give an entry an input; what is wrong with how it took it, in words."""
    code = run(given.entry, list(given.arguments), log, Before(place, given.environment), limit=LIMIT)
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if re.match(r"mti: |python -m \S+: error: ", line)]
    faults = ["it hung"] * (code is None)
    faults += ["a traceback"] * ("Traceback" in text)
    faults += [f"exit code {code}, expected {' or '.join(map(str, given.codes))}"] * (code not in given.codes)
    if code == 2:
        faults += ["no line says why"] * (not lines)
        faults += ["a line twice"] * (len(set(lines)) < len(lines))
        faults += ["a line is too long"] * any(len(line) > LONGEST for line in lines)
        faults += [f"no line names {given.named}"] * (not any(given.named in line for line in lines))
    return [*faults, text[-1500:].strip()] if faults else []


# ------------------------------------------------------------------------------------------ every key


def settings(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of a composed configuration with their defaults, sections and parts included."""
    if key:
        yield key, node
    if isinstance(node, dict):
        for name, one in node.items():
            yield from settings(one, f"{key}.{name}".lstrip("."))


def every_key() -> Iterator[Input]:
    """Each key of each configuration with each kind of value."""
    for root, more in PARTS.items():
        for key, default in settings(_composed("run", (*SMALL, *(one for one in more if one != "-m")), root)):
            if key.startswith(root) and not key.endswith(("_target_", "_recursive_")):
                yield from _each_value("mti.run", (*SMALL, *more), key, default)
    for key, default in settings(_composed("generate", GENERATE)):
        yield from _each_value("mti.generate", GENERATE, key, default)


def _each_value(entry: str, base: Sequence[str], key: str, default: Any) -> Iterator[Input]:
    from mti.literals import PATHS, TEXTS

    others = [one for one in base if one.partition("=")[0] != key]
    interpolated = isinstance(default, str) and "${" in default
    refusals = set() if key in FILLED_IN else REFUSALS[type(None) if interpolated else type(default)]
    if key.rpartition(".")[2] in TEXTS | PATHS:
        refusals = refusals - {"dict"}  # a text
    for kind, value in VALUES.items():
        codes = REFUSED if kind in refusals else EITHER
        named = key.rpartition(".")[2] if kind in refusals else ""
        yield Input(entry, (*others, f"{key}={value}"), codes, named)


def _composed(name: str, overrides: Sequence[str], root: str = "") -> Any:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from mti.command_line import CONF
    from mti.literals import literal

    hydras = root.startswith("hydra")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, [literal(one) for one in overrides], return_hydra_config=hydras)
    if hydras:
        return {"hydra": {"launcher": OmegaConf.to_container(config.hydra.launcher, resolve=False)}}
    return OmegaConf.to_container(config, resolve=False)


# ------------------------------------------------------------------------------------------ the whole


def prepared(place: Path) -> Path:
    """The place with all the files that the inputs name."""
    maker = CONTEXT.Process(target=make, args=(place,))  # where all that it needs is loaded
    maker.start()
    maker.join()
    if maker.exitcode:
        sys.exit(f"the files of the inputs cannot be made in {place}")
    return place


def inputs() -> list[Input]:
    """All inputs."""
    return list(dict.fromkeys([*every_key(), *odd()]))


def main() -> None:
    """Run the campaign. Ends with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sample", type=int, default=1, help="only every n-th input")
    parser.add_argument("--first", type=int, default=0, help="from the input of that number on")
    parser.add_argument("--only", default="", help="only inputs that have this text in them")
    parser.add_argument("--jobs", type=int, default=1, help="inputs at once")
    parser.add_argument("--place", type=Path, help="where the files are made; else a temporary folder")
    given = parser.parse_args()
    place = prepared(Path(given.place or tempfile.mkdtemp()).resolve())
    chosen = [one for one in inputs() if given.only in str(one)][given.first :: given.sample]
    began, wrong = monotonic(), 0

    def judged(numbered: tuple[int, Input]) -> tuple[Input, list[str]]:
        number, one = numbered
        return one, faults_of(one, place, place / f"log{number % (2 * given.jobs)}.txt")

    with ThreadPoolExecutor(given.jobs) as pool:
        for done, (one, faults) in enumerate(pool.map(judged, enumerate(chosen)), 1):
            if done % 100 == 0:
                print(f"{done} of {len(chosen)}, wrong: {wrong}", flush=True)
            if faults:
                wrong += 1
                print(f"WRONG  {one}", *faults, sep="\n       ", flush=True)
    print(f"{len(chosen) - wrong} of {len(chosen)} good, in {monotonic() - began:.0f} s")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
