import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mti.dashboard import INITIALIZER, PANELS, workspace
from mti.reporting.style import INITIALIZERS

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")  # of wandb-workspaces itself

ROOT = Path(__file__).parent.parent


def sent(experiment=None):
    """The name and the content of what W&B would be sent."""
    model = workspace("someone", "mti", experiment)._to_model().model_dump(by_alias=True, exclude_none=True)
    assert (model["entity"], model["project"]) == ("someone", "mti")
    return model["displayName"], model["spec"]["section"]


def panels(section):
    sections = section["panelBankConfig"]["sections"]
    return {panel["config"]["chartTitle"]: panel["config"] for one in sections for panel in one["panels"]}


def test_every_curve_is_drawn_over_steps_and_averaged_by_initializer():
    found = panels(sent()[1])
    expected = {title: pattern for section in PANELS.values() for title, pattern in section.items()}
    assert {title: found[title]["metricRegex"] for title in expected} == expected
    for title in expected:
        panel = found[title]
        assert (panel["xAxis"], panel["groupBy"]) == ("step", "init.value.name")
        assert (panel["groupAgg"], panel["groupArea"]) == ("mean", "stderr")
    assert set(found) - set(expected) == {"Evaluation loss at the end", "Samples"}
    assert found["Samples"]["mediaKeys"] == ["samples"]


def test_runs_are_one_experiments_and_grouped_by_initializer_in_the_reports_colors():
    name, section = sent("paper")
    (runs,) = section["runSets"]
    (condition,) = runs["filters"]["filters"]
    assert name == "Initializers: paper"
    assert (condition["key"]["name"], condition["op"], condition["value"]) == ("group", "=", "paper")
    assert [group["name"] for group in runs["grouping"]] == ["init.value.name"]
    assert list(section["customRunColors"].values()) == list(INITIALIZERS.values())


def test_without_an_experiment_all_runs_are_shown():
    name, section = sent()
    assert name == "Initializers"
    assert section["runSets"][0]["filters"]["filters"] == []


def test_a_runs_configuration_has_what_the_panels_group_by():
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("run", ["init=class"])
    assert OmegaConf.select(config, INITIALIZER) == "class"


def test_without_an_account_there_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    command = [sys.executable, "-m", "mti.dashboard", "entity=someone"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mti: W&B has not taken the workspace (")
    assert "Traceback" not in done.stderr
