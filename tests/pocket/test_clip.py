import numpy as np
import pytest
import torch

from mti.pocket import clip, language
from mti.pocket.drawings import LABELS, Drawings
from mti.pocket.held_out import scene_at
from mti.pocket.stage import generator, to_model
from mti.pocket.tokenizer import CONTEXT, encoded
from mti.templates import OBJECT


def test_every_word_of_the_world_is_one_token(tokenizer):
    for word in language.words():
        if word != "-":
            assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1, word
    assert CONTEXT >= 48
    texts = [template.format(language.scene_caption(scene_at(1, i))) for i, template in enumerate(OBJECT)]
    assert (encoded(tokenizer, texts)[:, -1] == tokenizer.eos_token_id).all()
    assert encoded(tokenizer, texts).shape[1] == CONTEXT
    assert encoded(tokenizer, texts, longest=True).shape[1] < CONTEXT


def test_the_wrong_caption_says_something_else_in_the_same_words():
    scenes = [scene_at(1, index) for index in range(60)]
    right, wrong = clip.said(scenes, np.random.default_rng(0))
    same = [a == b for a, b in zip(right, wrong, strict=True)]
    assert np.mean(same) < 0.4  # which leave out what differs
    lengths = [abs(len(a.split()) - len(b.split())) for a, b in zip(right, wrong, strict=True)]
    assert max(lengths) <= 3  # "pair of sunglasses"


def test_a_batch_gives_losses_and_gradients(drawn, tokenizer):
    train, chosen = Drawings("train", drawn), torch.arange(8)
    torch.manual_seed(0)
    model = clip.WithHeads(clip.build(tokenizer))
    labels = {name: train.label(name, chosen) for name in LABELS}
    losses = clip.losses(model, tokenizer, to_model(train.pictures(chosen)), train.scenes(chosen), labels, step=0)
    assert losses["loss"].item() == pytest.approx(np.log(8) + 0.5 * 2.2, abs=1.5)
    losses["loss"].backward()
    assert all(part.grad is not None for part in model.heads.parameters())
    assert model.clip.text_model.embeddings.token_embedding.weight.grad.abs().sum() > 0


def test_retrieval_is_counted_for_each_aspect(drawn, tokenizer, monkeypatch):
    monkeypatch.setattr(clip, "MEASURED", 20)
    monkeypatch.setattr(clip, "CROWD", 10)
    torch.manual_seed(0)
    found = clip.measure(clip.build(tokenizer).eval(), tokenizer, Drawings("test", drawn))
    assert {f"right_of_2_other_{name}" for name in LABELS} < set(found)
    assert 0 <= found["right_of_100"] <= 1


def test_draws_depend_on_the_step_alone():
    assert torch.equal(torch.rand(3, generator=generator(5)), torch.rand(3, generator=generator(5)))
