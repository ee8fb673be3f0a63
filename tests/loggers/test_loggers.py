import subprocess
import sys

import pytest
from hydra.utils import instantiate
from logged import ABOUT, log_run, messages
from omegaconf import OmegaConf

from mti import loggers
from mti.loggers import Csv, FaultTolerantLogger, Logger, RunLogger, run_config
from mti.loggers.tensorboard import TensorBoard
from mti.loggers.wandb import Wandb


@pytest.mark.parametrize(("name", "kind"), [("csv", Csv), ("wandb", Wandb), ("tensorboard", TensorBoard)])
def test_configurations_build(name, kind):
    logger = instantiate(OmegaConf.load(f"conf/logger/{name}.yaml"))
    assert isinstance(logger, kind)
    assert isinstance(logger, Logger)


def test_building_a_logger_imports_no_service():
    code = (
        "import sys; from mti.loggers.wandb import Wandb; from mti.loggers.tensorboard import TensorBoard\n"
        "Wandb(); TensorBoard().check(); sys.exit('wandb' in sys.modules or 'tensorboard' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_service_that_fails_is_spoken_of_once(caplog):
    class Broken(RunLogger):
        wants_tokens = True
        calls = 0

        def log(self, step, values):
            self.calls += 1
            raise ConnectionError("the line\nis dead")

    broken = Broken()
    run = FaultTolerantLogger("W&B", broken)
    assert run.wants_tokens
    log_run(run)
    assert broken.calls == 1
    assert not run.wants_tokens
    assert messages(caplog) == ["W&B failed (ConnectionError: the line is dead): this run goes on without it"]


def test_values_are_held_back_but_for_a_while_or_until_something_needs_them(monkeypatch):
    class Kept(RunLogger):
        def __init__(self):
            self.got = []

        def log(self, step, values):
            self.got.append((step, dict(values)))

        def pictures(self, step, name, pictures, captions):
            self.got.append(name)

        def finish(self, summary):
            self.got.append("end")

    now, kept = [0.0], Kept()
    monkeypatch.setattr(loggers.time, "monotonic", lambda: now[0])
    run = FaultTolerantLogger("W&B", kept)
    run.log(0, {"train/mse": 0.5})
    run.log(1, {"train/mse": 0.4})
    assert kept.got == []
    now[0] = loggers.PATIENCE
    run.log(1, {"eval/mse": 0.3})
    assert kept.got == [(0, {"train/mse": 0.5}), (1, {"train/mse": 0.4, "eval/mse": 0.3})]
    kept.got.clear()
    run.log(2, {"train/mse": 0.2})
    run.pictures(2, "samples", [], [])
    run.log(3, {"train/mse": 0.1})
    run.flush()
    run.flush()
    run.log(4, {"train/mse": 0.0})
    run.finish({})
    assert kept.got == [(2, {"train/mse": 0.2}), "samples", (3, {"train/mse": 0.1}), (4, {"train/mse": 0.0}), "end"]


def test_csv_takes_nothing_anywhere(tmp_path):
    run = Csv().open(tmp_path, **ABOUT)
    log_run(run)
    assert not run.wants_tokens
    assert not list(tmp_path.iterdir())


def test_a_service_is_told_the_runs_own_choices():
    config = {
        "image": "teapot",
        "click": [3, 4],
        "seed": 1,
        "init": {"name": "caption"},
        "training": {"learning_rate": 0.005},
        "metrics": {"lpips": {"_target_": "mti.metrics.lpips.LPIPS"}},
        "dataset": {"concepts": {"cup": {"caption": "bon appetit"}}},
        "captioner": {"path": "pocket:captioner"},
        "output_dir": "outputs",
        "folder": "outputs/a",
    }
    assert run_config(config, "red teapot", ["red</w>", "teapot</w>"]) == {
        "image": "teapot",
        "click": [3, 4],
        "seed": 1,
        "init": {"name": "caption"},
        "training": {"learning_rate": 0.005},
        "metrics": ["lpips"],
        "initial_text": "red teapot",
        "initial_tokens": ["red</w>", "teapot</w>"],
    }
