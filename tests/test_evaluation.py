"""How scores are put together."""

import json

import pytest
import torch

from mti.evaluation import measured, protocol_record, reconstruction_prompts
from mti.schema import Evaluation, Personalization

PICTURES = torch.zeros(4, 3, 8, 8)
EVALUATION = Evaluation(
    steps=[0],
    prompts=["a {}", "the {}"],
    samples=4,
    pictures=3,
    num_inference_steps=2,
    guidance_scale=4.0,
    batch_size=8,
)


class PerPicture:
    def record(self):
        return {"backbone": "none"}

    def __call__(self, generated, reference, prompts):
        return {"place": torch.arange(float(len(generated))), "prompts": float(len(prompts))}


class OfPersonalization(PerPicture):
    prompt_set = "personalization"


def test_a_value_per_picture_becomes_its_mean_and_spread():
    scores = measured({"mine": PerPicture()}, "reconstruction", PICTURES, PICTURES[:1], ["{}"] * 4)
    assert scores == pytest.approx({"eval/place": 1.5, "eval/place_std": 1.2909944, "eval/prompts": 4})


def test_one_picture_has_no_spread():
    assert "eval/place_std" not in measured({"mine": PerPicture()}, "reconstruction", PICTURES[:1], PICTURES[:1], [""])


def test_metrics_are_handed_the_pictures_they_judge():
    metrics = {"mine": PerPicture(), "other": OfPersonalization()}
    assert "eval/place" in measured({"other": metrics["other"]}, "personalization", PICTURES, PICTURES, ["{}"] * 4)
    assert measured({"other": metrics["other"]}, "reconstruction", PICTURES, PICTURES, ["{}"] * 4) == {}


def test_the_reconstruction_prompts_take_turns():
    assert reconstruction_prompts(EVALUATION) == ["a {}", "the {}", "a {}"]


def test_the_protocol_is_kept_with_what_the_metrics_say_of_themselves(tiny_sd):
    metrics = {"mine": PerPicture()}
    record = json.loads(json.dumps(protocol_record(EVALUATION, Personalization(), metrics, tiny_sd)))
    assert (record["sampler"], record["num_inference_steps"], record["guidance_scale"]) == ("dpm++", 2, 4.0)
    assert record["metrics"] == {"mine": {"backbone": "none"}}
    assert record["precision"] == "fp32"
    assert record["personalization"]["pictures"] == Personalization().pictures
