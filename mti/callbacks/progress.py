"""What the terminal shows: one bar for the whole list of runs, and a closing table."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from mti.inversion import TextualInversion
from mti.throughput import Throughput

LOSSES = 50  # steps that the shown training loss is the mean of
LINE_SECONDS = 10  # between two lines where no bar can be shown
MOST_ROWS = 100  # of the closing table


class Progress:
    """A bar on the terminal, or a plain line every ten seconds where stderr is none; it lasts for batch after batch.

    It tells the steps that the run that is least far has done, the mean training loss of the last steps over all runs,
    steps per second (or seconds per step), run-steps per second if there are several runs, on a GPU how busy it is, and
    the time left for all runs, also those that wait: at most, for runs that have a rule.
    """

    def __init__(self, total_steps: int, throughput: Throughput | None = None) -> None:
        self.total_steps, self.throughput = total_steps, throughput
        self.waiting: Sequence[int] = ()  # the steps that each run has before it that waits for a place
        self.run_steps = 0  # done so far
        self.update_seconds = 0.0  # of them, without what is done beside the updates
        self._steps = 0
        self._losses: deque[float] = deque(maxlen=LOSSES)
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back."""
        if self._bar:
            proxy = sys.stderr
            self._bar.stop()
            _move_logs(proxy, sys.stderr)
            self._bar = None

    def begin(self, module: TextualInversion) -> None:
        """Show the bar, and look at the clock: with the first batch."""
        if self._steps:
            return
        self._began = self._spoke = time.monotonic()
        console = Console(stderr=True)
        if console.is_interactive and not self._bar:
            columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=console, refresh_per_second=4)
            self._task = self._bar.add_task("", completed=_least(module), total=self.total_steps)
            terminal = sys.stderr
            self._bar.start()
            _move_logs(terminal, sys.stderr)  # where the bar makes room for them

    def tell(self, module: TextualInversion) -> None:
        """Tell of another step."""
        step, present = _least(module), module.present
        self._steps, self.run_steps = self._steps + 1, self.run_steps + len(present)
        losses = [module.losses[i] for i in present]
        if losses:
            self._losses.append(math.fsum(losses) / len(losses))
        if self._bar:
            self._bar.update(self._task, completed=step, description=self._state(module))
        elif time.monotonic() - self._spoke >= LINE_SECONDS or not module.active:
            self._spoke = time.monotonic()
            print(f"step {step}/{self.total_steps}  {self._state(module)}", file=sys.stderr, flush=True)

    def _state(self, module: TextualInversion) -> str:
        seconds, active = max(time.monotonic() - self._began, 1e-9), module.active
        before = sum(self.total_steps - module.step(i) for i in active) + sum(self.waiting)
        left = timedelta(seconds=round(before / self.run_steps * seconds)) if self.run_steps else "?"
        parts = [_speed(self._steps / seconds, "step"), f"{left} left"]
        if len(module.present) > 1:
            parts.insert(1, _speed(self.run_steps / seconds, "run-step"))
        if self.throughput and self.run_steps:
            parts.insert(-1, self.throughput.told(self.update_seconds / self.run_steps))
        if self._losses:
            parts.insert(0, f"loss {math.fsum(self._losses) / len(self._losses):.4f}")
        if self.waiting:
            parts.append(f"runs waiting: {len(self.waiting)}")
        return "  ".join(parts)


class Telling(pl.Callback):
    """Tells the progress of the steps of one batch. Lightning ties a callback to its module, and keeps that alive."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A batch begins."""
        assert isinstance(pl_module, TextualInversion)
        self.progress.begin(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """A step is done."""
        assert isinstance(pl_module, TextualInversion)
        self.progress.tell(pl_module)


def _least(module: TextualInversion) -> int:
    """The steps of the run that has done the least."""
    return min(module.step(i) for i in module.active or range(len(module.runs)))


def _speed(per_second: float, what: str) -> str:
    """Steps per second, or seconds per step where that is the larger number."""
    if per_second == 0:
        return f"? {what}s/s"
    return f"{per_second:.1f} {what}s/s" if per_second >= 1 else f"{1 / per_second:.1f} s/{what}"


def _move_logs(old: Any, new: Any) -> None:
    """Let the log's lines that went to one stream go to another."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)


def closing_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print how the runs ended, a line each; narrow terminals get fewer columns.

    Of more than `MOST_ROWS` some are left out, of those that finished if that is enough; the last line says how many.

    A row has `image`, `init`, `text`, `seed`, `settings` (a list, of which is shown what not all runs have), `first`
    and `final` (the evaluation loss before and after training), `steps`, `seconds`, `status` and `folder`. What is
    None or missing is shown as a dash.
    """
    own = _differing([row.get("settings", []) for row in rows])
    shown = _shown(rows)
    console = Console()
    if not console.is_terminal:
        console.width = 1000  # a file has no edge to fold at
    wide = console.width >= 120
    home = os.path.commonpath([os.path.dirname(str(row["folder"])) for row in rows]) or "."
    more = f"; {len(rows) - len(shown):,} more" if len(shown) < len(rows) else ""
    table = Table(caption=f"in {home}{more}", caption_justify="left", box=None, pad_edge=False)
    table.add_column("image", no_wrap=True)
    table.add_column("init", no_wrap=True)
    if wide:
        table.add_column("text", no_wrap=True, max_width=min(console.width // 6, 40))
    table.add_column("seed", no_wrap=True, justify="right")
    if any(own):
        table.add_column("settings", overflow="fold")
    for name in ("first", "final", "steps", "seconds"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("status", min_width=8)
    if wide:
        table.add_column("folder", overflow="fold")
    for i in shown:
        row = rows[i]
        told = {
            **row,
            "settings": ", ".join(own[i]),
            "first": _cell(row.get("first"), ".4f"),
            "final": _cell(row.get("final"), ".4f"),
            "seconds": _cell(row.get("seconds"), ".0f"),
            "status": Text(_status(row), "green" if row.get("status") == "finished" else "red"),
            "folder": os.path.relpath(row["folder"], home),
        }
        cells = [told.get(str(column.header)) for column in table.columns]
        table.add_row(*(cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in cells))
    console.print(table)


def _status(row: Mapping[str, Any]) -> str:
    return "stopped by its rule" if row.get("stopped") else _cell(row.get("status"))


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Which rows are shown, in their order: those that did not finish before those that did."""
    by_need = sorted(range(len(rows)), key=lambda i: rows[i].get("status") == "finished")
    return sorted(by_need[:MOST_ROWS])


def _differing(lists: Sequence[Sequence[str]]) -> list[list[str]]:
    """Of each list, what is not in all of them."""
    common = set.intersection(*map(set, lists)) if lists else set()
    return [[one for one in ones if one not in common] for ones in lists]


def _cell(value: Any, form: str = "") -> str:
    return "–" if value is None else format(value, form)
