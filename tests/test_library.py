"""`mti.invert` and `mti.load`, as a notebook uses them."""

import subprocess
import sys
from pathlib import Path

import pytest

import mti
from mti.library import _written

CHEAP = {
    **{"model.name": "tiny", "model.precision": "fp32", "trainer": "cpu", "trainer.max_steps": 2, "metrics": "none"},
    "evaluation": {"steps": [0], "samples": 2, "pictures": 2, "num_inference_steps": 1},
    **{"training": {"batch_size": 2}, "init.source": "recorded"},
}


@pytest.fixture(scope="module")
def runs(tiny_sd_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("outputs")
    given = {**CHEAP, "model.path": str(tiny_sd_folder), "output_dir": str(output)}
    return mti.invert("teapot", init=["star", "class"], **given), given


def test_lists_give_runs_in_their_order_and_a_finished_run_is_not_trained_again(runs):
    found, given = runs
    assert [run.text for run in found] == ["*", "teapot"]
    before = (found[1].folder / "summary.json").stat().st_mtime_ns
    assert mti.invert("teapot", "class", **given) == found[1]
    assert (found[1].folder / "summary.json").stat().st_mtime_ns == before


def test_a_run_reads_its_folder(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing depends on where one is
    run = mti.load(runs[0][1].folder)
    assert list(run.curve()) == [0, 2]
    assert list(run.curve("train/mse")) == [0, 1]
    assert len(run.tokens) == len(run.embeddings())
    assert run.placeholder == "<teapot>"
    assert len(run.pictures(0)) == len(run.pictures()) == 2
    assert run.pictures()._repr_png_()[:4] == run._repr_png_()[:4] == b"\x89PNG"
    assert not run.embeddings(0).equal(run.embeddings())


def test_pictures_are_drawn_in_any_surroundings(runs):
    run = runs[0][1]
    drawn = run.generate("a photo of {} on the beach", pictures=3, seed=3)
    again = run.generate("a photo of {} on the beach", pictures=3, seed=3)
    assert [one.tobytes() for one in drawn] == [one.tobytes() for one in again]
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"image": "teepot"}, "did you mean teapot"),
        ({"init": "captoin"}, "did you mean caption"),
        ({"seeed": 3}, "did you mean seed"),
        ({"seed": "x"}, "seed=x: expected a whole number"),
        ({"init": "text", "init.text": "photo " * 40}, "shorten the prompt or the initial text"),
    ],
)
def test_a_mistake_raises_and_ends_nothing(runs, given, told):
    with pytest.raises(mti.UserError, match=told):
        mti.invert(**{"image": "teapot", "init": "star", **runs[1], **given})


def test_a_run_says_what_it_lacks(runs, tmp_path):
    run = runs[0][0]
    with pytest.raises(mti.UserError, match="there are eval/mse, eval/row_norm, train/mse"):
        run.curve("eval/lpips")
    with pytest.raises(mti.UserError, match=r"there are those of \[0, 2\]"):
        run.pictures(1)
    with pytest.raises(mti.UserError, match=r"there is no \{\} in it"):
        run.generate("a photo")
    with pytest.raises(mti.UserError, match="does not exist"):
        mti.load(tmp_path)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *((None, "null"), (True, "true"), (1e-5, "1e-05"), ("caption", "caption"), ("null", "'null'")),
        *(("a, b", "'a, b'"), ([1, [2, "x y"]], "[1,[2,'x y']]"), (Path("a/b"), "'a/b'"), ("1", "'1'")),
    ],
)
def test_values_are_written_as_the_command_line_has_them(value, written):
    assert _written(value) == written


def test_importing_costs_nothing():
    code = "import sys, mti; dir(mti), mti.UserError; assert not {'torch', 'hydra'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=False).returncode == 0
