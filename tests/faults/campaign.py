"""Kills and damages a small sweep in many ways: `python tests/faults/campaign.py --kills 100 --damage`.

Kills: the sweep is killed before a file operation (spread over all of them) or at a random time, once or twice in
a row, and then run to its end. Every file of every run must be, bit by bit, what it is without a kill.

Damage: each file of a run is truncated, emptied, garbled, taken away, or replaced by a folder or a pipe, in an
interrupted sweep and in a finished one. The same command, and `mti.report` and `mti.generate`, must not show a
traceback, nor hang, nor end with another code than 0, 1 or 2; and all other runs must finish.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
os.environ.update(WANDB_MODE="offline", HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")

from faults.processes import Events, run  # noqa: E402

SWEEP = [
    *("-m", "image=teapot,cup", "seed=0,1", "init=text", "init.text='a photo'", "logger=csv", "metrics=none"),
    *("trainer=cpu", "trainer.max_steps=6", "training.batch_size=1", "training.checkpoint_every=2"),
    *("training.runs_at_once=4", "evaluation.steps=[0,3]", "evaluation.samples=1", "evaluation.pictures=1"),
    *("evaluation.num_inference_steps=1", "personalization.steps=[3]", "personalization.prompts=['a {}']"),
    *("personalization.pictures=1", "model.precision=fp32", "model.name=tiny"),
]

PLACES = [
    *("seed=0,1,2", "training.runs_at_once=2", "training.checkpoint_every=3"),
    *("stop=plateau", "stop.every=1", "stop.window=2", "stop.below=0.0002"),
]
"""Of six runs two at once, which their rules stop after 2 to 5 updates: they take each other's places."""

# In JSON, what hangs on the clock, or on which process closed a run: no two are the same.
TIMES = re.compile(rb'"(seconds|perception|update|runs_at_once)": [\w.+-]+|"started": "[^"]+"')


