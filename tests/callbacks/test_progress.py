import io
import logging
import sys
from dataclasses import replace

import pytest
import torch

from mti.callbacks import progress
from mti.callbacks.progress import Progress, closing_table
from mti.inversion import Run, TextualInversion
from mti.optimizers.adamw import AdamW
from mti.schema import Training
from mti.throughput import Throughput


@pytest.fixture
def module():
    bare = TextualInversion.__new__(TextualInversion)
    torch.nn.Module.__init__(bare)
    bare.runs = [Run("x", 0, [1], [], Training(), AdamW())] * 2
    bare.losses, bare.begun, bare.done = [0.25, 0.75], [0, 0], 0
    bare.failures, bare.stopped = {}, {}
    return bare


def train(module, steps, total, waiting=()):
    module.runs = [replace(run, max_steps=total) for run in module.runs]
    with Progress(total) as shown:
        shown.waiting = waiting
        shown.begin(module)
        for _ in range(steps):
            module.done += 1
            shown.tell(module)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_plain_lines_where_there_is_no_terminal(module, capsys, monkeypatch):
    train(module, 3, total=3)
    last = capsys.readouterr().err
    assert last.startswith("step 3/3  loss 0.5000  ")
    assert last.count("\n") == 1
    assert "run-steps/s" in last
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    module.done = 0
    train(module, 3, total=9)
    assert capsys.readouterr().err.count("\n") == 3


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.1, "10.0 steps/s  20.0 run-steps/s"), (40, "40.0 s/step  20.0 s/run-step")]
)
def test_slow_steps_are_told_in_seconds_per_step(module, monkeypatch, capsys, seconds, said):
    times = iter([0.0, *[seconds] * 9])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    train(module, 1, total=1)
    assert said in capsys.readouterr().err


def test_the_time_left_is_that_of_all_runs(module, monkeypatch, capsys):
    """Two runs do two of their four steps in 8 seconds, two seconds a run-step: 4 are left to them, 5 to others."""
    times = iter([0.0, *[8.0] * 9])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    train(module, 2, total=4, waiting=[4, 1])
    assert "0:00:18 left  runs waiting: 2" in capsys.readouterr().err


def test_how_busy_the_device_is_stands_before_the_time_left(module, capsys):
    """Of updates alone: 2 run-steps of 3e12 operations in half a second."""
    module.runs = [replace(run, max_steps=1) for run in module.runs]
    with Progress(1, Throughput(3 * 10**12, peak=100.0)) as shown:
        shown.begin(module)
        module.done, shown.update_seconds = 1, 0.5
        shown.tell(module)
    assert "  12.0 TFLOP/s (12% of the peak)  0:00:00 left" in capsys.readouterr().err


def test_it_lasts_for_the_batches_that_follow(module, capsys):
    """A batch ends after its second step, since a run does; the other goes on with one that begins."""
    module.runs = [replace(run, max_steps=3) for run in module.runs]
    with Progress(3) as shown:
        for module.begun, module.done in (([1, 0], 0), ([2, 0], 0)):
            shown.begin(module)
            for _ in range(2):
                module.done += 1
                shown.tell(module)
    assert capsys.readouterr().err == ""
    assert shown.run_steps == 2 * 2 + 2 + 1


def test_failed_runs_are_left_out(module, capsys):
    module.losses, module.failures = [float("nan"), 0.75], {0: "non-finite loss"}
    train(module, 2, total=2)
    line = capsys.readouterr().err
    assert "loss 0.7500" in line
    assert "run-steps/s" not in line


@pytest.mark.parametrize("columns", ["120", "30"])
def test_a_bar_on_a_terminal_which_the_log_keeps_clear_of(module, monkeypatch, columns):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        train(module, 2, total=2)
    finally:
        logging.getLogger().removeHandler(handler)
    assert handler.stream is sys.stderr is terminal
    assert "loss 0.5000" in terminal.getvalue()


ROW = {
    "image": "teapot",
    "init": "caption",
    "text": "a red teapot with gold leaves on a blue background",
    "seed": 0,
    "first": 0.40312,
    "final": None,
    "steps": 500,
    "seconds": 61.3,
    "status": "failed",
    "folder": "outputs/paper/teapot/caption/s0",
}


def test_closing_table_has_a_line_a_run(capsys):
    closing_table([ROW, ROW | {"init": "star", "text": "*", "final": 0.25, "folder": "outputs/paper/teapot/star/s0"}])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    words = "teapot caption a red teapot with gold leaves on a blue… 0 0.4031 – 500 61 failed caption/s0"
    assert " ".join(lines[1].split()) == words
    assert "0.2500" in lines[2]
    assert lines[3].strip() == "in outputs/paper/teapot"


def test_closing_table_of_a_large_sweep_shows_what_did_not_finish(capsys):
    rows = [ROW | {"seed": seed, "status": "failed" if seed == 4321 else "finished"} for seed in range(5000)]
    closing_table(rows)
    printed = capsys.readouterr().out.rstrip().split("\n")
    assert len(printed) == 1 + 100 + 1
    assert "failed" in printed[100]
    assert printed[-1].rstrip().endswith("; 4,900 more")


def test_closing_table_fits_a_narrow_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    closing_table([ROW])
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "0.4031" in lines[1]


def test_runs_of_a_sweep_over_settings_are_told_apart_by_what_differs(capsys):
    row = {"image": "teapot", "init": "star", "seed": 0, "folder": "outputs/x/teapot/star/s0", "status": "finished"}
    rates = [{**row, "settings": ["trainer=cpu", f"training.learning_rate={rate}"]} for rate in (0.1, 0.2)]
    closing_table(rates)
    told = capsys.readouterr().out
    assert "training.learning_rate=0.1" in told
    assert "training.learning_rate=0.2" in told
    assert "trainer=cpu" not in told
    closing_table(rates[:1])
    assert "settings" not in capsys.readouterr().out
