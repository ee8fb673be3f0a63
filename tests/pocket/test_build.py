import importlib
import sys

import pytest

from mti.pocket import build


def test_every_stage_is_a_module_that_runs():
    for name in build.STAGES:
        module = importlib.import_module(f"mti.pocket.{name}")
        assert callable(module.run)
        assert isinstance(module.STEPS, int)


def test_stages_run_in_the_order_given(monkeypatch, tmp_path):
    done = []
    for name in ("vae", "clip"):
        module = importlib.import_module(f"mti.pocket.{name}")
        monkeypatch.setattr(module, "run", lambda options, name=name: done.append((name, options.steps, options.work)))
    monkeypatch.setattr(sys, "argv", ["build", "clip", "vae", "--steps", "3", "--work", str(tmp_path)])
    build.main()
    assert done == [("clip", 3, tmp_path), ("vae", 3, tmp_path)]


def test_a_wrong_name_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build", "vaee"])
    with pytest.raises(SystemExit):
        build.main()
    assert "vaee" in capsys.readouterr().err
