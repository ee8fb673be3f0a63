"""Where one points at a thing, sees what each start would begin with, and starts runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from mti.concepts.clicks import Clicks
from mti.concepts.prepared import Crop
from mti.concepts.thing import Background
from mti.page.actions import Actions, Meaning, Pointed
from mti.page.commands import STARTS, Choice
from mti.page.looking import Seen
from mti.page.mistakes import mistakes_shown
from mti.page.tables import table

AUTOMATIC = "automatic"  # of the square that is trained on
NOWHERE = "nothing is clicked: the whole picture is looked at"


@dataclass(frozen=True)
class Chosen:
    """The components with what is chosen, in the order of `choice_of`'s values."""

    image: gr.Dropdown
    pointed: gr.State
    crop: gr.Dropdown
    background: gr.Radio
    inits: gr.CheckboxGroup
    text: gr.Textbox
    seed: gr.Number
    steps: gr.Number

    def all(self) -> list[Any]:
        """As inputs of an event."""
        return [getattr(self, name) for name in self.__dataclass_fields__]


def choice_of(
    image: Any, pointed: Pointed, crop: Any, background: Any, inits: Any, text: Any, seed: Any, steps: Any
) -> Choice:
    """The values of `Chosen` as a choice."""
    crop = None if crop == AUTOMATIC else crop
    ordered = [init for init in STARTS if init in inits]
    return Choice(
        str(image or ""), pointed.clicks, crop, background, ordered, text or "", int(seed or 0), int(steps or 1)
    )


def learn_tab(page: gr.Blocks, actions: Actions) -> None:
    """Lay it out, and join what belongs together."""
    pointed, sizes = gr.State(Pointed()), gr.State(((1, 1), (1, 1)))
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            image, upload = _concept(actions)
            picture = gr.Image(
                label="Click on the thing", interactive=False, format="png", buttons=[], elem_id="picture"
            )
            meaning = gr.Radio(list(get_args(Meaning)), value=get_args(Meaning)[0], label="A click is")
            with gr.Row():
                recorded = gr.Button("The recorded click", size="sm")
                nothing = gr.Button("No click", size="sm", elem_id="no-click")
            where = gr.Textbox(label="Where, in the picture's own pixels", interactive=False, elem_id="where")
        with gr.Column(scale=4, min_width=320):
            described = gr.Image(
                label="What the models look at", interactive=False, format="png", height=220, buttons=[]
            )
            notes = gr.Markdown(elem_id="notes")
            starts = table("Starts", {"start": 26, "text": 30, "tokens": 30, "count": 14}, "starts")
            guesses = table("What the models say", {"start": 26, "guess": 54, "score": 20}, "guesses")
    with gr.Row():
        with gr.Column(scale=5, min_width=320):
            inits, text, tokens = _starts(actions)
        with gr.Column(scale=4, min_width=320):
            seed, steps, crop, background = _settings(actions)
    command = gr.Textbox(label="The same as a command", interactive=False, buttons=["copy"], elem_id="command")
    start = gr.Button("Start", variant="primary", elem_id="start")

    chosen = Chosen(image, pointed, crop, background, inits, text, seed, steps).all()
    seen = [pointed, where, sizes, picture, described, notes, starts, guesses, command]

    def look(pointed: Pointed, values: Sequence[Any]) -> tuple[Any, ...]:
        choice = choice_of(values[0], pointed, *values[2:])
        return (pointed, *_shown(actions.looking(choice)), actions.command_text(choice))

    @mistakes_shown
    def look_again(*values: Any) -> tuple[Any, ...]:
        return look(values[1], values)

    @mistakes_shown
    def look_afresh(*values: Any) -> tuple[Any, ...]:
        return look(Pointed(), values)

    @mistakes_shown
    def look_at_all(*values: Any) -> tuple[Any, ...]:
        return look(Pointed(Clicks()), values)

    @mistakes_shown
    def click(about: gr.SelectData, sizes: Any, meaning: Any, *values: Any) -> tuple[Any, ...]:
        x, y = (int(place * own / shown) for place, own, shown in zip(about.index, *sizes, strict=True))
        further = values[1].and_then(x, y, meaning)
        if further.corner or not (further.clicks.inside or further.clicks.box):
            more = f"a corner at [{x},{y}]: click on the opposite one" if further.corner else f"{further.clicks}"
            return (further, more, *[gr.skip()] * (len(seen) - 2))
        return look(further, values)

    @mistakes_shown
    def kept(path: str | None) -> Any:
        return actions.keep_upload(Path(path)) if path else gr.skip()

    @mistakes_shown
    def words(*values: Any) -> tuple[str, str]:
        choice = choice_of(*values)
        found = actions.looking.tokens(choice.text)
        return f"{len(found)} tokens: {_code(found)}" if found else "", actions.command_text(choice)

    @mistakes_shown
    def begin(*values: Any) -> None:
        for job in actions.start(choice_of(*values)):
            gr.Info(f"job {job.number}: {job.command}", title="It is its turn, or waits for it")

    def written(*values: Any) -> str:
        return actions.command_text(choice_of(*values))

    page.load(look_again, chosen, seen)
    image.change(look_afresh, chosen, seen)
    upload.upload(kept, upload, image)
    picture.select(click, [sizes, meaning, *chosen], seen)
    recorded.click(look_afresh, chosen, seen)
    nothing.click(look_at_all, chosen, seen)
    gr.on([crop.change, background.change, text.submit], look_again, chosen, seen)
    text.input(words, chosen, [tokens, command], show_progress="hidden", trigger_mode="always_last")
    gr.on([inits.change, seed.change, steps.change], written, chosen, command, show_progress="hidden")
    start.click(begin, chosen, None)


