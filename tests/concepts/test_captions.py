"""Prompts that lie beside pictures."""

from contextlib import ExitStack

import pytest
from PIL import Image
from sweeping import configured

from mti.concepts.captions import captions_of
from mti.datasets.paths import concept_at
from mti.errors import UserError
from mti.parts import Parts
from mti.plan import faults_of, opened


@pytest.fixture
def mug(tmp_path):
    folder = tmp_path / "mug"
    folder.mkdir()
    for number, color in enumerate(("red", "blue")):
        Image.new("RGB", (8, 8), color).save(folder / f"{number}.png")
    (folder / "0.txt").write_text("a photo of {} on a table\n\n  {} in the sun  \n")
    (folder / "1.txt").write_text("a photo of {} in a box")
    return folder


def test_each_picture_has_the_prompts_of_its_file(mug):
    assert captions_of(concept_at(mug).pictures) == [
        ["a photo of {} on a table", "{} in the sun"],
        ["a photo of {} in a box"],
    ]


def test_a_caption_is_no_skipped_file(mug):
    (mug / "notes.txt").write_text("buy milk")
    assert list(concept_at(mug).skipped) == ["notes.txt"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, r"1\.txt cannot be read \(No such file or directory\): write a prompt for 1\.png into it, such as"),
        ("", r"1\.txt is empty: write a prompt for 1\.png"),
        ("{} here\na red mug\n", r"1\.txt has 'a red mug': put \{\} where the learned tokens go"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_loaded(mug, text, told):
    (mug / "1.txt").unlink() if text is None else (mug / "1.txt").write_text(text)
    config = configured(None, f"image={mug}", "training.templates=captions", "init=star")
    (fault,) = faults_of([config], Parts())
    with pytest.raises(UserError, match=told):
        raise UserError(fault)
    assert not faults_of([configured(None, f"image={mug}", "init=star")], Parts())


def test_a_run_does_not_go_on_with_other_captions(mug, tmp_path):
    config = configured(tmp_path / "run", f"image={mug}", "training.templates=captions", "init=star")
    with ExitStack() as locks:
        assert opened(config, Parts(), locks)
    with ExitStack() as locks:
        assert opened(config, Parts(), locks)
    (mug / "1.txt").write_text("a photo of {} on the moon")
    with ExitStack() as locks, pytest.raises(UserError, match=r"the pictures of image=\S+ have other captions now"):
        opened(config, Parts(), locks)
