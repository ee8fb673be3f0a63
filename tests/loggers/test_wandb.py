import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import wandb
from logged import ABOUT, log_run, messages

from mti.loggers.wandb import Wandb, WandbRun


def told(folder, which=-1):
    """What a W&B run's file says, by the type of record."""
    path = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)[which]
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    records = {}
    for record in map(json.loads, lines):
        records.setdefault(record["type"], []).append(record.get(record["type"]))
    return records


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_wandb_keeps_a_run_per_run(tmp_path, caplog):
    logger = Wandb()
    for i in range(2):
        log_run(logger.open(tmp_path / str(i), **ABOUT))
    assert not messages(caplog)
    records = told(tmp_path / "0")
    run = records["run"][0]
    assert (run["project"], run["run_group"], run["job_type"]) == ("mti", "smoke", "star")
    assert run["display_name"] == "teapot, star, seed 0"
    assert run["config"]["update"].items() >= ABOUT["config"].items()
    assert {"glob_name": "*", "options": {"defined": True, "step_sync": True}, "step_metric": "step"} in records[
        "metric"
    ]
    points = [record["item"] for record in records["history"]]
    assert [point["step"] for point in points] == [0, 0, 1, 2, 3, 3]
    assert points[0]["learned.captions"] == ["picture", "mask"]
    assert points[2]["train/mse"] == 0.25
    assert points[4]["eval/mse"] == 0.25
    assert points[5]["samples.count"] == 3
    assert points[5]["samples.captions"] == ["a photo of {}", "a {}", "a photo of {}"]
    assert records["exit"][0]["exit_code"] == 0
    assert run["run_id"] != told(tmp_path / "1")["run"][0]["run_id"]


def test_tokens_are_artifacts_where_that_is_asked_for(tmp_path):
    file = tmp_path / "tokens.safetensors"
    file.write_bytes(b"tokens")
    assert not Wandb().open(tmp_path / "0", **ABOUT).wants_tokens
    run = Wandb(tokens=True).open(tmp_path / "1", **ABOUT)
    assert run.wants_tokens
    run.tokens(50, file)
    run.finish({"status": "finished"})
    (artifact,) = told(tmp_path / "1")["artifact"]
    assert (artifact["type"], sorted(artifact["aliases"])) == ("tokens", ["latest", "step-50"])
    assert artifact["manifest"]["contents"][0]["local_path"] == str(file)


def test_wandb_goes_on_with_the_same_run(tmp_path):
    Wandb().open(tmp_path, **ABOUT).finish({"status": "failed"})
    log_run(Wandb().open(tmp_path, **ABOUT))
    first, second = told(tmp_path, 0), told(tmp_path, 1)
    assert first["exit"][0]["exit_code"] == 1
    assert first["run"][0]["run_id"] == second["run"][0]["run_id"]
    assert second["run"][0]["resume"]


def test_wandb_online_without_an_account_stays_offline(tmp_path, caplog):
    log_run(Wandb(mode="online").open(tmp_path, **ABOUT))
    (line,) = messages(caplog)
    assert "run `wandb login`" in line
    assert told(tmp_path)["exit"][0]["exit_code"] == 0


def test_wandb_with_an_unreachable_server_stays_offline(tmp_path):
    code = (
        "import logging, pathlib, test_wandb as t; logging.basicConfig(format='%(message)s')\n"
        "logger = t.Wandb(timeout=3)\n"
        f"for i in '01': t.log_run(logger.open(pathlib.Path({str(tmp_path)!r}, i), **t.ABOUT))"
    )
    here = Path(__file__).parent
    server = {
        "WANDB_API_KEY": "a" * 40,
        "WANDB_BASE_URL": "http://127.0.0.1:9",
        "PYTHONPATH": os.pathsep.join([*map(str, (here, here.parent)), os.environ.get("PYTHONPATH", "")]),
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | server, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - began < 60
    assert len(done.stderr.splitlines()) == 1
    assert "W&B cannot be used online" in done.stderr
    assert len(told(tmp_path / "1")["history"]) == 6


def test_wandb_names_what_a_hanging_server_has_not_got(caplog):
    run = create_autospec(wandb.Run, instance=True)
    run.summary, run.settings.mode, run.name, run.dir = {}, "online", "teapot-star-s0", "outputs/wandb/run-1-a/files"
    run.finish.side_effect = TimeoutError("Timed out finishing run.")
    before = set(threading.enumerate())
    WandbRun(run).finish({"status": "finished"})
    for thread in set(threading.enumerate()) - before:
        thread.join()
    run.finish.assert_called_once_with(0)
    (line,) = messages(caplog)
    assert "`wandb sync outputs/wandb/run-1-a`" in line


def test_wandb_that_cannot_even_write_is_done_without(tmp_path, caplog):
    (tmp_path / "wandb").write_text("in the way")
    log_run(Wandb().open(tmp_path, **ABOUT))
    (line,) = messages(caplog)
    assert line.endswith("teapot, star, seed 0 goes on without it")
