"""Tables as they look on the page."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr


def table(label: str, columns: Mapping[str, int], name: str) -> gr.Dataframe:
    """A table to be read. `columns` are their names, and the share of the width that each takes, in per cent."""
    return gr.Dataframe(
        headers=[*columns],
        column_widths=[f"{share}%" for share in columns.values()],
        label=label,
        wrap=True,
        interactive=False,
        elem_id=name,
        buttons=[],
    )
