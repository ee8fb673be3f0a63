import pytest
import pytorch_lightning as pl
import torch

from mti.callbacks import timing
from mti.callbacks.timing import UpdateTimer
from mti.inversion import TextualInversion


@pytest.fixture
def module():
    bare = TextualInversion.__new__(TextualInversion)
    torch.nn.Module.__init__(bare)
    bare.runs, bare.step, bare.failures, bare.stopped = [None, None], 0, {}, {}
    return bare


def test_an_update_is_shared_by_the_runs_that_it_trains(module, monkeypatch):
    trainer, timer = pl.Trainer.__new__(pl.Trainer), UpdateTimer(2)
    times = iter([0.0, 4.0, 10.0, 12.0, 20.0, 21.0])  # updates of 4, 2 and 1 seconds, and pauses of 6 and 8
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(times))
    for step in range(3):
        if step == 2:
            module.stopped[0] = 2
        timer.on_train_batch_start(trainer, module, step, step)
        module.step += 1
        timer.on_train_batch_end(trainer, module, None, step, step)
    assert timer.update(0) == (4 / 2 + 2 / 2) / 2
    assert timer.update(1) == (4 / 2 + 2 / 2 + 1) / 3


def test_a_run_that_was_not_trained_has_no_time():
    assert UpdateTimer(1).update(0) is None
