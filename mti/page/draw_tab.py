"""Where prompts are drawn with learned tokens, and tokens go out to other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mti.choice import kept_steps
from mti.embeddings import FORMS
from mti.outputs import RunFolder
from mti.page import watching
from mti.page.actions import Actions
from mti.page.mistakes import mistakes_shown

END = "the end"
PROMPT = "a photo of {} on the beach"


def draw_tab(page: gr.Blocks, tick: gr.Timer, actions: Actions) -> None:
    """Lay it out, and join what belongs together."""
    run = gr.Dropdown([], label="Run", allow_custom_value=True, elem_id="run")
    with gr.Row():
        prompt = gr.Textbox(PROMPT, label="Prompt, {} for the learned words", scale=3, min_width=280, elem_id="prompt")
        count = gr.Number(4, label="Pictures", precision=0, minimum=1, min_width=90)
        seed = gr.Number(0, label="Seed", precision=0, min_width=90)
        step = gr.Dropdown([END], value=END, label="Tokens after step", min_width=110)
    draw = gr.Button("Draw", variant="primary", elem_id="draw")
    gallery = gr.Gallery(label="Drawn", columns=2, object_fit="contain", format="png", elem_id="drawn")
    with gr.Row():
        form = gr.Dropdown([*FORMS], value=next(iter(FORMS)), label="Export for", min_width=140, elem_id="form")
        export = gr.Button("Export", min_width=120, elem_id="export")
    files = gr.File(label="The tokens", file_count="multiple", interactive=False, elem_id="files")
    command = gr.Textbox(label="The same as a command", interactive=False, buttons=["copy"], elem_id="draw-command")
    before = gr.State("")

    @mistakes_shown
    def drawing(run: Any, prompt: Any, count: Any, seed: Any, step: Any) -> str:
        after = None if step == END else step
        return str(actions.draw(run or "", prompt or "", int(count or 1), int(seed or 0), after).command)

    @mistakes_shown
    def exported(run: Any, form: Any) -> tuple[list[str], str]:
        paths, used = actions.export(run or "", form)
        return paths, str(used)

    def refreshed(run: Any, step: Any, before: str) -> tuple[Any, ...]:
        finished = actions.learned()
        chosen = run if run in finished else next(iter(finished), None)
        now = repr((chosen, watching.requests(actions.root, chosen)))
        steps = [END, *(kept_steps(RunFolder(actions.root / chosen)) if chosen else ())]
        return (
            gr.update(choices=finished, value=chosen),
            gr.update(choices=steps, value=step if step in steps else END),
            gr.skip() if now == before else watching.drawn(actions.root, chosen),
            now,
        )

    draw.click(drawing, [run, prompt, count, seed, step], command)
    export.click(exported, [run, form], [files, command])
    for event in (page.load, tick.tick, run.change):
        event(refreshed, [run, step, before], [run, step, gallery, before], show_progress="hidden")