class Sweep:
    """The sweep below a folder of its own."""

    def __init__(self, place: Path, model: Path, overrides: Sequence[str] = ()) -> None:
        self.place, self.root, self.log = place, place / "outputs", place / "log.txt"
        self.model, self.overrides = model, overrides

    def run(self, fatal: int | None = None, kill_after: float | None = None) -> tuple[int | None, int]:
        """The exit code, and how many changes of files there were."""
        self.place.mkdir(parents=True, exist_ok=True)
        events = Events(self.root, fatal)
        arguments = [*SWEEP, *self.overrides, f"model.path={self.model}", f"output_dir={self.root}"]
        return run("mti.run", arguments, self.log, events.watch, kill_after), events.count

    @property
    def runs(self) -> list[Path]:
        """The run folders."""
        return sorted(path.parent for path in self.root.rglob("config.yaml"))

    def content(self) -> dict[str, bytes]:
        """All that the runs have left, without what differs in time and place."""
        paths = [path for folder in self.runs for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
        return {str(path.relative_to(self.root)): self._timeless(path) for path in paths}

    def _timeless(self, path: Path) -> bytes:
        content = path.read_bytes().replace(str(self.root).encode(), b"ROOT")
        return TIMES.sub(b"", content) if path.suffix == ".json" else content


# ------------------------------------------------------------------------------------------------ kills


def kill(number: int, count: int, place: Path, reference: Sweep, moments: int, seconds: float) -> str:
    """One scenario of `count`; what is wrong afterwards, in words."""
    chance = random.Random(number)
    sweep = Sweep(place / f"kill{number}", reference.model, reference.overrides)
    fatal = int(moments * (number + 0.5) / count)
    told = []
    for _ in range(1 + number % 2):  # once, or twice in a row
        if number % 4 < 2:
            sweep.run(fatal=fatal)
            told.append(f"before operation {fatal}")
            fatal = chance.randrange(max(1, moments - fatal))  # the next process has about as many left
        else:
            after = chance.uniform(0.2, seconds)
            sweep.run(kill_after=after)
            told.append(f"after {after:.2f} s")
    code, _ = sweep.run()
    ours, theirs = sweep.content(), reference.content()
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    faults = [f"exit code {code}"] * (code != 0) + [f"differs: {', '.join(names)}"] * bool(names)
    faults += ["a traceback"] * ("Traceback" in sweep.log.read_text())
    if not faults:
        shutil.rmtree(sweep.place)
    return _line(f"killed {' and '.join(told)}", faults)


# ----------------------------------------------------------------------------------------------- damage


def _garble(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def _garble_within(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4] = bytes(255 - byte for byte in content[middle : middle + 4])
    path.write_bytes(content)


def _instead(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "garbled": _garble,
    "garbled within": _garble_within,
    "taken away": Path.unlink,
    "a folder": _instead(Path.mkdir),
    "a pipe": _instead(os.mkfifo),
    "a link to itself": _instead(lambda path: path.symlink_to(path)),
}


def damage(state: Sweep, name: str, kind: str, entry: str, place: Path) -> str:
    """Damage a file of a sweep's first run, and run an entry; what is wrong afterwards, in words."""
    own = place / re.sub(r"\W+", "_", f"{state.place.name} {name} {kind} {entry}")
    sweep = Sweep(own, state.model, state.overrides)
    shutil.copytree(state.root, sweep.root)
    victim = sweep.runs[0]
    DAMAGES[kind](victim / name)
    if entry == "mti.run":
        code, _ = sweep.run()
    elif entry == "mti.report":
        code = run(entry, [str(sweep.root)], sweep.log)
    else:
        arguments = [f"run={victim}", "prompt='a {}'", "num_inference_steps=1", "pictures=1"]
        code = run(entry, arguments, sweep.log)
    faults = ["a traceback"] * ("Traceback" in sweep.log.read_text())
    faults += [f"exit code {code}" if code is not None else "it hung"] * (code not in (0, 1, 2))
    if entry == "mti.run":
        faults += [
            f"{folder.name} is not finished" for folder in sweep.runs if folder != victim and not _finished(folder)
        ]
    if not faults:
        shutil.rmtree(sweep.place)
    return _line(f"{state.place.name}, {name}: {kind}: {entry}", faults)


def _finished(folder: Path) -> bool:
    path = folder / "summary.json"
    return path.exists() and json.loads(path.read_text())["status"] == "finished"


def damages(states: list[Sweep]) -> Iterator[tuple[Sweep, str, str, str]]:
    """All cases: an interrupted and a finished sweep, each file of a run, each kind of damage, each entry."""
    for state in states:
        folder = state.runs[0]
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
            for kind in DAMAGES:
                for entry in ("mti.run", "mti.report", "mti.generate") if _finished(folder) else ("mti.run",):
                    yield state, str(path.relative_to(folder)), kind, entry


# ---------------------------------------------------------------------------------------------- the whole


def _line(what: str, faults: list[str]) -> str:
    return f"{'WRONG' if faults else 'good'}  {what}{': ' if faults else ''}{'; '.join(faults)}"


def prepared(place: Path, model: Path, overrides: Sequence[str]) -> tuple[Sweep, Sweep, int]:
    """A sweep without a kill, one that is killed between the checkpoints of its runs, and how many moments it has."""
    whole, part = (Sweep(place / name, model, overrides) for name in ("finished", "interrupted"))
    code, moments = whole.run()
    if code:
        sys.exit(f"the sweep ends with {code}\n{whole.log.read_text()}")
    fatal = moments
    while not any(part.root.rglob("previous.safetensors")) or all(map(_finished, part.runs)):
        fatal = fatal * 9 // 10
        shutil.rmtree(part.place, ignore_errors=True)
        part.run(fatal=fatal)
    return whole, part, moments


def main() -> None:
    """Run the campaign that the command line names. Ends with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=0, help="how many scenarios of one or two kills")
    parser.add_argument("--places", action="store_true", help="with rules that stop runs, whose places others take")
    parser.add_argument("--damage", action="store_true", help="damage every file in every way")
    parser.add_argument("--sample", type=int, default=1, help="only every n-th case of damage")
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at once")
    parser.add_argument(
        "--place", type=Path, help="keep everything there; else what is wrong stays in a temporary folder"
    )
    given = parser.parse_args()
    place = Path(given.place or tempfile.mkdtemp()).resolve()
    from tiny import tiny_pipeline

    model = tiny_pipeline(place / "tiny")
    began = monotonic()
    whole, part, moments = prepared(place, model, PLACES if given.places else ())
    seconds = (monotonic() - began) / 2
    print(f"file operations of the sweep: {moments}; in {place}", flush=True)
    wrong = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        tasks = [(kill, (i, given.kills, place, whole, moments, seconds)) for i in range(given.kills)]
        if given.damage:
            tasks += [(damage, (*case, place)) for case in list(damages([part, whole]))[:: given.sample]]
        for line in pool.map(_do, tasks):
            print(line, flush=True)
            wrong += line.startswith("WRONG")
    print(f"{len(tasks) - wrong} of {len(tasks)} good")
    sys.exit(wrong > 0)


def _do(task: tuple[Callable[..., str], tuple]) -> str:
    return task[0](*task[1])


if __name__ == "__main__":
    main()
