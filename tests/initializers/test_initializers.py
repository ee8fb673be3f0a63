from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from mti.initializers.caption import Caption
from mti.initializers.class_ import Class
from mti.initializers.multistar import MultiStar
from mti.initializers.star import Star
from mti.initializers.text import Text
from mti.types import Concept, Guess, UserError

CONF = Path(__file__).parents[2] / "conf"


class Says:
    """A perception model that knows what it will say, and remembers what it saw."""

    name = "oracle"

    def __init__(self, *texts):
        self.texts = texts
        self.seen = []

    def __call__(self, picture):
        self.seen.append(picture)
        return [Guess(text, 1 / (1 + index)) for index, text in enumerate(self.texts)]


@pytest.fixture
def concept(tmp_path):
    pictures = (tmp_path / "first.png", tmp_path / "second.png")
    for path, color in zip(pictures, ("red", "blue"), strict=True):
        Image.new("RGB", (6, 4), color).save(path)
    return Concept("pot", pictures, {"class": "teapot", "caption": "a picture of a red kettle."})


def test_star(concept):
    initial = Star()(concept, str.split)
    assert (initial.text, initial.source) == ("*", "fixed")


@pytest.mark.parametrize("initializer", [Class, Caption])
def test_a_model_looks_at_the_first_picture(concept, initializer):
    model = Says("a photo of a red red pot .", "a cup")
    initial = initializer(model)(concept, str.split)
    assert (initial.text, initial.source, initial.raw) == ("a red pot", "oracle", "a photo of a red red pot .")
    assert initial.details == {
        "guesses": [{"text": "a photo of a red red pot .", "score": 1.0}, {"text": "a cup", "score": 0.5}]
    }
    assert [picture.getpixel((0, 0)) for picture in model.seen] == [(255, 0, 0)]


@pytest.mark.parametrize(
    ("initializer", "text", "raw"),
    [(Class, "teapot", "teapot"), (Caption, "a red kettle", "a picture of a red kettle.")],
)
def test_the_record_is_used_without_looking(concept, initializer, text, raw):
    model = Says("a cup")
    initial = initializer(model, source="recorded")(concept, str.split)
    assert (initial.text, initial.source, initial.raw) == (text, "recorded", raw)
    assert model.seen == []


@pytest.mark.parametrize(("initializer", "record"), [(Class, "class"), (Caption, "caption"), (MultiStar, "caption")])
def test_a_missing_record_is_refused(concept, initializer, record):
    bare = Concept("thing", concept.pictures)
    with pytest.raises(UserError, match=rf"no {record} is recorded for thing.*init.source=model.*init.text="):
        initializer(Says("a cup"), source="recorded")(bare, str.split)


@pytest.mark.parametrize("initializer", [Class, Caption, MultiStar])
def test_a_wrong_source_is_refused_at_once(initializer):
    with pytest.raises(UserError, match=r"init.source=record is none of model, recorded"):
        initializer(Says("a cup"), source="record")


@pytest.mark.parametrize("source", ["model", "recorded"])
def test_multistar_has_a_star_for_each_token_of_the_caption(concept, source):
    model = Says("a photo of a red kettle")
    initial = MultiStar(model, source=source)(concept, list)  # a token a character
    assert initial.text.split(" ") == ["*"] * len("a red kettle")
    assert initial.details["caption"] == "a red kettle"
    assert initial.source == Caption(model, source=source)(concept, list).source


def test_text_is_taken_as_it_is(concept):
    initial = Text(" a photo of  my Pot. ")(concept, str.split)
    assert (initial.text, initial.source, initial.raw) == ("a photo of my Pot.", "given", " a photo of  my Pot. ")


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_text_is_refused_at_once(text):
    with pytest.raises(UserError, match=r'init.text="'):
        Text(text)


def test_a_number_is_a_text_too(concept):
    assert Text(1984)(concept, str.split).text == "1984"


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("run", overrides=list(overrides))


@pytest.mark.parametrize("name", ["star", "multistar", "class", "caption", "text"])
def test_every_initializer_can_be_chosen(name):
    config = composed(f"init={name}", *(["init.text=pot"] if name == "text" else []))
    assert instantiate(config.init).name == name


@pytest.mark.parametrize("group", ["classifier", "captioner"])
def test_every_perception_model_can_be_chosen_and_is_light(group):
    names = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert "pocket" in names
    assert len(names) > 4
    for name in names:
        config = composed(f"{group}={name}")
        assert instantiate(config[group]).name == config[group].path
