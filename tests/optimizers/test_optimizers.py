"""The steps of rows against plain formulas."""

import math

import pytest
import torch

from mti.optimizers.adamw import AdamW
from mti.optimizers.directional import Directional
from mti.optimizers.keep_norm import KeepNorm
from mti.rows import Together, Vocabulary, relative_norms

WIDTHS = [3, 5]  # of two text encoders


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def vocabulary():
    return Vocabulary(numbers(50, sum(WIDTHS)) * 0.3, WIDTHS)


def stepped(maker, vocabulary, steps=3, rate=0.01):
    """Rows before, and after so many steps with given gradients."""
    rows = torch.nn.Parameter(numbers(4, sum(WIDTHS), seed=1))
    before = rows.detach().clone()
    optimizer = maker([{"params": [rows], "lr": rate, "weight_decay": 0.0}], vocabulary)
    for step in range(steps):
        rows.grad = numbers(*rows.shape, seed=10 + step)
        optimizer.step()
    return before, rows.detach()


def test_adamw_is_that_of_the_paper(vocabulary):
    before, after = stepped(AdamW(), vocabulary)
    mean, square, expected = torch.zeros_like(before), torch.zeros_like(before), before
    for step in range(3):
        gradient = numbers(*before.shape, seed=10 + step)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        expected = expected - 0.01 * corrected[0] / (corrected[1].sqrt() + 1e-8)
    torch.testing.assert_close(after, expected)


def test_kept_norms_are_the_vocabularys_median_and_directions_those_of_adamw(vocabulary):
    _, kept = stepped(KeepNorm(), vocabulary, steps=1)
    _, free = stepped(AdamW(), vocabulary, steps=1)
    table = vocabulary.table.split(WIDTHS, dim=1)
    for part, own, plain in zip(table, kept.split(WIDTHS, dim=1), free.split(WIDTHS, dim=1), strict=True):
        torch.testing.assert_close(own.norm(dim=1), part.norm(dim=1).median().expand(4))
        torch.testing.assert_close(torch.cosine_similarity(own, plain), torch.ones(4))


def test_directional_steps_are_those_of_the_paper_for_each_encoder(vocabulary):
    kappa, rate = 0.05, 0.01
    before, after = stepped(Directional(kappa), vocabulary, rate=rate)
    for part, start, end, first in zip(
        vocabulary.table.split(WIDTHS, dim=1),
        before.split(WIDTHS, dim=1),
        after.split(WIDTHS, dim=1),
        (0, WIDTHS[0]),
        strict=True,
    ):
        norm = part.norm(dim=1).mean()
        for row in range(4):
            prior = start[row] / start[row].norm()
            v = prior
            for step in range(3):
                g = norm * numbers(4, sum(WIDTHS), seed=10 + step)[row, first : first + len(v)] - kappa * prior
                g = g - torch.dot(g, v) * v
                v = v - rate * g / (g.norm() + 1e-8)
                v = v / v.norm()
            torch.testing.assert_close(end[row], norm * v)


def test_the_angle_of_a_directional_step_is_the_learning_rates(vocabulary):
    before, after = stepped(Directional(0.0), vocabulary, steps=1, rate=0.02)
    for start, end in zip(before.split(WIDTHS, dim=1), after.split(WIDTHS, dim=1), strict=True):
        cosine = torch.cosine_similarity(start.double(), end.double())
        torch.testing.assert_close(cosine.acos(), torch.full((4,), math.atan(0.02)).double(), rtol=1e-3, atol=0)


def test_a_row_of_zeros_goes_where_its_gradient_leads(vocabulary):
    rows = torch.nn.Parameter(torch.zeros(1, sum(WIDTHS)))
    optimizer = Directional()([{"params": [rows], "lr": 0.1, "weight_decay": 0.0}], vocabulary)
    rows.grad = numbers(1, sum(WIDTHS))
    optimizer.step()
    cosine = torch.cosine_similarity(rows[:, :3], -rows.grad[:, :3])
    torch.testing.assert_close(cosine.detach(), torch.ones(1))


def test_a_row_without_a_gradient_stays(vocabulary):
    for maker in (AdamW(), KeepNorm(), Directional()):
        rows = torch.nn.Parameter(numbers(2, sum(WIDTHS)))
        before = rows.detach().clone()
        maker([{"params": [rows], "lr": 0.1, "weight_decay": 0.1}], vocabulary).step()
        assert torch.equal(rows, before)


def test_optimizers_together_step_as_each_by_itself(vocabulary):
    def of(maker, seed):
        rows = torch.nn.Parameter(numbers(2, sum(WIDTHS), seed=seed))
        return rows, maker([{"params": [rows], "lr": 0.1, "weight_decay": 0.0}], vocabulary)

    makers = (AdamW(), Directional(), KeepNorm())
    alone, company = ([of(maker, i) for i, maker in enumerate(makers)] for _ in range(2))
    together = Together([optimizer for _, optimizer in company])
    for step in range(2):
        for rows, _ in (*alone, *company):
            rows.grad = numbers(2, sum(WIDTHS), seed=20 + step)
        together.step()
        for _, optimizer in alone:
            optimizer.step()
    for (own, _), (other, _) in zip(alone, company, strict=True):
        assert torch.equal(own, other)
        assert together.state[other]


def test_norms_are_told_in_the_vocabularys(vocabulary):
    typical = torch.cat([part[part.norm(dim=1).argsort()[24]] for part in vocabulary.table.split(WIDTHS, dim=1)])
    rows = torch.stack([typical, 3 * typical])
    found = relative_norms(rows, vocabulary)
    torch.testing.assert_close(found, torch.tensor([1.0, 3.0]))
