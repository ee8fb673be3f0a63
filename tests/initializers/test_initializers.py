import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_type_hints

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from mti.initializers.caption import Caption
from mti.initializers.class_ import Class
from mti.initializers.cross import Cross, encoded_rows
from mti.initializers.multistar import MultiStar
from mti.initializers.random import Random
from mti.initializers.star import Star
from mti.initializers.text import Text
from mti.types import Concept, Guess, PreparedConcept, UserError

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

    def release(self):
        self.seen.append("released")


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

    def release(self):
        self.asked.append("released")


RECORDED = {"class": "teapot", "caption": "a picture of a red kettle."}
SQUARE = Image.new("RGB", (4, 4), "blue")


@pytest.fixture
def concept():
    return PreparedConcept("pot", RECORDED, (SQUARE,), described=Image.new("RGB", (6, 4), "red"))


def test_star(concept):
    initial = Star()(concept, str.split)
    assert (initial.text, initial.source) == ("*", "fixed")


@pytest.mark.parametrize("initializer", [Class, Caption])
def test_a_model_looks_at_what_is_described(concept, initializer):
    model = Says("a photo of a red red pot .", "a cup")
    initial = initializer(model)(concept, str.split)
    assert (initial.text, initial.source, initial.raw) == ("a red pot", "oracle", "a photo of a red red pot .")
    assert initial.details == {
        "guesses": [{"text": "a photo of a red red pot .", "score": 1.0}, {"text": "a cup", "score": 0.5}]
    }
    assert model.seen == [concept.described]


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
    initial, message = (
        initializer(Says("a cup"), source="recorded"),
        rf"no {record} is recorded for thing.*init.source=",
    )
    with pytest.raises(UserError, match=message):
        initial(replace(concept, name="thing", recorded={}), str.split)
    with pytest.raises(UserError, match=message):
        initial.check(Concept("thing", ()))
    initial.check(Concept("pot", (), RECORDED))


@pytest.mark.parametrize("initializer", [Class, Caption, MultiStar])
def test_the_signature_names_the_sources(initializer):
    assert get_type_hints(initializer.__init__)["source"] == Literal["model", "recorded"]


@pytest.mark.parametrize("source", ["model", "recorded"])
def test_multistar_has_a_star_for_each_token_of_the_caption(concept, source):
    model = Says("a photo of a red kettle")
    initial = MultiStar(model, source=source)(concept, list)  # a token a character
    assert initial.text.split(" ") == ["*"] * len("a red kettle")
    assert initial.details["caption"] == "a red kettle"
    assert initial.source == Caption(model, source=source)(concept, list).source


@pytest.mark.parametrize("initializer", [Class, Caption])
def test_the_white_of_a_cut_out_thing_is_not_told(concept, initializer):
    model = Says("a red pot on a white background")
    assert initializer(model)(concept, str.split).text == "a red pot on a white background"
    initial = initializer(model)(replace(concept, on_white=True), str.split)
    assert initial.text == "a red pot"
    assert initial.raw == "a red pot on a white background"


@pytest.mark.parametrize("initializer", [Class, Caption])
def test_a_guess_without_words_gives_way_to_the_next(concept, initializer):
    initial = initializer(Says("a photo of", "there is a cup", "a pot"))(concept, str.split)
    assert (initial.raw, initial.text) == ("there is a cup", "a cup")
    assert [guess["text"] for guess in initial.details["guesses"]] == ["a photo of", "there is a cup", "a pot"]
    with pytest.raises(UserError, match=r"nothing is left of the text ' \. '"):
        initializer(Says("a photo of", " . "))(concept, str.split)


@pytest.mark.parametrize("initializer", [Class, Caption, MultiStar])
def test_a_click_changes_nothing_about_a_record(concept, initializer):
    clicked = replace(concept, on_white=True, details={"click": {"inside": [[1, 1]]}})
    assert initializer(Says(), source="recorded")(clicked, str.split) == initializer(Says(), source="recorded")(
        concept, str.split
    )


def test_an_initializer_lets_go_of_its_models():
    model, refiner = Says("a pot"), Rewrites("a red pot")
    Class(model).release()
    Caption(model, refiner=refiner).release()
    MultiStar(model).release()
    assert model.seen == ["released"] * 3
    assert refiner.asked == ["released"]


@pytest.mark.parametrize("initializer", [Caption, MultiStar])
def test_a_refiner_rewrites_the_cleaned_caption(concept, initializer):
    refiner = Rewrites("The red clay pot.")
    initial = initializer(Says("a picture of a red pot"), refiner=refiner)
    initial.check(Concept("pot", (), RECORDED))
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
    initial.check(Concept("pot", (), RECORDED))
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


@pytest.mark.parametrize("name", ["star", "multistar", "class", "caption", "text", "random"])
def test_every_initializer_can_be_chosen(name):
    config = composed(f"init={name}", *(["init.text=pot"] if name == "text" else []))
    assert config.init.name == name
    assert callable(instantiate(config.init.initializer))


@pytest.mark.parametrize("inner", ["caption", "class", "star"])
def test_cross_initialization_wraps_any_other(concept, inner):
    config = composed("init=cross", f"init@init.inner={inner}", "init.source=recorded")
    assert config.init.name == f"cross_{inner}"
    found = instantiate(config.init.initializer)(concept, str.split)
    plain = instantiate(composed(f"init={inner}", "init.source=recorded").init.initializer)(concept, str.split)
    assert (found.text, found.rows) == (plain.text, encoded_rows)


def test_cross_initialization_refuses_rows_of_their_own(concept):
    with pytest.raises(UserError, match=r"init=cross takes a start of words, .* rows of its own \(random\)"):
        Cross(Random())(concept, str.split)


def test_random_rows_are_as_many_as_asked_for(concept):
    assert Random()(concept, str.split).text == "*"
    assert Random(3)(concept, str.split).text == "* * *"


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
