"""What is odd otherwise than by a key's value: grammar, choices, paths, pictures, folders, places, and what is sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from faults.odd_texts import CLICKS, GRAMMAR, NAMES, PROMPTS, SENT

REFUSED, EITHER, ACCEPTED = (2,), (0, 2), (0,)

RUN = ("init=star", "logger=csv", "trainer=cpu", "output_dir=o")
GENERATE = ("run=run", "prompt=a {}", "device=cpu")


@dataclass(frozen=True)
class Input:
    """What an entry is given, how it may end, and what a refusal has to name."""

    entry: str
    arguments: tuple[str, ...]
    codes: tuple[int, ...] = EITHER
    named: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        around = " ".join(f"{name}={value}" for name, value in self.environment)
        return f"{around} {self.entry} {' '.join(map(repr, self.arguments))}".strip()


def odd() -> Iterator[Input]:
    """All of them."""
    for kind in (grammar, choices, several, names, pictures, clicks, settings, prompts, sent, reports, places, panels):
        yield from kind()


def grammar() -> Iterator[Input]:
    """What Hydra's grammar has something to say about."""
    for text in GRAMMAR:
        yield Input("mti.run", (*RUN, text), (0, 1, 2) if text.startswith("-") else EITHER)
        yield Input("mti.generate", (*GENERATE, text), (0, 1, 2) if text.startswith("-") else EITHER)


def choices() -> Iterator[Input]:
    """Choices that there are not, beside one that there is."""
    groups = ("init", "model", "dataset", "classifier", "captioner", "segmenter", "refiner", "metrics", "logger")
    for group, choice in product((*groups, "trainer", "experiment"), ("x", "pokcet", "[x,none]", "null", "", "a/b")):
        refused = choice in ("x", "pokcet", "a/b")
        others = tuple(one for one in RUN if not one.startswith(f"{group}="))
        yield Input("mti.run", (*others, f"{group}={choice}"), REFUSED if refused else EITHER, group * refused)
    for launcher in ("fused_slrum", "basic", "joblib", "fused", "fused_joblib", "fused_local", "fused_ray"):
        yield Input("mti.run", ("-m", *RUN, f"hydra/launcher={launcher}"))


FAULTS = ("seed=abc", "training.flip=maybe", "image=nothing", "evaluation.steps=[-1]", "training.batch_size=0")


def several() -> Iterator[Input]:
    """Several faults at once, and in sweeps: each is named."""
    for first, second in product(FAULTS, FAULTS):
        if first < second:
            for named in (first, second):
                yield Input("mti.run", (*RUN, first, second), REFUSED, named.split("=")[1].strip("[]"))
    for fault in FAULTS:
        key, _, value = fault.partition("=")
        good = {"image": "cup", "training.flip": "true", "evaluation.steps": "[0]"}.get(key, "1")
        yield Input("mti.run", ("-m", *RUN, f"{key}={good},{value}"), REFUSED, key.rpartition(".")[2])
        yield Input("mti.run", (*RUN, f"{key}={good},{value}"), REFUSED)
        yield Input("mti.run", ("-m", *RUN, f"{key}={good},{good}"), REFUSED)


def names() -> Iterator[Input]:
    """Pictures by names as people have them: all are found."""
    for name in NAMES:
        for path in (f"names/{name}", f"./names/../names/{name}"):
            yield Input("mti.run", (*RUN, f"image={path}"), ACCEPTED)
        yield Input("mti.run", ("-m", *RUN, f"image=names/{name}"), ACCEPTED)
    for path in ("~/a.png", "~/photos/my_mug.jpg", "~nobody/a.png", "~", "~/"):
        found = path == "~/photos/my_mug.jpg"
        yield Input("mti.run", (*RUN, f"image={path}"), ACCEPTED if found else REFUSED, "" if found else path)


PICTURES = ("fifo.png", "loop.png", "dangling.png", "empty.png", "text.png", "truncated.png", "bomb.png", "link")
FOLDERS = ("nothing", "mixed", "notes", "deep", "fifos", "broken")
MISSING = (
    "missing.png",
    "pictures/missing",
    "/dev/null",
    "/dev/zero",
    "/proc/self/mem",
    ".",
    "a\0b",
    "x" * 300,
)


def pictures() -> Iterator[Input]:
    """Files that are no pictures, folders with few, and nothing at all."""
    for name in (*PICTURES, *FOLDERS):
        good = name in ("link", "mixed")
        arguments = (*RUN, f"image=bad/{name}")
        yield Input("mti.run", arguments, ACCEPTED if good else REFUSED, "" if good else name)
        yield Input("mti.run", ("-m", *arguments, "seed=0,1"), ACCEPTED if good else REFUSED, "" if good else name)
        yield Input("mti.run", (*RUN, "dataset=folder", "dataset.root=bad", f"image={name.partition('.')[0]}"))
        yield Input("mti.run", (*RUN, "dataset=folder", f"dataset.root=bad/{name}", "image=a"))
    for name in (one for one in MISSING if "\0" not in one):
        yield Input("mti.run", (*RUN, f"image={name}"), REFUSED)
        yield Input("mti.run", (*RUN, "dataset=folder", f"dataset.root={name}", "image=a"), REFUSED)


