import json

import pytest
import torch

from mti.metrics.followed import Followed
from mti.metrics.individual import SameIndividual
from mti.types import Guess, UserError

WORLD = {
    "aspects": {
        "thing": {"cup": ["cup"], "teapot": ["teapot", "kettle"]},
        "colour": {"red": ["red"], "blue": ["blue"]},
        "pattern": {"dots": ["dots"], "stripes": ["stripes"]},
        "sticker": {"leaf": ["leaf"], "crown": ["crown"]},
        "place": {"beach": ["on the beach"], "table": ["on a wooden table"]},
    },
    "accuracy": {"followed": 0.9},
}
SCENES = ["a red teapot on the beach", "a red teapot on a wooden table", "a blue cup on the beach"]
WORDS = ["red", "blue", "teapot", "kettle", "cup", "dots", "stripes", "leaf", "crown", "beach", "table"]


def drawn(*scenes):
    """A picture of one colour stands for a scene."""
    return torch.stack([torch.full((3, 4, 4), SCENES.index(scene) / 4) for scene in scenes])


def scene_of(picture):
    return SCENES[round((picture.getpixel((0, 0))[0] / 127.5 - 1) * 4)]


class Judge:
    """Says what is in a picture, except for what it takes for another thing."""

    def __init__(self, classifies=False, **errors):
        self.name, self.classifies, self.errors = "fake", classifies, errors

    def __call__(self, picture):
        words = [self.errors.get(word, word) for word in scene_of(picture).split()]
        return [Guess(words[2] if self.classifies else " ".join(words), 1.0)]

    def release(self):
        pass


class Embedding:
    """A vector counts the known words."""

    def __init__(self, **errors):
        self.errors = errors

    def record(self):
        return {"network": "words"}

    def check(self):
        pass

    def texts(self, texts):
        return torch.tensor([[float(word in text.split()) for word in WORDS] for text in texts])

    def pictures(self, pictures):
        scenes = [SCENES[round(picture[0, 0, 0].item() * 4)].split() for picture in pictures]
        return self.texts([" ".join(self.errors.get(word, word) for word in scene) for scene in scenes])


def followed(captioner=None, embedding=None, classifier=None, world=WORLD, **options):
    judges = classifier or Judge(classifies=True), captioner or Judge(), embedding or Embedding()
    return Followed(*judges, world, **options)


CONCEPT = drawn("a red teapot on a wooden table")


def test_pictures_that_show_what_is_asked_for_score_one():
    scores = followed()(drawn(SCENES[0], SCENES[2]), CONCEPT, ["a photo of {} on the beach", "a blue cup"])
    names = "followed", "followed/thing", "followed/place", "followed/colour"
    assert scores == dict.fromkeys(names, 1.0)


def test_each_aspect_is_a_share_of_the_pictures_that_were_asked_for_it():
    generated = drawn(SCENES[0], SCENES[1], SCENES[2], SCENES[2])
    prompts = ["{} on the beach"] * 3 + ["a red {}"]
    assert followed()(generated, CONCEPT, prompts) == {
        "followed": 0.25,  # of two the thing is not there, one is elsewhere
        "followed/thing": 0.5,
        "followed/place": pytest.approx(2 / 3),
        "followed/colour": 0.0,
    }


@pytest.mark.parametrize(
    ("judges", "thing", "place"),
    [
        ({"classifier": Judge(classifies=True, teapot="cup")}, 0.0, 1.0),  # so the concept is taken for a cup
        ({"captioner": Judge(teapot="cup", beach="sea")}, 1.0, 0.0),
        ({"embedding": Embedding(teapot="cup", beach="table")}, 1.0, 0.0),
    ],
)
def test_more_than_half_of_the_judges_decide(judges, thing, place):
    scores = followed(**judges)(drawn(SCENES[0]), CONCEPT, ["{} on the beach"])
    assert (scores["followed/thing"], scores["followed/place"]) == (thing, place)


@pytest.mark.parametrize("prompt", ["a photo of {}", "Elmo holding a {}"])
def test_prompts_that_ask_for_nothing_known_are_not_counted(prompt):
    assert followed()(drawn(SCENES[0]), CONCEPT, [prompt]) == {}
    together = followed()(drawn(SCENES[0], SCENES[0]), CONCEPT, [prompt, "{} on a wooden table"])
    assert together["followed"] == 0


def test_batches_change_nothing():
    generated, prompts = drawn(*SCENES), ["a red {}", "{} on the beach", "a cup with {} on it"]
    assert followed(batch_size=1)(generated, CONCEPT, prompts) == followed()(generated, CONCEPT, prompts)


def test_only_the_judges_that_can_tell_are_asked():
    judges = {"captioner": Judge(teapot="cup", beach="sea")}
    able = {**WORLD, "judges": {"place": ["clip"], "thing": ["classifier", "captioner", "clip"]}}
    prompts = ["{} on the beach"]
    assert followed(**judges)(drawn(SCENES[0]), CONCEPT, prompts)["followed/place"] == 0
    assert followed(**judges, world=able)(drawn(SCENES[0]), CONCEPT, prompts)["followed/place"] == 1


class Same(SameIndividual):
    """Knows which pictures are of the individual."""

    def __init__(self, *answers):
        self.answers = answers

    def there(self, generated, reference, kind):
        assert kind == "teapot"
        return torch.tensor(self.answers) if self.answers else None


def test_a_picture_counts_only_if_the_individual_is_still_there():
    generated, prompts = drawn(SCENES[0], SCENES[0]), ["{} on the beach"] * 2
    scores = followed(individual=Same(True, False))(generated, CONCEPT, prompts)
    assert (scores["followed"], scores["followed/individual"], scores["followed/place"]) == (0.5, 0.5, 1.0)


def test_of_a_kind_that_has_no_others_any_individual_will_do():
    generated, prompts = drawn(SCENES[0], SCENES[0]), ["{} on the beach"] * 2
    assert followed(individual=Same())(generated, CONCEPT, prompts) == followed()(generated, CONCEPT, prompts)


def test_the_words_may_be_in_a_file(tmp_path):
    file = tmp_path / "vocabulary.json"
    metric = followed(world=str(file))
    with pytest.raises(UserError, match=r"followed needs the words of its world: there is no file .*vocabulary\.json"):
        metric.check()
    file.write_text(json.dumps(WORLD))
    metric.check()
    assert metric(drawn(SCENES[0]), CONCEPT, ["a red {}"])["followed"] == 1
    assert metric.record()["accuracy"] == {"followed": 0.9}


def test_every_value_has_a_label():
    metric = followed()
    scores = metric(drawn(SCENES[0]), CONCEPT, ["a red {} on the beach"])
    values = metric.record()["values"]
    assert set(scores) <= set(values)
    place = {"label": "Prompt followed: place", "unit": "share", "better": "higher", "about": "editability"}
    assert values["followed/place"] == place
