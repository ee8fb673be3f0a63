"""What a sweeper is told, and that Optuna tunes with it."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mti.errors import UserError
from mti.objective import worth
from mti.outputs import RunFolder
from mti.schema import Sweep

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path):
    run = RunFolder(tmp_path)
    for step, loss in {0: 1.0, 10: 0.5, 20: 0.3}.items():
        run.record(step, {"eval/mse": loss})
    run.flush()
    run.write_summary({"status": "finished"})
    return run


@pytest.mark.parametrize(
    ("sweep", "value"),
    [
        (Sweep("eval/mse"), 0.3),
        (Sweep("eval/mse", step=10), 0.5),
        (Sweep("eval/mse", level=0.75), 5.0),
        (Sweep("eval/mse", level=1.0), 0.0),
        (Sweep("eval/mse", level=0.4), 15.0),
        (Sweep("eval/mse", level=0.1), math.inf),
    ],
)
def test_a_run_is_worth_its_value_or_how_soon_it_reached_a_level(folder, sweep, value):
    assert worth(folder, sweep) == pytest.approx(value)


def test_a_failed_run_is_worth_the_worst(folder):
    folder.write_summary({"status": "failed", "reason": "x"})
    assert worth(folder, Sweep("eval/mse"), -math.inf) == -math.inf


def test_what_is_not_measured_is_told_with_what_is(folder):
    with pytest.raises(UserError, match=r"sweep.objective=eval/lpips: the runs measure eval/mse"):
        worth(folder, Sweep("eval/lpips"))
    with pytest.raises(UserError, match=r"sweep.step=5: eval/mse is measured at 0, 10, 20"):
        worth(folder, Sweep("eval/mse", step=5))


def test_optuna_tunes_the_learning_rate_in_fused_batches(tiny_sd_folder, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mti.run", "-m", "experiment=tune", f"model.path={tiny_sd_folder}"),
            *("model.name=tiny", "init=text", "init.text=a photo", "trainer=cpu", "trainer.max_steps=3"),
            *("evaluation.steps=[0]", "evaluation.samples=2", "metrics=none", "logger=csv", f"output_dir={tmp_path}"),
            *("hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2", "training.runs_at_once=2"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("loading tiny") == 2  # two batches of two trials
    best = yaml.safe_load((tmp_path / "tune" / "optimization_results.yaml").read_text())
    losses = [json.loads(path.read_text())["eval/mse"] for path in tmp_path.rglob("summary.json")]
    assert len(losses) == 4
    assert best["best_value"] == min(losses)
