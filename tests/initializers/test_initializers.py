import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from mti.initializers.caption import Caption
from mti.initializers.class_ import Class
from mti.initializers.multistar import MultiStar
from mti.initializers.star import Star
from mti.initializers.text import Text
from mti.perception.focus import Focus
from mti.perception.segmenter import Segment
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


class Finds:
    """A segmenter to which the upper left quarter is the thing."""

    name = "finder"

    def __init__(self):
        self.checked = 0

    def check(self):
        self.checked += 1

    def __call__(self, picture, clicks):
        mask = np.zeros((picture.height, picture.width), bool)
        mask[: picture.height // 2, : picture.width // 2] = True
        return Segment(mask, 0.5)


class Rewrites:
    """A refiner that answers, or fails."""

    name = "poet"

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def check(self):
        self.asked.append("check")

    def __call__(self, caption):
        self.asked.append(caption)
        if isinstance(self.answer, UserError):
            raise self.answer
        return self.answer


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


@pytest.mark.parametrize("initializer", [Class, Caption, MultiStar])
def test_the_model_looks_at_what_is_clicked(concept, initializer):
    model = Says("a red pot on a white background")
    initial = initializer(model, focus=Focus(Finds(), [1, 1], margin=0))(concept, str.split)
    assert [picture.size for picture in model.seen] == [(3, 3)]
    assert model.seen[0].getpixel((0, 0)) == (255, 0, 0)
    assert model.seen[0].getpixel((0, 2)) == (255, 255, 255)
    assert initial.text == ("* * *" if initializer is MultiStar else "a red pot")
    assert initial.raw == "a red pot on a white background"
    assert initial.details["click"]["score"] == 0.5
    assert initial.details["guesses"][0]["text"] == initial.raw
    assert json.loads(json.dumps(initial.details)) == initial.details
    assert sorted(initial.pictures) == ["crop", "mask", "overlay"]
    assert initial.pictures["crop"] is model.seen[0]


def test_a_kept_background_is_told_of(concept):
    focus = Focus(Finds(), [1, 1], background="kept")
    assert Caption(Says("a pot on a white background"), focus=focus)(concept, str.split).text.endswith("background")


@pytest.mark.parametrize("initializer", [Class, Caption, MultiStar])
def test_without_a_click_no_segmenter_is_asked_for(concept, initializer):
    model, finds = Says("a red pot"), Finds()
    initial = initializer(model, focus=Focus(finds))
    initial.check(concept)
    assert not initial(concept, str.split).pictures
    assert model.seen[0].size == (6, 4)
    assert finds.checked == 0


@pytest.mark.parametrize("initializer", [Class, Caption, MultiStar])
def test_a_click_out_of_the_picture_is_found_before_anything_looks(concept, initializer):
    model = Says("a red pot")
    with pytest.raises(UserError, match=r"init.click=\[6,1\] is out of the picture, which is 6 pixels wide and 4 high"):
        initializer(model, focus=Focus(Finds(), [6, 1])).check(concept)
    assert model.seen == []


def test_clicks_are_in_the_picture_as_it_is_seen_upright(concept):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (6, 4), "red").save(concept.pictures[0], exif=exif)
    Caption(Says("a pot"), focus=Focus(Finds(), [1, 5])).check(concept)
    with pytest.raises(UserError, match="4 pixels wide and 6 high"):
        Caption(Says("a pot"), focus=Focus(Finds(), [5, 1])).check(concept)


@pytest.mark.parametrize("initializer", [Class, Caption, MultiStar])
def test_a_record_knows_nothing_of_clicks(initializer):
    with pytest.raises(UserError, match=r"^init.click=\[\[1,1\]\] is for a model to look at: leave it out"):
        initializer(Says("a pot"), source="recorded", focus=Focus(Finds(), [1, 1]))


@pytest.mark.parametrize("initializer", [Caption, MultiStar])
def test_a_refiner_rewrites_the_cleaned_caption(concept, initializer):
    refiner = Rewrites("The red clay pot.")
    initial = initializer(Says("a picture of a red pot"), refiner=refiner)
    initial.check(concept)
    found = initial(concept, str.split)
    assert refiner.asked == ["check", "a red pot"]
    assert found.text == ("* * * *" if initializer is MultiStar else "The red clay pot")
    assert found.raw == "a picture of a red pot"
    assert found.details["refiner"] == {"name": "poet", "caption": "a red pot", "answer": "The red clay pot."}


def test_a_failing_refiner_leaves_the_caption_and_says_so_in_a_line(concept, caplog):
    refiner = Rewrites(UserError("poet: out of words"))
    with caplog.at_level(logging.WARNING, "mti"):
        found = Caption(Says("a photo of a red pot"), refiner=refiner)(concept, str.split)
    assert found.text == "a red pot"
    assert found.details["refiner"] == {"failure": "poet: out of words"}
    assert caplog.messages == ["pot: the caption is not refined: poet: out of words"]


def test_a_recorded_caption_is_not_refined(concept):
    refiner = Rewrites("a poem")
    initial = Caption(Says("a cup"), source="recorded", refiner=refiner)
    initial.check(concept)
    assert initial(concept, str.split).text == "a red kettle"
    assert refiner.asked == []


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
    assert config.init.name == name
    assert callable(instantiate(config.init.initializer))


@pytest.mark.parametrize("name", ["caption", "class", "multistar"])
def test_the_clicks_of_the_command_line_reach_the_initializer(name):
    clicked = [
        "init.click=[1,2]",
        "init.outside=[[3,4]]",
        "init.box=[0,0,9,9]",
        "init.background=kept",
        "init.margin=0",
    ]
    use = instantiate(composed(f"init={name}", *clicked).init.initializer)
    focus = use.caption.focus if name == "multistar" else use.focus
    assert (focus.clicks.inside, focus.clicks.outside, focus.clicks.box) == (((1, 2),), ((3, 4),), (0, 0, 9, 9))
    assert (focus.background, focus.margin, focus.segmenter.name) == ("kept", 0, "pocket:segmenter")


@pytest.mark.parametrize(("name", "refiner"), [("none", None), ("openai", "openai:m"), ("local", "m")])
def test_every_refiner_can_be_chosen_and_is_light(name, refiner):
    model = {"none": [], "openai": ["refiner.model=m"], "local": ["refiner.path=m"]}[name]
    found = instantiate(composed(f"refiner={name}", *model).init.initializer).refiner
    assert (found and found.name) == refiner


@pytest.mark.parametrize("group", ["classifier", "captioner", "segmenter"])
def test_every_perception_model_can_be_chosen_and_is_light(group):
    names = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert "pocket" in names
    assert len(names) > 3
    for name in names:
        config = composed(f"{group}={name}")
        assert instantiate(config[group]).name == config[group].path
