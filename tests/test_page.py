"""What the page does, without the page: commands, clicks, jobs, and how runs are read."""

import argparse
import shlex
import socket
import sys
import time

import pytest
from PIL import Image

from mti.concepts.clicks import Clicks
from mti.errors import UserError
from mti.outputs import RunFolder
from mti.page import watching
from mti.page.actions import Actions, Pointed
from mti.page.commands import Choice, Command, Commands, export_command, generate_command
from mti.page.jobs import Jobs

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def commands():
    return Commands(["logger=csv", "seed=3", "metrics=none"])


@pytest.fixture
def actions(commands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Actions(commands)
    yield found
    found.jobs.close()


# ------------------------------------------------------------------------------------------- commands


def test_what_the_page_was_started_with_is_its_runs_and_what_is_chosen_goes_before(commands):
    (command,) = commands.training(Choice("teapot", inits=["caption"]))
    assert str(command) == "mti run logger=csv metrics=none init=caption image=teapot"
    assert commands.defaults.seed == 3  # what the page shows at first
    assert commands.run_of(Choice("teapot", seed=5), "star").seed == 5


def test_a_choice_as_commands_that_compose_to_it(commands):
    choice = Choice(
        "teapot",
        Clicks(((12, 34), (5, 6)), ((1, 2),), (0, 0, 64, 64)),
        "thing",
        "kept",
        ["caption", "star", "text"],
        "a  red pot, with 'quotes' and {braces}",
        7,
        20,
    )
    several, own = commands.training(choice)
    assert several.arguments[0] == "-m"
    assert "init=caption,star" in several.arguments
    words = [word for word in shlex.split(str(own))[2:] if "=" in word]
    config = commands.composed(*words)
    assert (config.click, config.outside, config.box) == ([[12, 34], [5, 6]], [1, 2], [0, 0, 64, 64])
    assert (config.crop, config.init.background, config.seed, config.trainer.max_steps) == ("thing", "kept", 7, 20)
    assert config.init.text == "a red pot, with 'quotes' and {braces}"
    assert config == commands.run_of(choice, "text")


def test_no_click_a_recorded_one_and_a_box_alone(commands):
    def given(clicks):
        return commands.run_of(Choice("teapot", clicks), "star")

    assert given(None).click == "recorded"
    assert given(Clicks()).click is None
    assert (given(Clicks(box=(1, 2, 3, 4))).click, given(Clicks(box=(1, 2, 3, 4))).box) == (None, [1, 2, 3, 4])


def test_what_an_experiment_sets_is_changed_by_what_is_chosen():
    (command,) = Commands(["experiment=smoke"]).training(Choice("teapot", max_steps=200))
    assert command.arguments[-1] == "trainer.max_steps=200"


def test_nothing_chosen_and_wrong_settings_are_told(commands):
    with pytest.raises(UserError, match="no start is chosen"):
        commands.training(Choice("teapot", inits=[]))
    with pytest.raises(UserError, match="model=none"):
        Commands(["model=none"])
    with pytest.raises(UserError, match=r"tepot.*did you mean teapot"):
        commands.check(Choice("tepot"))


def test_choices_of_ones_own_are_found_and_named_in_the_command(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/mine.yaml").write_text(f"_target_: mti.datasets.Folder\nroot: {tmp_path}\n")
    own = Commands(["dataset=mine"], [tmp_path])
    assert own.defaults.dataset["root"] == str(tmp_path)
    assert own.training(Choice("a.png"))[0].arguments[:2] == ("--config-dir", str(tmp_path))
    with pytest.raises(UserError) as told:
        Commands(["dataset=mine", "seed=x"], [tmp_path])
    assert "seed" in str(told.value)
    assert "mine" not in str(told.value)


def test_drawing_and_exporting_as_one_types_it(tmp_path):
    drawn = generate_command(tmp_path, "a photo of {} on the moon", {"pictures": 4, "seed": 0, "step": None})
    assert str(drawn) == f"mti generate run={tmp_path} 'prompt=a photo of {{}} on the moon' pictures=4 seed=0"
    assert str(export_command(tmp_path, "a1111")) == f"mti export run={tmp_path} to=a1111"
    assert drawn.argv[:3] == [sys.executable, "-m", "mti.generate"]


# --------------------------------------------------------------------------------------------- clicks


def test_clicks_add_up_and_two_corners_make_a_box():
    pointed = Pointed().and_then(3, 4, "on the thing").and_then(5, 6, "on the thing").and_then(1, 1, "beside it")
    assert pointed.clicks == Clicks(((3, 4), (5, 6)), ((1, 1),))
    corner = pointed.and_then(9, 2, "a corner of a box")
    assert corner.corner == (9, 2)
    assert corner.clicks == pointed.clicks
    assert corner.and_then(4, 8, "a corner of a box").clicks == Clicks(((3, 4), (5, 6)), ((1, 1),), (4, 2, 10, 9))


def test_an_upload_is_kept_by_its_contents_and_no_picture_is_refused(actions, tmp_path):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "my mug.png")
    kept = actions.keep_upload(tmp_path / "my mug.png")
    assert kept == actions.keep_upload(tmp_path / "my mug.png")
    assert (tmp_path / kept).read_bytes() == (tmp_path / "my mug.png").read_bytes()
    assert actions.commands.run_of(Choice(kept), "star").image == kept
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(UserError, match="is no picture"):
        actions.keep_upload(tmp_path / "note.txt")
    assert len(list((tmp_path / "outputs/pictures").iterdir())) == 1


# ----------------------------------------------------------------------------------------------- jobs


def script(folder, text: str) -> Command:
    """A command that runs a program of the test's own."""

    class Script(Command):
        @property
        def argv(self):
            return [sys.executable, "-c", text]

    return Script("run", (text,))


def until(condition) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def test_jobs_are_done_one_at_a_time_and_keep_their_last_lines(tmp_path):
    jobs = Jobs()
    body = "import pathlib, time; p = pathlib.Path({!r}); assert not p.exists(); p.touch(); time.sleep(.2); p.unlink()"
    one = jobs.add(script(tmp_path, body.format(str(tmp_path / "busy")) + "; print('done')"))
    two = jobs.add(script(tmp_path, body.format(str(tmp_path / "busy")) + "; raise SystemExit('no')"))
    again = jobs.add(two.command)
    assert again is two
    until(lambda: two.is_over)
    assert (one.state, list(one.output)) == ("finished", ["done"])
    assert (two.state, list(two.output)) == ("failed", ["no"])
    assert jobs.current() == 2
    jobs.close()


def test_a_job_is_stopped_by_the_signal_that_training_goes_on_from(tmp_path):
    jobs = Jobs()
    body = (
        "import signal, time, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('kept'), sys.exit(143)))\n"
        "print('begun', flush=True)\ntime.sleep(60)"
    )
    one, two = jobs.add(script(tmp_path, body)), jobs.add(script(tmp_path, "print('two')"))
    until(lambda: "begun" in one.output)
    assert two.state == "waiting"
    jobs.stop(2)
    jobs.stop(1)
    until(lambda: "kept" in one.output)
    assert (one.state, two.state, list(two.output)) == ("stopped", "stopped", [])
    jobs.close()


def test_what_is_running_when_the_page_ends_is_told_to_stop(tmp_path):
    jobs = Jobs()
    one = jobs.add(script(tmp_path, "import time; print('begun', flush=True); time.sleep(60)"))
    until(lambda: "begun" in one.output)
    began = time.monotonic()
    jobs.close()
    assert one.state == "stopped"
    assert time.monotonic() - began < 30


# ------------------------------------------------------------------------------------------- watching


@pytest.fixture
def root(tmp_path):
    for name, losses in (("default/mug/star/s0", (0.3, 0.2)), ("default/mug/caption/s0", (0.1,))):
        folder = RunFolder(tmp_path / name)
        folder.write_config("seed: 0\n")
        for step, loss in enumerate(losses):
            folder.record(10 * step, {"eval/mse": loss})
            folder.save_pictures(10 * step, [Image.new("RGB", (8, 8), "red")] * 2)
        folder.flush()
    (tmp_path / "default/mug/star/s0/summary.json").write_text('{"status": "finished", "steps": 10}')
    return tmp_path


def test_curves_and_pictures_of_runs_that_have_come_so_far(root):
    names = sorted(watching.runs_below(root))
    assert names == ["default/mug/caption/s0", "default/mug/star/s0"]
    caption, star = watching.watched(root, names)
    assert (caption.state, star.state) == ("unfinished", "finished")
    assert watching.rows([star], "eval/mse") == {"step": [0, 10], "value": [0.3, 0.2], "run": [star.name] * 2}
    assert watching.curve_names([star, caption]) == ["eval/mse"]
    assert [row[3:] for row in watching.standing([caption, star])] == [[0, 0.1], [10, 0.2]]
    assert watching.steps_of(root, names) == [0, 10]
    assert [about for _, about in watching.pictures(root, names, None)] == [
        f"{names[0]}, step 0",
        f"{names[1]}, step 10",
    ]
    assert [about for _, about in watching.pictures(root, names, 5)] == [f"{name}, step 0" for name in names]


def test_a_damaged_run_is_left_out(root):
    (root / "default/mug/star/s0/metrics.csv").write_text("no table\n\x00")
    assert [run.name for run in watching.watched(root, sorted(watching.runs_below(root)))] == ["default/mug/caption/s0"]


def test_drawn_prompts_the_newest_first_and_never_what_cannot_be_read(root):
    folder = root / "default/mug/star/s0/generated"
    for name, text in (("a", '{"prompts": ["a photo of {}"], "seed": 3}'), ("b", "{"), ("c", "[]")):
        (folder / name).mkdir(parents=True)
        (folder / name / "request.json").write_text(text)
        Image.new("RGB", (8, 8)).save(folder / name / "grid.png")
    assert [about for _, about in watching.drawn(root, "default/mug/star/s0")] == ["a photo of {}, seed 3"]
    assert watching.drawn(root, None) == []


# -------------------------------------------------------------------------------------------- serving


def test_an_address_that_is_not_to_be_had_is_told(commands):
    from mti.page.serving import serve

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be served .*--port"):
            serve(commands, argparse.Namespace(host="127.0.0.1", port=port))
    with pytest.raises(UserError, match="--host nowhere"):
        serve(commands, argparse.Namespace(host="nowhere.invalid", port=0))
