"""The rows that a run starts from, against plain formulas."""

import pytest
import torch
from tiny import tiny_sdxl

from mti.evaluation import evaluation_loss, ids_of
from mti.initializers.cross import encoded_rows
from mti.initializers.random import random_rows
from mti.inversion import Run, TextualInversion
from mti.models.pretrained import PretrainedModel
from mti.noise import generator
from mti.optimizers.adamw import AdamW
from mti.schema import Evaluation, Training
from mti.starts import start_of
from mti.types import InitialText, UserError


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return PretrainedModel(str(tiny_sdxl(tmp_path_factory.mktemp("tiny") / "xl")), precision="fp32").load()


RED_CAT = InitialText("red cat", "given", "red cat")


def start(model, text=RED_CAT, num_vectors=None, padding="repeat", seed=0, image="teapot"):
    return start_of(model, text, seed, image, num_vectors, padding)


def rows_of(model, words):
    return model.embedding[[model.token_ids(word)[0] for word in words]]


def test_a_text_starts_from_the_rows_of_its_tokens(tiny_sd):
    assert start(tiny_sd).token_ids == start(tiny_sd, num_vectors=2).token_ids == tiny_sd.token_ids("red cat")
    assert start(tiny_sd).rows is None


def test_a_text_is_repeated_or_padded_with_stars(tiny_sd):
    assert start(tiny_sd, num_vectors=5).token_ids == tiny_sd.token_ids("red cat red cat red")
    assert start(tiny_sd, num_vectors=4, padding="star").token_ids == tiny_sd.token_ids("red cat * *")


def test_a_text_is_padded_with_the_vocabularys_mean(tiny_sd):
    found = start(tiny_sd, num_vectors=4, padding="mean").rows
    mean = tiny_sd.embedding.mean(dim=0)
    torch.testing.assert_close(found, torch.cat([rows_of(tiny_sd, ["red", "cat"]), mean.expand(2, -1)]))


def test_a_text_is_spread_over_more_rows_or_fewer(tiny_sd):
    red, cat = rows_of(tiny_sd, ["red", "cat"])
    found = start(tiny_sd, num_vectors=5, padding="spread").rows
    torch.testing.assert_close(found, torch.stack([red + i / 4 * (cat - red) for i in range(5)]))
    three = start(tiny_sd, InitialText("a red cat", "given", ""), num_vectors=2, padding="spread")
    torch.testing.assert_close(three.rows, rows_of(tiny_sd, ["a", "cat"]))


@pytest.mark.parametrize("padding", ["repeat", "star", "mean"])
def test_a_text_that_is_longer_is_refused_in_one_line(tiny_sd, padding):
    told = r"init.num_vectors=1: 'red cat' has 2 tokens; give at least as many, or init.padding=spread"
    with pytest.raises(UserError, match=told):
        start(tiny_sd, num_vectors=1, padding=padding)


def test_embeddings_of_a_file_are_padded_too(tiny_sd):
    own = torch.arange(2.0 * tiny_sd.embedding.shape[1]).view(2, -1)
    text = InitialText("red cat", "tokens", "mug.pt", embeddings=own)
    assert start(tiny_sd, text).token_ids == tiny_sd.token_ids("* *")
    assert torch.equal(start(tiny_sd, text, num_vectors=3).rows, own[[0, 1, 0]])
    assert torch.equal(start(tiny_sd, text, 3, "star").rows[2:], rows_of(tiny_sd, ["*"]))
    with pytest.raises(UserError, match=r"mug.pt has tokens of width 3, .* takes"):
        start(tiny_sd, InitialText("mug", "tokens", "mug.pt", embeddings=torch.zeros(1, 3)))


@pytest.mark.parametrize(("padding", "words"), [("repeat", "red cat red cat"), ("star", "red cat * *")])
def test_copied_rows_have_exactly_the_loss_of_the_padded_text_at_step_0(tiny_sd, padding, words):
    """It holds for copies alone: the mean, spread, random and encoded rows are no text's."""
    size = tiny_sd.resolution
    posterior = tiny_sd.encode_picture(torch.zeros(1, 3, size, size))
    evaluation = Evaluation(prompts=["a photo of {}"], samples=4, batch_size=4)
    begun = start(tiny_sd, num_vectors=4, padding=padding)
    run = Run("teapot", 0, begun.token_ids, [posterior], Training(), AdamW(), begun.rows)
    module = TextualInversion(tiny_sd, [run])
    ids = ids_of(tiny_sd, evaluation.prompts, module.table.placeholders(0), 4)
    plain = ids_of(tiny_sd, [f"a photo of {words}"], [], 4)
    learned, arguments = module.all_learned(), (tiny_sd, evaluation, "teapot", posterior)
    assert evaluation_loss(*arguments, ids, learned) == evaluation_loss(*arguments, plain, learned)


def test_random_rows_are_the_vocabularys_median_long_and_a_function_of_names(tiny_sd):
    text = InitialText("* *", "random", "* *", rows=random_rows)
    found = start(tiny_sd, text).rows
    assert found.shape == (2, tiny_sd.embedding.shape[1])
    torch.testing.assert_close(found.norm(dim=1), tiny_sd.embedding.norm(dim=1).median().expand(2))
    assert torch.equal(found, start(tiny_sd, text).rows)
    assert not torch.equal(found, start(tiny_sd, text, seed=1).rows)
    assert not torch.equal(found, start(tiny_sd, text, image="cup").rows)


def test_random_rows_are_long_in_each_encoder(sdxl):
    found = random_rows(sdxl, [1, 2, 3], generator("start"))
    shares = (tensor.split(list(sdxl.widths), dim=1) for tensor in (found, sdxl.embedding))
    for own, table in zip(*shares, strict=True):
        torch.testing.assert_close(own.norm(dim=1), table.norm(dim=1).median().expand(3))


def test_encoded_rows_are_the_text_encoders_states_at_the_words(tiny_sd):
    ids = tiny_sd.token_ids("red cat")
    prompt = torch.tensor([tiny_sd.with_special_tokens(ids)])
    states = tiny_sd._encoders[0](prompt).last_hidden_state[0]
    torch.testing.assert_close(encoded_rows(tiny_sd, ids, generator("start")), states[1:3])


def test_encoded_rows_of_two_encoders_lie_side_by_side(sdxl):
    ids = sdxl.token_ids("red cat")
    found = encoded_rows(sdxl, ids, generator("start"))
    first = sdxl._encoders[0](torch.tensor([sdxl.with_special_tokens(ids)]), output_hidden_states=True)
    assert found.shape == (2, sdxl.embedding.shape[1])
    torch.testing.assert_close(found[:, : sdxl.widths[0]], first.hidden_states[-2][0, 1:3])
