"""Names that tell apart: of pictures, and of the runs of a sweep by what differs between them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from mti.reporting.runs import Run, Series

PICTURE = re.compile(r"\.(png|jpe?g|jfif|webp|bmp|gif|tiff?|hei[cf]|avif)$", re.IGNORECASE)
LONGEST = 48  # characters of a setting's value in a name
PICTURES = "dataset.pictures"  # how many of a concept's pictures a run has

# Settings that change no result, or that are something else's name: never an axis.
IGNORED = re.compile(
    r"^(image|seed|init\.name|folder|output_dir|overrides|settings"
    r"|(choices|experiment|dataset(?!\.pictures$)|logger|launcher|hydra|metrics|personalization|stop)(\..*)?"
    r"|trainer\.(_.*|accelerator|devices|strategy|num_nodes|max_steps_per.*)|evaluation\.(steps|batch_size)"
    r"|training\.((runs|samples)_at_once|checkpoint_every)|(.*\.)?(device|download|timeout|batch_size_for_speed))$"
)
# Settings that belong to a picture or to a machine: an axis only where runs of one picture and seed differ in it.
CIRCUMSTANCE = re.compile(
    r"^((.*\.)?(click|outside|box|crop|precision|compile|channels_last|gradient_checkpointing)|dataset\.pictures)$"
)

Key = TypeVar("Key", bound=Hashable)


def shortest(candidates: Mapping[Key, Sequence[str]]) -> dict[Key, str]:
    """For each thing the first of its names, short to long, that no other thing bears; numbered where none helps."""
    level = dict.fromkeys(candidates, 0)
    while True:
        names = {key: candidates[key][level[key]] for key in candidates}
        count = Counter(names.values())
        longer = [key for key, name in names.items() if count[name] > 1 and level[key] < len(candidates[key]) - 1]
        if not longer:
            break
        for key in longer:
            level[key] += 1
    seen: Counter[str] = Counter()
    for key, name in names.items():
        seen[name] += 1
        if seen[name] > 1:
            names[key] = f"{name} ({seen[name]})"
    return names


def concept_names(image: str, path: str, sha256: str) -> list[str]:
    """What a picture may be called, short to long: `mug`; or `01`, `01.png`, `a/01`, `a/01.png`, … of a path.

    Only the endings of pictures are left out, so `mug.v1` keeps its own.
    """
    is_path = "/" in image or bool(PICTURE.search(image))
    parts = [part for part in PurePosixPath(image if is_path else path).parts if part not in ("/", ".", "..")]
    tails = ["/".join(parts[-depth:]) for depth in range(1, len(parts) + 1)] if parts else []
    names = [name for tail in tails for name in (PICTURE.sub("", tail), tail)]
    if not is_path:
        names = [image.replace("_", " "), image, *(f"{image} ({name})" for name in names[2:])]
    names = [name for name in dict.fromkeys([*names, image]) if name.strip()] or ["unnamed"]
    return [*names, f"{names[-1]} {sha256[:6]}"] if sha256 else names


def name_concepts(runs: Sequence[Run]) -> None:
    """Give each run its concept's name. The identity is the recorded path and content, or else the image's text.

    A run without a record is taken for the one recorded concept of its text, if there is just one. Where runs differ
    in how many pictures they have of a concept, its path alone tells.
    """
    own = {run: run.recorded_concept for run in runs}
    counts: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for run, concept in own.items():
        if concept:
            counts[run.image, concept[0]].add(run.setting(PICTURES))
    for run, concept in own.items():
        if concept and len(counts[run.image, concept[0]]) > 1:
            own[run] = (concept[0], "")
    recorded: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for run, concept in own.items():
        if concept:
            recorded[run.image].add(concept)
    identity = {}
    for run, concept in own.items():
        known = recorded[run.image]
        (only,) = known if len(known) == 1 else [(run.image, "")]
        identity[run] = concept or only
    first = {identity[run]: run for run in sorted(runs, key=lambda run: run.image, reverse=True)}
    names = shortest({key: concept_names(run.image, *key) for key, run in first.items()})
    for run in runs:
        run.concept = names[identity[run]]


def name_series(runs: Sequence[Run]) -> None:
    """Give each run its series: experiment, initializer, and the settings in which it differs from others."""
    experiments = shortest({run.origin: experiment_names(*run.origin) for run in runs})
    axes = differing(runs)
    inits, several = {run.init for run in runs}, len(experiments) > 1
    own = {run: tuple(_settings(run, axes)) for run in runs}
    short = shortest({one: _short(*one) for settings in own.values() for one in settings})
    for run in runs:
        words = [short[one] for one in own[run]]
        if len(inits) > 1 or not (words or several):
            words = [run.init, *words]
        label = " ".join(words)
        if several:
            label = f"{experiments[run.origin]}: {label}" if label else experiments[run.origin]
        run.series = Series(label, run.init, own[run], experiments[run.origin] if several else "")


def experiment_names(root: str, name: str) -> list[str]:
    """What an experiment may be called: its name, or that with the last parts of its folder."""
    parts = PurePosixPath(root).parts
    return [name, *(f"{name} ({'/'.join(parts[-depth:])})" for depth in range(1, len(parts) + 1))]


def differing(runs: Sequence[Run]) -> list[str]:
    """The settings and choices that tell runs apart beside picture, seed and initializer, most telling first.

    What follows from another is left out: of two captioners that differ in five settings, only the first.
    """
    distinct: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for key, value in [*run.settings.items(), *run.choices.items()]:
            distinct[key].add(value)
    varying = [key for key, values in distinct.items() if len(values) > 1 and not IGNORED.match(key)]
    chosen: list[str] = []
    for key in sorted(varying, key=_rank):
        needed = not (CIRCUMSTANCE.match(key) and _explained(key, ["seed"], runs, concept=True))
        if needed and not _explained(key, _explaining(key, chosen), runs):
            chosen.append(key)
    return chosen


def _explaining(key: str, chosen: Sequence[str]) -> list[str]:
    """Which of the chosen settings may make another one superfluous: those of its own part."""
    part = key.partition(".")[0]
    if part == "init":
        return ["init.name", *chosen]
    return [one for one in chosen if one.partition(".")[0] == part]


def _explained(key: str, by: Sequence[str], runs: Iterable[Run], concept: bool = False) -> bool:
    """Whether a setting's value follows from those of others, in every experiment by itself."""
    found: dict[tuple[str | None, ...], str] = {}
    for run in runs:
        value = run.setting(key)
        if value is not None:
            place = (*run.origin, *(run.setting(one) for one in by), *((run.concept, run.init) if concept else ()))
            if found.setdefault(place, value) != value:
                return False
    return True


def _settings(run: Run, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """A run's own values of the settings that it has."""
    for key in keys:
        if (value := run.setting(key)) is not None:
            yield key, value


def _rank(key: str) -> tuple[bool, bool, int, str]:
    """Choices first, initializers' own settings last, a part's name before its other settings."""
    last = key.rpartition(".")[2]
    return key.startswith("init."), "." in key, {"name": 0, "path": 1}.get(last, 2), key


def _short(axis: str, value: str) -> list[str]:
    whole = f"{axis}={value}"
    return [f"{axis}={value[:LONGEST]}…", whole] if len(value) > LONGEST else [whole]
