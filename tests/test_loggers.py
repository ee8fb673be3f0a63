import json
import os
import subprocess
import sys
import threading
import time
from unittest.mock import create_autospec

import pytest
import wandb
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mti.loggers import Csv, FaultTolerantLogger, RunLogger, TensorBoard, Wandb, WandbRun
from mti.types import UserError

ABOUT = {
    "name": "teapot-star-s0",
    "group": "smoke",
    "job_type": "star",
    "config": {"seed": 0, "init": {"name": "star"}},
}
PICTURE = Image.new("RGB", (8, 8), "red")


def tell(line):
    for step in range(3):
        line.log(step, {"train/mse": 0.5 / (step + 1)})
    line.log(3, {"eval/mse": 0.25})
    line.pictures(3, {"samples": [PICTURE, PICTURE]})
    line.finish({"status": "finished", "text": "*"})


def told(folder, which=-1):
    """What a W&B run's file says, by the type of record."""
    path = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)[which]
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    records = {}
    for record in map(json.loads, lines):
        records.setdefault(record["type"], []).append(record.get(record["type"]))
    return records


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "mti.loggers"]


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.parametrize(("name", "kind"), [("csv", Csv), ("wandb", Wandb), ("tensorboard", TensorBoard)])
def test_configurations_build(name, kind):
    assert isinstance(instantiate(OmegaConf.load(f"conf/logger/{name}.yaml")), kind)


def test_building_a_logger_imports_no_service():
    code = "import sys, mti.loggers as l; l.Wandb(); l.TensorBoard(); sys.exit('wandb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wandb_mode_is_checked():
    with pytest.raises(UserError, match="'of': expected auto, online or offline"):
        Wandb(mode="of")


def test_wandb_keeps_a_run_per_run(tmp_path, caplog):
    logger = Wandb()
    for i in range(2):
        tell(logger.open(tmp_path / str(i), **ABOUT))
    assert not said(caplog)
    records = told(tmp_path / "0")
    run = records["run"][0]
    assert (run["project"], run["run_group"], run["job_type"]) == ("mti", "smoke", "star")
    assert run["display_name"] == "teapot-star-s0"
    assert run["config"]["update"]["init"] == {"name": "star"}
    assert {"glob_name": "*", "options": {"defined": True, "step_sync": True}, "step_metric": "step"} in records[
        "metric"
    ]
    points = [record["item"] for record in records["history"]]
    assert [point["step"] for point in points] == [0, 1, 2, 3, 3]
    assert points[1]["train/mse"] == 0.25
    assert points[3]["eval/mse"] == 0.25
    assert points[4]["samples.count"] == 2
    assert records["exit"][0]["exit_code"] == 0
    assert run["run_id"] != told(tmp_path / "1")["run"][0]["run_id"]


def test_wandb_goes_on_with_the_same_run(tmp_path):
    Wandb().open(tmp_path, **ABOUT).finish({"status": "failed"})
    tell(Wandb().open(tmp_path, **ABOUT))
    first, second = told(tmp_path, 0), told(tmp_path, 1)
    assert first["exit"][0]["exit_code"] == 1
    assert first["run"][0]["run_id"] == second["run"][0]["run_id"]
    assert second["run"][0]["resume"]


def test_wandb_online_without_an_account_stays_offline(tmp_path, caplog):
    tell(Wandb(mode="online").open(tmp_path, **ABOUT))
    (line,) = said(caplog)
    assert "run `wandb login`" in line
    assert told(tmp_path)["exit"][0]["exit_code"] == 0


def test_wandb_with_an_unreachable_server_stays_offline(tmp_path):
    code = (
        "import logging, pathlib, test_loggers as t; logging.basicConfig(format='%(message)s')\n"
        "logger = t.Wandb(timeout=3)\n"
        f"for i in '01': t.tell(logger.open(pathlib.Path({str(tmp_path)!r}, i), **t.ABOUT))"
    )
    server = {
        "WANDB_API_KEY": "a" * 40,
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "PYTHONPATH": os.path.dirname(__file__),
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | server, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - began < 60
    assert len(done.stderr.splitlines()) == 1
    assert "W&B cannot be used online" in done.stderr
    assert len(told(tmp_path / "1")["history"]) == 5


def test_wandb_names_what_a_hanging_server_has_not_got(caplog):
    run = create_autospec(wandb.Run, instance=True)
    run.summary, run.settings.mode, run.name, run.dir = {}, "online", "teapot-star-s0", "outputs/wandb/run-1-a/files"
    run.finish.side_effect = TimeoutError("Timed out finishing run.")
    before = set(threading.enumerate())
    WandbRun(run).finish({"status": "finished"})
    for thread in set(threading.enumerate()) - before:
        thread.join()
    run.finish.assert_called_once_with(0)
    (line,) = said(caplog)
    assert "`wandb sync outputs/wandb/run-1-a`" in line


def test_wandb_that_cannot_even_write_is_done_without(tmp_path, caplog):
    (tmp_path / "wandb").write_text("in the way")
    tell(Wandb().open(tmp_path, **ABOUT))
    (line,) = said(caplog)
    assert line.endswith("teapot-star-s0 goes on without it")


def test_tensorboard_has_the_curves(tmp_path):
    tell(TensorBoard().open(tmp_path, **ABOUT))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/mse")][:2] == [(0, 0.5), (1, 0.25)]
    assert events.Scalars("eval/mse")[0].step == 3
    assert events.Images("samples")[0].step == 3


def test_a_broken_line_is_spoken_of_once(caplog):
    class Broken(RunLogger):
        calls = 0

        def log(self, step, values):
            self.calls += 1
            raise ConnectionError("the line\nis dead")

    broken = Broken()
    tell(FaultTolerantLogger("W&B", broken))
    assert broken.calls == 1
    assert said(caplog) == ["W&B failed (ConnectionError: the line is dead): this run goes on without it"]


def test_csv_leads_nowhere(tmp_path):
    tell(Csv().open(tmp_path, **ABOUT))
    assert not list(tmp_path.iterdir())
