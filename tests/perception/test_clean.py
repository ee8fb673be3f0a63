import pytest

from mti.perception.clean import (
    clean,
    without_noise,
    without_prefix,
    without_repeats,
    without_spacing,
    without_white_background,
)
from mti.types import UserError


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("<s>a picture of a red red teapot.</s>", "a red teapot"),
        ("[CLS] an image of a go - kart on the beach . [SEP]", "a go-kart on the beach"),
        ("There is a close-up photo of a cup on a table...", "a cup on a table"),
        ("a cat and a cat and a cat", "a cat and a cat"),
        ("  a bird\n", "a bird"),
        ("the elephant is carved in a natural stone", "the elephant is carved in a natural stone"),
        ("a picture frame on a wall", "a picture frame on a wall"),
        ("coffee mug", "coffee mug"),
        ("arafed image of a teapot on a table", "a teapot on a table"),
        ("there is a cup that is on a table", "a cup that is on a table"),
        ("there are two cups", "two cups"),
        ("there is a picture of a cup", "a cup"),
        ("araffe bird sitting on a branch", "bird sitting on a branch"),
        ("a cup with an arafed handle", "a cup with handle"),
        ("a close up view of a red mug", "a red mug"),
        ("this is a teapot", "a teapot"),
        ("a red\u200b teapot\ufeff", "a red teapot"),
        ("\u200ba \u00a0cup\u3000\u00adon a ta\u00adble", "a cup on a table"),
        ("a photograph", "a photograph"),
        ("a giraffe in arafat", "a giraffe in arafat"),
        ("a view", "a view"),
        ("the theatre is a place", "the theatre is a place"),
    ],
)
def test_a_caption_is_cleaned(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        *("", " ... ", "<s></s>", "[CLS] . [SEP]", "a photo of", "a picture of a", "there is a", "arafed image of a."),
        *("\u200b", "arafed", "a photo of a picture of"),
    ],
)
def test_nothing_left_is_an_error(text):
    with pytest.raises(UserError, match="nothing is left"):
        clean(text)


@pytest.mark.parametrize("marker", ["<s>", "</s>", "<pad>", "<|endoftext|>", "[SEP]", "[DEC]"])
def test_markers_go(marker):
    assert without_noise(f"{marker}a cup{marker}").split() == ["a", "cup"]


def test_other_brackets_stay():
    assert without_noise("a <b> [c] cup") == "a <b> [c] cup"


@pytest.mark.parametrize("prefix", ["a picture of", "an image of", "A photo of", "the photograph of", "a close up of"])
def test_prefixes_go(prefix):
    assert without_prefix(f"{prefix} a cup") == "a cup"


def test_prefixes_stay_inside():
    assert without_prefix("a cup with a picture of a cat") == "a cup with a picture of a cat"


def test_spacing():
    assert without_spacing("  a t - shirt ,  red . ") == "a t-shirt, red"


@pytest.mark.parametrize(
    ("text", "once"),
    [
        ("a a a cup", "a cup"),
        ("A a cup", "A cup"),
        ("on a table on a table", "on a table"),
        ("a red teapot with a red leaf", "a red teapot with a red leaf"),
    ],
)
def test_repeats_are_said_once(text, once):
    assert without_repeats(text) == once


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("a red teapot on a white background", "a red teapot"),
        ("a cup, isolated on white background", "a cup"),
        ("a toy car against a plain white backdrop", "a toy car"),
        ("a bird in front of a white background with a shadow", "a bird with a shadow"),
        ("a white mug on a blue background", "a white mug on a blue background"),
        ("a clock on a white wall", "a clock on a white wall"),
        ("a white background", "a white background"),
    ],
)
def test_the_white_of_a_cut_out_thing_is_not_told(text, thing):
    assert without_white_background(text) == thing