def _concept(actions: Actions) -> tuple[gr.Dropdown, gr.File]:
    names, given = actions.looking.names(), actions.commands.defaults.image
    first = given if given in names or Path(given).exists() else next(iter(names), given)
    label = "Concept, or the path of a picture"
    image = gr.Dropdown(names, value=first, label=label, allow_custom_value=True, elem_id="image")
    return image, gr.File(label="Or drop a picture", height=120, elem_id="upload")


def _starts(actions: Actions) -> tuple[gr.CheckboxGroup, gr.Textbox, gr.Markdown]:
    init = actions.commands.defaults.init
    inits = gr.CheckboxGroup(
        list(STARTS), value=[init.name if init.name in STARTS else STARTS[0]], label="Start from", elem_id="inits"
    )
    text = gr.Textbox(value=init.text or "", label="Words of your own, for text", elem_id="text")
    return inits, text, gr.Markdown(elem_id="tokens")


def _settings(actions: Actions) -> tuple[gr.Number, gr.Number, gr.Dropdown, gr.Radio]:
    defaults = actions.commands.defaults
    with gr.Row():
        seed = gr.Number(defaults.seed, label="Seed", precision=0, min_width=90, elem_id="seed")
        steps = gr.Number(
            defaults.trainer.max_steps, label="Steps", precision=0, minimum=1, min_width=90, elem_id="steps"
        )
    with gr.Row():
        squares = [AUTOMATIC, *get_args(Crop)]
        crop = gr.Dropdown(squares, value=defaults.crop or AUTOMATIC, label="Square to train on", min_width=120)
        behind = list(get_args(Background))
        background = gr.Radio(behind, value=defaults.init.background, label="Behind the thing", min_width=160)
    return seed, steps, crop, background


def _shown(seen: Seen) -> tuple[Any, ...]:
    """For `where` to `guesses`."""
    starts = [[one.init, one.text, " ".join(one.tokens), len(one.tokens)] for one in seen.starts]
    said = {one.guesses: one for one in reversed(seen.starts)}  # multistar's are the caption's
    guesses = [[one.init, text, round(score, 3)] for one in reversed(said.values()) for text, score in one.guesses]
    notes = "\n".join(f"- {note}" for note in seen.notes)
    where, sizes = str(seen.clicks or NOWHERE), (seen.size, seen.shown.size)
    return where, sizes, seen.shown, seen.described, notes, starts, guesses


def _code(tokens: Sequence[str]) -> str:
    return " ".join(f"`{token}`" for token in tokens)
