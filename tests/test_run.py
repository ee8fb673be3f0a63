"""The program as a user runs it, on a tiny model."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mti.images import to_tensor
from mti.outputs import RunFolder

ROOT = Path(__file__).parent.parent
CHECKPOINT = "*/*/*/checkpoints/last.safetensors"  # of any run of an experiment; drafts come and go beside it


@pytest.fixture
def command(tiny_sd_folder, tmp_path):
    """The command line, but for its overrides: a tiny model, few and cheap evaluations."""

    def build(*overrides):
        return [
            *(sys.executable, "-m", "mti.run"),
            *(flag for flag in overrides if flag == "-m"),
            *(f"model.path={tiny_sd_folder}", "model.name=tiny", "model.precision=fp32", "logger=csv"),
            *("init=text", "init.text='a photo'", "trainer=cpu"),
            *("trainer.max_steps=6", "evaluation.steps=[0,3]", "evaluation.samples=4", "evaluation.pictures=2"),
            *("evaluation.num_inference_steps=2", "training.checkpoint_every=2", f"output_dir={tmp_path}"),
            *(override for override in overrides if override != "-m"),
        ]

    return build


def run(arguments, **options):
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


def wait_for(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def only_folder(root: Path) -> Path:
    (folder,) = (path.parent for path in root.rglob("config.yaml"))
    return folder


def test_a_run_leaves_a_whole_folder_and_a_second_one_is_skipped(command, tmp_path):
    first = run(command())
    assert first.returncode == 0, first.stderr
    folder = only_folder(tmp_path)
    assert {path.name for path in folder.iterdir()} >= {
        *("config.yaml", "text.json", "metrics.csv", "tokens.safetensors", "samples", "checkpoints"),
        *("comparison.png", "summary.json"),
    }
    with (folder / "metrics.csv").open() as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    assert list(rows) == list(range(7))
    assert [step for step, row in rows.items() if row["eval/mse"]] == [0, 3, 6]
    assert [step for step, row in rows.items() if row["train/mse"]] == list(range(6))
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["00000", "00003", "00006"]
    text = json.loads((folder / "text.json").read_text())
    assert (text["text"], text["tokens"]) == ("a photo", ["a</w>", "photo</w>"])
    assert sum(path.stat().st_size for path in (folder / "checkpoints").iterdir()) < 10_000
    assert "finished" in first.stdout

    second = run(command())
    assert second.returncode == 0
    assert f"finished before, skipped: {folder}" in second.stderr


def test_killed_at_any_moment_a_run_resumes_bit_exactly(command, tmp_path):
    assert run(command("experiment.name=whole", "trainer.max_steps=40")).returncode == 0
    whole = only_folder(tmp_path / "whole")
    broken = command("experiment.name=broken", "trainer.max_steps=40")
    process = subprocess.Popen(broken, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(tmp_path.glob(f"broken/{CHECKPOINT}")))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    folder = only_folder(tmp_path / "broken")
    assert not RunFolder(folder).finished

    again = run(broken)
    assert again.returncode == 0, again.stderr
    assert "interrupted before, resumed at step" in again.stderr
    assert torch.equal(RunFolder(folder).read_tokens()[0], RunFolder(whole).read_tokens()[0])
    assert RunFolder(folder).metrics() == RunFolder(whole).metrics()


def test_a_multirun_is_one_process_whose_runs_end_alone(command, tmp_path):
    long = "'" + "photo " * 30 + "'"
    done = run([*command("-m", "image=teapot,cup"), f"init.text='a photo',{long}"])
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("the prompt 'a photo of a {}' has") == 2
    states = [json.loads(path.read_text())["status"] for path in tmp_path.rglob("summary.json")]
    assert sorted(states) == ["failed", "failed", "finished", "finished"]
    assert "Traceback" not in done.stderr


def test_fused_and_basic_launchers_give_the_same_curves(command, tmp_path):
    sweep = ("-m", "seed=0,1")
    assert run(command(*sweep, "experiment.name=fused")).returncode == 0
    assert run(command(*sweep, "experiment.name=basic", "hydra/launcher=basic")).returncode == 0
    for fused in tmp_path.glob("fused/**/metrics.csv"):
        basic = tmp_path / "basic" / fused.relative_to(tmp_path / "fused")
        curves, others = RunFolder(fused.parent).metrics(), RunFolder(basic.parent).metrics()
        assert curves.keys() == others.keys()
        for name, curve in curves.items():
            assert curve == pytest.approx(others[name], rel=1e-4)


def test_mistakes_are_told_in_a_line_each_without_a_traceback(command):
    done = run(command("image=teepot", "training.templates=subject"))
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2
    assert all(line.startswith("mti: ") for line in lines)


def test_another_configuration_does_not_land_on_a_runs_results(command, tmp_path):
    assert run(command(f"folder={tmp_path}/mine")).returncode == 0
    done = run(command(f"folder={tmp_path}/mine", "training.weight_decay=0.5"))
    assert done.returncode == 2
    assert "training.weight_decay: 0.0 -> 0.5" in done.stderr


def test_pictures_from_learned_tokens(command, tmp_path):
    assert run(command()).returncode == 0
    generate = [
        sys.executable,
        "-m",
        "mti.generate",
        f"run={only_folder(tmp_path)}",
        "pictures=3",
        "num_inference_steps=2",
    ]
    done = run([*generate, "prompt=the photographer's {}", f"output={tmp_path}/drawn"])
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "0.png",
        "1.png",
        "2.png",
        "grid.png",
        "request.json",
    ]
    done = run([*generate, f"prompt='{'photo ' * 30}'"])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_metric_of_ones_own_is_one_class_and_one_line_of_config(command, tmp_path):
    """It gets the pictures that are kept, and the concept's own; its values become columns."""
    (tmp_path / "mine.py").write_text(
        "class Brightness:\n"
        "    def __call__(self, generated, reference, prompts):\n"
        "        return {'brightness': generated.mean().item(), 'pictures': float(len(generated))}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run(command("+metrics.mine._target_=mine.Brightness"), env=environment)
    assert done.returncode == 0, done.stderr
    folder = RunFolder(only_folder(tmp_path))
    curves = folder.metrics()
    assert list(curves["eval/brightness"]) == [0, 3, 6]
    assert curves["eval/pictures"][3] == 2
    kept = [to_tensor(picture, picture.width).mean().item() for picture in folder.pictures(3)]
    assert curves["eval/brightness"][3] == pytest.approx(sum(kept) / 2, abs=0.01)


def test_interrupted_from_the_keyboard_a_run_says_how_to_go_on(command, tmp_path):
    with subprocess.Popen(
        command("trainer.max_steps=100000"),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    ) as process:
        try:
            wait_for(lambda: list(tmp_path.glob(f"default/{CHECKPOINT}")))
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGINT
    assert "SIGINT: stopping after this step" in told
    assert "stopped; the same command goes on from the last checkpoints" in told
    assert "Traceback" not in told


def test_a_folder_in_use_is_refused(command, tmp_path):
    with RunFolder(tmp_path / "mine").locked():
        done = run(command(f"folder={tmp_path}/mine"))
    assert done.returncode == 2
    assert f"in use by process {os.getpid()}" in done.stderr


def test_personalization_pictures_are_drawn_kept_and_judged_apart(command, tmp_path):
    (tmp_path / "edits.py").write_text(
        "class Edits:\n"
        "    prompt_set = 'personalization'\n"
        "    def __call__(self, generated, reference, prompts):\n"
        "        return {'edits': float(prompts.count('a red {}'))}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    prompts = "personalization.prompts=['a red {}','the good {}']"
    overrides = (
        "+metrics.mine._target_=edits.Edits",
        prompts,
        "personalization.steps=[4]",
        "personalization.pictures=2",
    )
    done = run(command(*overrides), env=environment)
    assert done.returncode == 0, done.stderr
    folder = RunFolder(only_folder(tmp_path))
    assert folder.personalized_steps() == [4]
    pictures = folder.personalization(4)
    assert {prompt: len(many) for prompt, many in pictures.items()} == {"a red {}": 2, "the good {}": 2}
    assert folder.metrics()["eval/edits"] == {4: 2}
    assert folder.calibration()["mse"]["initial_text"] == pytest.approx(folder.metrics()["eval/mse"][0], rel=1e-5)
    protocol = folder.summary()["protocol"]
    assert (protocol["personalization"]["steps"], protocol["precision"]) == ([4], "fp32")
