import pytorch_lightning as pl
import torch
from sweeping import prepared

from mti.callbacks import timing
from mti.callbacks.progress import Progress
from mti.callbacks.timing import UpdateTimer
from mti.close import RunWriter
from mti.inversion import TextualInversion


def test_an_update_is_shared_by_the_runs_that_it_trains(tmp_path, monkeypatch):
    runs = [prepared(tmp_path / name) for name in ("first", "second", "none")]
    writers = [RunWriter(run, {}, 0) for run in runs]
    module = TextualInversion.__new__(TextualInversion)
    torch.nn.Module.__init__(module)
    module.runs, module.begun, module.done, module.failures, module.stopped = (
        [run.run for run in runs[:2]],
        [0, 0],
        0,
        {},
        {},
    )
    progress = Progress(3)
    trainer, timer = pl.Trainer.__new__(pl.Trainer), UpdateTimer(writers[:2], progress)
    times = iter([0.0, 4.0, 10.0, 12.0, 20.0, 21.0])  # updates of 4, 2 and 1 seconds, and pauses of 6 and 8
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(times))
    for step in range(3):
        if step == 2:
            module.stopped[0] = 2
        timer.on_train_batch_start(trainer, module, step, step)
        module.done += 1
        timer.on_train_batch_end(trainer, module, None, step, step)
    assert progress.update_seconds == 7
    first, second, none = (writer.pace() for writer in writers)
    assert (first["update"], first["runs_at_once"]) == ((4 / 2 + 2 / 2) / 2, 2)
    assert (second["update"], second["runs_at_once"]) == (round((4 / 2 + 2 / 2 + 1) / 3, 6), 2)
    assert (none["update"], none["runs_at_once"]) == (None, None)
