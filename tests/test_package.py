"""The wheel, and the command `mti`."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from mti.cli import COMMANDS, commands, help_text
from mti.completion import SCRIPTS, complete

ROOT = Path(__file__).parent.parent


def python(*arguments, path=ROOT, cwd=ROOT, **environment):
    """A Python of its own, which sees the package at a path."""
    given = {**os.environ, "PYTHONPATH": str(path), "HYDRA_FULL_ERROR": "0", **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=given, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    done = python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_a_wheel_has_every_file_that_the_program_reads(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "conf", "mti", "hydra_plugins"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {f"mti/{name}" if name.startswith("conf/") else name for name in tracked.stdout.split()}
    assert wanted <= packed
    assert not {name.split("/")[0] for name in packed} - {
        "mti",
        "hydra_plugins",
        f"{wheel.name.split('-py3')[0]}.dist-info",
    }


def test_an_unpacked_wheel_runs_from_an_empty_folder(wheel, tmp_path):
    place, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(place)
    empty.mkdir()
    done = python("-m", "mti.cli", "run", "--cfg", "job", "init=star", path=place, cwd=empty)
    assert done.returncode == 0, done.stderr
    assert "mti.initializers.star.Star" in done.stdout
    done = python("-c", "import mti.command_line as c; print(c.CONF)", path=place, cwd=empty)
    assert done.stdout.strip() == str(place / "mti" / "conf")
    assert not list(empty.iterdir())


def test_versions_that_matter_are_bounded():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"timm>=1.0.31", "hydra-core>=1.3.8,<1.4", "pytorch-lightning>=2.6.4"} <= set(wanted["dependencies"])
    assert wanted["scripts"] == {"mti": "mti.cli:main"}


# ------------------------------------------------------------------------------------------ the command


def test_help_lists_the_commands_that_there_are_in_a_line_each():
    known = commands()
    assert {"run", "generate", "report", "dashboard"} <= set(known) <= set(COMMANDS)
    lines = help_text(known).splitlines()
    for name in COMMANDS:
        mentioned = [line for line in lines if line.startswith(f"  {name} ")]
        assert len(mentioned) == (name in known)
        assert all(f"mti {name}" in line for line in mentioned)


def test_every_command_can_be_started():
    code = "import importlib, inspect, mti.cli as c\n"
    code += "for name in c.commands():\n    main = importlib.import_module(f'mti.{name}').main\n"
    code += "    inspect.signature(main, follow_wrapped=False).bind()"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_help_needs_no_torch_and_an_unknown_command_is_told_in_a_line():
    done = python("-c", "import sys, mti.cli; mti.cli.main(); assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr
    assert "mti run init=caption" in done.stdout
    done = python("-m", "mti.cli", "genrate")
    assert (done.returncode, done.stderr) == (2, "mti: there is no command genrate: did you mean mti generate?\n")


def test_help_of_generate_shows_what_it_takes_and_nothing_else():
    done = python("-m", "mti.cli", "generate", "--help")
    assert done.returncode == 0
    for key in ("prompt", "negative_prompt", "num_inference_steps", "seed", "output"):
        assert f"\n{key}: " in done.stdout
    assert not {"hydra", "training", "dataset", "defaults"} & set(done.stdout.replace(":", " ").split())


def test_help_of_run_explains_every_group_and_its_choices():
    done = python("-m", "mti.run", "-h")
    assert "\n  init: caption, class, cross, multistar, random, ranked, star, text, tokens\n" in done.stdout
    assert "  - segmenter: pocket " in done.stdout
    assert "--config-dir" in done.stdout


def test_run_is_the_module_and_finds_parts_in_the_working_directory(tmp_path):
    (tmp_path / "mine.py").write_text("class Mine:\n    def __call__(self, concept, tokenize):\n        pass\n")
    given = ["init=star", "init.initializer._target_=mine.Mine", "image=nothing"]
    told = [python("-m", "mti.cli", "run", *given, cwd=tmp_path), python("-m", "mti.run", *given, cwd=tmp_path)]
    assert [one.returncode for one in told] == [2, 2]
    assert told[0].stderr == told[1].stderr
    assert told[0].stderr.startswith("mti: image=nothing is neither a concept of the data set")


# ------------------------------------------------------------------------------------------- completion


def test_commands_are_completed():
    assert complete("mti re", commands()) == ["report"]
    assert complete("mti ", commands()) == commands()
    assert complete("mti report out", commands()) == []


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_understands_its_script(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, check=False).returncode == 0


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_settings(tmp_path):
    program = tmp_path / "mti"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mti.cli "$@"\n')
    program.chmod(0o755)
    script = """
eval "$(mti -sc install=bash)"
complete -p mti
ask() { COMP_LINE=$1; COMP_POINT=${#1}; _mti; echo "$1 -> ${COMPREPLY[*]}"; }
ask "mti run init=ca" 2>/dev/null
ask "mti run training.batch" 2>/dev/null
ask "mti generate guid" 2>/dev/null
ask "mti generate init" 2>/dev/null
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "complete -o default -F _mti mti",
        "mti run init=ca -> caption",
        "mti run training.batch -> training.batch_size=",
        "mti generate guid -> guidance_scale=",
        "mti generate init -> ",
    ]


@pytest.mark.parametrize("asked", ["install=tcsh", "install", "-sc"])
def test_what_no_shell_asks_is_told_in_a_line(asked):
    done = python("-m", "mti.cli", "-sc", asked)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
