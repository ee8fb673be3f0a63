import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mti.dashboard import INITIALIZER, PANELS, main, workspace
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


@pytest.fixture
def server(monkeypatch, tmp_path):
    """What a stand-in for W&B's server, which the environment names, has been asked to save."""
    saved = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = b"{}"
            if self.path == "/graphql":
                asked = json.loads(body)
                viewer = {"id": "1", "entity": "someone", "username": "someone", "flags": "{}", "teams": {"edges": []}}
                data = {"viewer": viewer}
                if "upsertView" in asked["query"]:
                    saved.append(asked["variables"])
                    data = {"upsertView": {"view": {"id": "1", "name": asked["variables"]["name"]}, "inserted": True}}
                answer = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            """Nothing on the terminal."""

    served = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{served.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    yield saved
    served.shutdown()
    served.server_close()


def ran(*arguments):
    command = [sys.executable, "-m", "mti.dashboard", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)


def test_the_readmes_command_saves_the_workspace_and_says_where(server):
    done = ran("someone", "--project", "inversions", "--experiment", "paper")
    assert done.returncode == 0, done.stderr
    (saved,) = server
    assert (saved["entityName"], saved["projectName"]) == ("someone", "inversions")
    assert saved["displayName"] == "Initializers: paper"
    assert set(PANELS["Loss"]) <= set(panels(json.loads(saved["spec"])["section"]))
    view = saved["name"].removeprefix("nw-").removesuffix("-v")
    assert done.stdout.strip().endswith(f"/someone/inversions?nw={view}")


def test_without_an_account_there_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    done = ran("someone")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("mti: W&B has not taken the workspace (")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "given",
    [
        [""],
        ["some one"],
        ["someone", "--project", "a/b"],
        ["someone", "--project", " "],
        ["someone", "--experiment", ""],
        ["someone", "--name", "a\x1b[31m"],
        ["someone", "--name", "🫖"],
    ],
)
def test_a_name_that_is_none_for_wandb_is_told_in_a_line_before_anything_is_asked(monkeypatch, capsys, given):
    monkeypatch.setattr(sys, "argv", ["dashboard", *given])
    with pytest.raises(SystemExit, match="2"):
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mti: ")
    assert ": expected " in line