def clicks() -> Iterator[Input]:
    """Where the thing is, and the square that is cut."""
    for key, value in product(("click", "outside", "box", "init.click", "init.box"), CLICKS):
        yield Input("mti.run", (*RUN, f"{key}={value}"))
    for box in ("[1,2,3,4]", "[0,0,64,64]", "[3,4,1,2]", "[0,0,0,0]", "[0,0,1e9,1]", "[1,2,3,x]", "[-1,0,5,5]"):
        for crop in ("null", "centre", "center", "thing", "pad"):
            yield Input("mti.run", (*RUN, f"box={box}", f"crop={crop}"))


def settings() -> Iterator[Input]:
    """Values that are allowed by themselves, and mean nothing beside the others."""
    for name in ("../x", "a/b", ".", "..", "", " ", "/", "x" * 300, "é", "a\\b", "con", "\u202e", "a b", "null", "1"):
        yield Input("mti.run", (*RUN, f"experiment.name={name}"))
    for place in ("/proc/x", "/dev/null", "/dev/full/x", "/sys/x", "TEAPOT/x", "names/é.png", "~/o", "o/../o", "", "."):
        yield Input("mti.run", (*RUN, f"output_dir={place}"))
        yield Input("mti.run", (*RUN, f"folder={place}"))
        yield Input("mti.generate", (*GENERATE, f"output={place}"))
    for pair in (
        *("personalization.steps=[999]", "trainer.devices=2", "trainer.devices=0", "trainer.accelerator=tpu"),
        *(
            "trainer=gpu",
            "model.path=/nowhere",
            "model.path=pictures",
            "model.path=a/b/c",
            "model.path=''",
            "init=text",
        ),
        *(
            "init.text=x",
            "metrics=clip_i_pocket",
            "model=sd15",
            "dataset=paper",
            "dataset=dreambooth",
            "refiner=openai",
        ),
        *("init=caption", "init=class", "init.source=recorded", "init.margin=11", "training.templates=objcet"),
        *("hydra.job.chdir=true", "hydra.verbose=true", "hydra.run.dir=/proc/x", "hydra.output_subdir=x"),
    ):
        yield Input("mti.run", (*RUN, pair))
    for step in ("0", "1", "7", "-1", "1.5", "last"):
        yield Input("mti.generate", (*GENERATE, f"step={step}"))


def prompts() -> Iterator[Input]:
    """Texts: as the prompt of a picture, and as a run's initial text."""
    for text in PROMPTS:
        yield Input("mti.generate", ("run=run", "device=cpu", f"prompt={text}"))
        yield Input("mti.generate", (*GENERATE, f"negative_prompt={text}"))
        yield Input("mti.run", (*RUN[1:], "init=text", f"init.text={text}"))


def sent() -> Iterator[Input]:
    """Run folders that somebody sends: data, whatever they hold."""
    for number in range(len(SENT)):
        yield Input("mti.generate", (f"run=sent/{number}", "prompt=a {}", "device=cpu"))
        yield Input("mti.report", (f"sent/{number}",))
    for name in (
        "bad/nothing",
        "bad/fifo.png",
        "missing",
        "pictures",
        "/proc",
        "run/config.yaml",
        "bad/loop.png",
        "",
        "~",
    ):
        yield Input("mti.generate", (f"run={name}", "prompt=a {}"), REFUSED)
    for names in ("[run,run]", "[run]", "[]", "run,run", "[run,missing]", "[1,2]", "{a: b}", "[[run]]", "null"):
        yield Input("mti.generate", (f"run={names}", "prompt={} beside {}", "device=cpu"))


def reports() -> Iterator[Input]:
    """What `mti.report` may be given."""
    for name in (
        "missing",
        "bad/fifo.png",
        "bad/nothing",
        "/dev/null",
        " ",
        "names/é.png",
        "bad/loop.png",
        "x" * 300,
    ):
        yield Input("mti.report", (name,), REFUSED)
        yield Input("mti.report", ("run", name), EITHER)
        yield Input("mti.report", ("run", "--output", name), EITHER)
    for arguments in (
        (),
        ("--nonsense",),
        ("run", "--output"),
        ("--output", "x"),
        ("run", "--out", "x"),
        ("-x", "run"),
    ):
        yield Input("mti.report", arguments)


def panels() -> Iterator[Input]:
    """What `mti.dashboard` may be given; it cannot reach its server here."""
    for value in ("", "a/b", "é", "x" * 300, "a b", "-1", "null", "{}", "a\nb", "../x", "\u202e", "<b>"):
        yield Input("mti.dashboard", (value,), REFUSED)
        for option in ("--project", "--experiment", "--name"):
            yield Input("mti.dashboard", ("me", option, value), REFUSED)
    for arguments in ((), ("--nonsense",), ("a", "b"), ("a", "--name")):
        yield Input("mti.dashboard", arguments, REFUSED)


def places() -> Iterator[Input]:
    """Environments: no home, other locales, names that are no UTF-8."""
    around = (
        (("HOME", ""),),
        (("HOME", "/nowhere"),),
        (("LANG", "C"), ("LC_ALL", "C"), ("PYTHONUTF8", "0")),
        (("LC_ALL", "de_DE.ISO-8859-1"),),
        (("TERM", "dumb"),),
        (("COLUMNS", "1"),),
        (("TMPDIR", "/nowhere"),),
        (("CUDA_VISIBLE_DEVICES", "x"),),
        (("OMP_NUM_THREADS", "x"),),
        (("WANDB_MODE", "nonsense"),),
    )
    for environment in around:
        for image in ("teapot", "names/茶壶.png", "~/photos/my_mug.jpg", os.fsdecode(b"names/t\xe9.png")):
            yield Input("mti.run", (*RUN, f"image={image}"), EITHER, "", environment)
