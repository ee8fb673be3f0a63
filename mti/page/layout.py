"""The page itself: its tabs, and below them the jobs, which are seen from every tab."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mti.page.actions import Actions
from mti.page.draw_tab import draw_tab
from mti.page.learn_tab import learn_tab
from mti.page.tables import table
from mti.page.watch_tab import watch_tab

SECONDS = 2  # between two looks at what the jobs have done
CSS = """
.gradio-container { width: 100% !important; max-width: 1280px !important; margin: auto; }
#picture img { cursor: crosshair; }
#command textarea, #draw-command textarea { font-family: ui-monospace, monospace; font-size: 0.85em; }
"""


def theme() -> gr.themes.Base:
    """Gradio's plain theme in the system's own fonts, so that none is fetched."""
    return gr.themes.Base(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def layout(actions: Actions) -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="mti", analytics_enabled=False) as page:
        gr.Markdown("# mti: words for a picture\nPoint at a thing, start runs, watch and compare them.")
        tick = gr.Timer(SECONDS)
        with gr.Tab("Learn"):
            learn_tab(page, actions)
        with gr.Tab("Watch"):
            watch_tab(page, tick, actions)
        with gr.Tab("Draw and export"):
            draw_tab(page, tick, actions)
        _jobs(page, tick, actions)
    return page.queue(default_concurrency_limit=4, api_open=False)


def _jobs(page: gr.Blocks, tick: gr.Timer, actions: Actions) -> None:
    shown = table("Jobs, one at a time", {"job": 12, "state": 20, "command": 36, "last line": 32}, "jobs")
    with gr.Row():
        number = gr.Dropdown([], label="Job", min_width=120, elem_id="job")
        stop = gr.Button("Stop it", min_width=120, elem_id="stop")
    output = gr.Textbox(label="Its last lines", interactive=False, lines=4, max_lines=12, elem_id="output")

    def refreshed(chosen: int | None, before: int) -> tuple[Any, ...]:
        jobs = list(reversed(actions.jobs.all()))
        rows = [[job.number, job.state, str(job.command), "".join(list(job.output)[-1:])] for job in jobs]
        number = chosen if chosen and len(jobs) == before else actions.jobs.current()
        lines = "\n".join(line for job in jobs if job.number == number for line in list(job.output))
        return rows, gr.update(choices=[job.number for job in jobs], value=number), lines, len(jobs)

    def stopped(number: int | None) -> None:
        if number:
            actions.jobs.stop(number)

    known = gr.State(0)
    for event in (page.load, tick.tick, number.input):
        event(refreshed, [number, known], [shown, number, output, known], show_progress="hidden")
    stop.click(stopped, number, None)
