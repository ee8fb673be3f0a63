"""A user's mistake as a line on the page."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gradio as gr

from mti.errors import UserError


def mistakes_shown(action: Callable[..., Any]) -> Callable[..., Any]:
    """The same action; a `UserError` of it is shown, and not printed."""

    @functools.wraps(action)
    def wrapped(*arguments: Any) -> Any:
        try:
            return action(*arguments)
        except UserError as mistake:
            raise gr.Error(str(mistake), duration=None, title="mti", print_exception=False) from None

    return wrapped
