"""The levels that curves are seen beside."""

import pytest
import torch

from mti.calibration import Calibration
from mti.evaluation import evaluation_loss, ids_of
from mti.schema import Evaluation

EVALUATION = Evaluation(
    steps=[0],
    prompts=["a {}", "the {}"],
    samples=4,
    pictures=3,
    num_inference_steps=2,
    guidance_scale=4.0,
    batch_size=8,
)


class Difference:
    def __call__(self, generated, reference, prompts):
        return {"difference": (generated - reference).abs().mean(dim=(1, 2, 3))}


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def calibrated(tiny_sd, pictures):
    calibration = Calibration(tiny_sd, EVALUATION, {"mine": Difference()})
    posterior = tiny_sd.encode_picture(pictures)
    return lambda text, wrong: calibration.levels("teapot", text, wrong, pictures, posterior)


def test_the_initial_text_has_the_loss_of_rows_that_are_copies_of_its_tokens(tiny_sd, pictures, calibrated):
    """So it is where a run's curve starts: the evaluation loss of step 0."""
    ids = tiny_sd.token_ids("red teapot")
    embeddings = tiny_sd.embedding[ids]
    placeholders = range(len(tiny_sd.embedding), len(tiny_sd.embedding) + len(ids))
    prompts = ids_of(tiny_sd, EVALUATION.prompts, placeholders, EVALUATION.samples)
    posterior = tiny_sd.encode_picture(pictures)
    started = evaluation_loss(tiny_sd, EVALUATION, "teapot", posterior, prompts, embeddings)
    assert calibrated("red teapot", None)["mse"]["initial_text"] == pytest.approx(started, rel=1e-6)


def test_each_text_has_a_level_of_its_own(calibrated):
    mse = calibrated("red teapot", "a cat")["mse"]
    assert set(mse) == {"initial_text", "empty_prompt", "caption_of_another"}
    assert len(set(mse.values())) == 3


def test_a_missing_text_and_one_too_long_are_left_out(calibrated):
    assert "caption_of_another" not in calibrated("red teapot", None)["mse"]
    assert "caption_of_another" not in calibrated("red teapot", "cat " * 40)["mse"]


def test_the_floor_is_what_encoding_and_decoding_costs(tiny_sd, pictures, calibrated):
    decoded = tiny_sd.decode(tiny_sd.encode_picture(pictures).mean)
    floor = calibrated("red teapot", None)["floor"]
    assert floor == {"difference": pytest.approx((decoded - pictures).abs().mean().item(), rel=1e-5)}
