import pytest
import torch

from mti.templates import OBJECT, STYLE, TEMPLATES
from mti.tokens import PlaceholderTable, prompt_ids
from mti.types import UserError


def test_the_lists_of_templates_are_the_official_ones_without_repeats():
    assert len(OBJECT) == len(set(OBJECT)) == 27
    assert len(STYLE) == len(set(STYLE)) == 17
    assert all(template.count("{}") == 1 for templates in TEMPLATES.values() for template in templates)


def test_rows_start_as_copies_of_the_tokens_rows(tiny_sd):
    ids = tiny_sd.token_ids("a photo of a photo")
    table = PlaceholderTable(tiny_sd, [ids, ids[:1]])
    frozen = tiny_sd.embedding[ids].clone()
    assert torch.equal(table.embeddings[0], frozen)
    table.embeddings[0].data.add_(1)
    assert torch.equal(tiny_sd.embedding[ids], frozen)


def test_placeholders_lie_after_the_vocabulary_one_run_after_the_other(tiny_sd):
    table = PlaceholderTable(tiny_sd, [[5, 6, 7], [8], [9, 9]])
    start = len(tiny_sd.embedding)
    assert [table.placeholders(i) for i in range(3)] == [
        [start, start + 1, start + 2],
        [start + 3],
        [start + 4, start + 5],
    ]
    embeddings = table([True, True, True])
    for i in range(3):
        assert torch.equal(embeddings[[p - start for p in table.placeholders(i)]], table.embeddings[i])


def test_no_gradient_reaches_an_inactive_run(tiny_sd):
    table = PlaceholderTable(tiny_sd, [[5], [6, 7]])
    table([False, True]).square().sum().backward()
    assert table.embeddings[0].grad is None
    assert table.embeddings[1].grad.abs().sum() > 0


def test_a_prompt_with_placeholders_is_the_prompt_with_the_text(tiny_sd):
    ids = tiny_sd.token_ids("a photo")
    assert prompt_ids(tiny_sd, "of {} the", ids) == tiny_sd.with_special_tokens(tiny_sd.token_ids("of a photo the"))


def test_every_hole_is_filled(tiny_sd):
    assert prompt_ids(tiny_sd, "{} of {}", [900]).count(900) == 2


def test_a_prompt_without_a_hole_is_left_as_it_is(tiny_sd):
    assert prompt_ids(tiny_sd, "a photo", [900]) == tiny_sd.with_special_tokens(tiny_sd.token_ids("a photo"))


def test_a_prompt_that_is_too_long_is_refused_by_name_and_the_longest_is_not(tiny_sd):
    room = tiny_sd.context_length - 2
    assert len(prompt_ids(tiny_sd, "{}", [900] * room)) == tiny_sd.context_length
    with pytest.raises(UserError, match=rf"'\{{\}}' has {room + 1} tokens.* takes {room}: shorten"):
        prompt_ids(tiny_sd, "{}", [900] * (room + 1))
