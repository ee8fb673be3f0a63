"""Where curves and pictures of runs come in, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import pandas as pd

from mti.page import watching
from mti.page.actions import Actions
from mti.page.tables import table

SHOWN = 4  # runs that are shown at first


def watch_tab(page: gr.Blocks, tick: gr.Timer, actions: Actions) -> None:
    """Lay it out, and have it looked at anew as time goes by."""
    with gr.Row():
        runs = gr.Dropdown([], label="Runs", multiselect=True, scale=4, elem_id="runs")
        newest = gr.Button("The newest", size="sm", scale=1, elem_id="newest")
    with gr.Row():
        name = gr.Dropdown(["eval/mse"], value="eval/mse", label="Curve", allow_custom_value=True, min_width=160)
        step = gr.Dropdown([watching.LAST], value=watching.LAST, label="Pictures of step", min_width=160)
    plot = gr.LinePlot(x="step", y="value", color="run", height=320, elem_id="plot")
    standing = table("Runs", {"run": 30, "state": 14, "text": 32, "steps": 11, "loss": 13}, "standing")
    gallery = gr.Gallery(label="Side by side", columns=3, object_fit="contain", format="png", elem_id="gallery")
    drawn = gr.State("")

    def found() -> tuple[Any, Any]:
        names = watching.runs_below(actions.root)
        return gr.update(choices=names, value=names[:SHOWN]), ""

    def refreshed(chosen: Sequence[str] | None, name: str, step: Any, before: str) -> tuple[Any, ...]:
        names = watching.runs_below(actions.root)
        kept = [one for one in chosen or () if one in names]
        ones = watching.watched(actions.root, kept)
        steps = watching.steps_of(actions.root, kept)
        now = repr((kept, name, step, steps, ones))
        if now == before:
            return (gr.update(choices=names), *[gr.skip()] * 5, now)
        limit = step if step in steps else None
        return (
            gr.update(choices=names),
            gr.update(choices=watching.curve_names(ones) or [name]),
            gr.update(choices=[watching.LAST, *steps]),
            gr.update(value=pd.DataFrame(watching.rows(ones, name)), y_title=name),
            watching.standing(ones),
            watching.pictures(actions.root, kept, limit),
            now,
        )

    inputs, outputs = [runs, name, step, drawn], [runs, name, step, plot, standing, gallery, drawn]
    page.load(found, None, [runs, drawn]).then(refreshed, inputs, outputs, show_progress="hidden")
    newest.click(found, None, [runs, drawn]).then(refreshed, inputs, outputs, show_progress="hidden")
    gr.on([tick.tick, runs.change, name.change, step.change], refreshed, inputs, outputs, show_progress="hidden")
