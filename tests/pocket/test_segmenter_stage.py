import pytest
import torch

from mti.perception.segmenter import build_sam
from mti.pocket import segmenter
from mti.pocket.segmenter import (
    FORMS,
    PROMPTS,
    Form,
    answers,
    clicked,
    iou,
    loss_of,
    mask_losses,
    padded,
    pairs,
    prompts,
    targets,
)

SMALL = {
    **segmenter.ARCHITECTURE,
    "encoder_width": 16,
    "encoder_depth": 1,
    "encoder_heads": 2,
    "encoder_global_blocks": [0],
    "decoder_width": 16,
    "decoder_heads": 2,
    "decoder_mlp_width": 16,
}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def things():
    """Two pictures: a thing each, and another one in the second."""
    where = torch.zeros(2, 64, 64, dtype=torch.uint8)
    where[0, 10:30, 5:50] = 1
    where[1, 5:25, 5:25] = 1
    where[1, 40:60, 30:60] = 2
    return where


def test_a_pair_has_both_things_where_it_says(things, generator):
    first = torch.full((40, 3, 64, 64), 10.0)
    first[:, :, 20:44, 20:44] = 100
    mask = (first == 100)[:, 0]
    pictures, where = pairs(first, mask, first + 100, mask, generator)
    assert set(where.unique().tolist()) == {0, 1, 2}
    assert (where == 2).flatten(1).any(1).all()
    assert (pictures[:, 0][where == 2] > 105).all()  # of the second picture
    assert pictures[:, 0][where == 1].mean() > 90
    assert (pictures[:, 0][where == 0] <= 100).all()


def test_a_click_gives_a_mask_for_each_picture(things, generator):
    torch.manual_seed(0)
    pictures = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    found = clicked(build_sam(SMALL).eval(), pictures, things == 1, generator)
    assert found.shape == (2, 64, 64)
    assert found.dtype == torch.bool


def test_every_thing_and_the_background_are_asked_for(things, generator):
    asked = targets(things[1:].expand(400, -1, -1), generator)
    kinds = [bool(mask[10, 10]) + 2 * bool(mask[50, 50]) + 4 * bool(mask[63, 0]) for mask in asked]
    shares = [kinds.count(kind) / 400 for kind in (1, 2, 4)]
    assert sum(shares) == 1
    assert shares == pytest.approx([7 / 16, 7 / 16, 1 / 8], abs=0.08)


def test_a_thing_that_was_cut_away_is_not_asked_for(generator):
    nothing = torch.zeros(50, 64, 64, dtype=torch.uint8)
    nothing[:, 0, 0] = 2  # the first thing is not there
    assert targets(nothing, generator).flatten(1).any(1).all()


@pytest.mark.parametrize("form", FORMS)
def test_clicks_lie_where_they_say_and_the_box_around(things, generator, form):
    masks = things == torch.tensor([1, 2])[:, None, None]
    asked = prompts(masks, form, generator)
    assert (asked.points is None) == (form.inside + form.outside == 0)
    assert (asked.boxes is None) == (not form.box)
    if asked.points is not None:
        assert asked.points.shape == (2, form.inside + form.outside, 2)
        for mask, points, labels in zip(masks, asked.points.long(), asked.labels, strict=True):
            assert [bool(mask[y, x]) for x, y in points] == [bool(label) for label in labels]
    if asked.boxes is not None:
        exact = torch.tensor([[5, 10, 49, 29], [30, 40, 59, 59]]).float()
        sides = (exact[:, 2:] - exact[:, :2]).repeat(1, 2)
        assert ((asked.boxes - exact).abs() <= 0.1 * sides + 1e-4).all()


def test_the_batch_is_padded_as_the_predictor_pads(things, generator):
    pictures = torch.full((2, 3, 64, 64), 200, dtype=torch.uint8)
    cut, where = padded(pictures, things, generator)
    gone = (cut == 127).all(1)
    assert gone.any()
    assert not where[gone].any()
    assert torch.equal(where[~gone], things[~gone])
    assert (pictures == 200).all()


@pytest.mark.parametrize("form", [FORMS[0], Form(2, 1, True, 1), Form(0, 0, True, 1)])
def test_the_batched_decoder_is_the_original_one(things, generator, form):
    torch.manual_seed(0)
    sam = build_sam(SMALL).eval()
    pictures = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    masks = targets(things.repeat_interleave(PROMPTS, 0), generator)
    asked = prompts(masks, form, generator)
    with torch.no_grad():
        logits, quality = answers(sam, pictures, asked)
        for i in range(2 * PROMPTS):
            one = [None if part is None else part[i : i + 1] for part in asked]
            features = sam.image_encoder(sam.preprocess(pictures[i // PROMPTS][None].float()))
            points = None if one[0] is None else (one[0], one[1])
            sparse, dense = sam.prompt_encoder(points, one[2], None)
            expected = sam.mask_decoder.predict_masks(features, sam.prompt_encoder.get_dense_pe(), sparse, dense)
            assert torch.allclose(logits[i], expected[0][0], atol=1e-5)
            assert torch.allclose(quality[i], expected[1][0], atol=1e-5)


def test_the_loss_of_a_right_mask_is_nothing_and_a_wrong_ones_large(things):
    masks = things == 1
    right = torch.where(masks, 20.0, -20.0)[:, None]
    assert mask_losses(right, masks).max() < 1e-3
    assert mask_losses(-right, masks).min() > 1


def test_intersection_over_union(things):
    masks = things == 1
    shifted = masks.roll(10, 1)
    assert iou(masks, masks).tolist() == [1, 1]
    assert iou(masks, ~masks).tolist() == [0, 0]
    assert iou(masks, shifted).tolist() == pytest.approx([1 / 3, 1 / 3])


def test_a_few_steps_learn_one_batch(things, generator):
    torch.manual_seed(0)
    sam = build_sam(SMALL).train()
    pictures = (things[:, None].expand(-1, 3, -1, -1) * 100).contiguous()
    masks = targets(things.repeat_interleave(PROMPTS, 0), generator)
    asked = prompts(masks, FORMS[0], generator)
    optimizer = torch.optim.AdamW(sam.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = loss_of(sam, pictures, masks, asked)["loss"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
